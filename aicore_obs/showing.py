"""This module is where users have an operation, a conversation or a trace shown, by an id, in a notebook or a terminal.

The work is done in ``query.facts`` and ``display``, reached by name, so that ``import aicore_obs`` loads no Polars.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from aicore_obs.protocols import Address
from aicore_obs.reading import Writes, ask, place_of

if TYPE_CHECKING:
    from aicore_obs.display.facts import Conversation, Facts, OperationFacts, TraceTree
    from aicore_obs.display.shown import Shown

Store: TypeAlias = "Writes | Address | str | Path | None"
_SHOWN = "aicore_obs.query.facts:shown"


def show(id: str = "last", store: Store = None, *, full: bool = False) -> Shown[Facts]:  # noqa: A002 - what it is
    """Return what has an id: an operation, the tree of a trace, or the conversation of a session or a run.

    In a notebook it shows itself as HTML, ``rich.print`` writes it in colours, ``print`` without;
    ``facts``, ``to_dict()`` and ``to_json()`` have everything as data.

    Args:
        id: the id of an operation, a session, a run or a trace; or the beginning of one, of four characters or more,
            where nothing else begins so; or ``"last"``, the newest operation.
        store: a collector, an address, URL or path; None: the database that is open in this process, else
            ``AICORE_OBS_DB_URL``, else ``./aicore_obs.db``.
        full: show long texts and large trees whole.

    Raises:
        UnknownIdError: nothing has such an id, or several begin so; the message says what to do. A LookupError, too.
        StoreNotFoundError: there is no store.
        StoreError: the store cannot be read.
    """
    found: Shown[Facts] = _shown("anything", id, store, full=full)
    return found


def show_operation(
    id: str = "last",  # noqa: A002
    store: Store = None,
    *,
    full: bool = False,
) -> Shown[OperationFacts]:
    """Return one operation: model, times, tokens, cost and its source, error, parameters, messages, answer, labels.

    What is unknown is a dash and never 0; a cost that is unknown says why. See :func:`show`.
    """
    found: Shown[OperationFacts] = _shown("operation", id, store, full=full)
    return found


def show_conversation(id: str, store: Store = None, *, full: bool = False) -> Shown[Conversation]:  # noqa: A002
    """Return the operations of a session, a run or a trace as one conversation, in the order of time; see :func:`show`.

    What a request repeats of what stands above is left out and counted. The first 500 operations are shown.
    """
    found: Shown[Conversation] = _shown("conversation", id, store, full=full)
    return found


def show_trace(id: str, store: Store = None, *, full: bool = False) -> Shown[TraceTree]:  # noqa: A002
    """Return what called what: steps and operations with their times, tokens, costs and errors; see :func:`show`.

    The id is that of a trace, of an operation in it, or of a session or a run, of which all traces are shown. Tokens
    and costs of a step are those of everything below it.
    """
    found: Shown[TraceTree] = _shown("trace", id, store, full=full)
    return found


def _shown(what: str, given: str, store: Store, *, full: bool) -> Any:
    return ask(_SHOWN, place_of(store), what, given, full=full)
