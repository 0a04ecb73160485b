"""This module is where records are changed on the road: raw calls become priced operations, users' own steps run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from aicore_obs.guard import attempt, attempt_all, log_window
from aicore_obs.model import codec
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import Record
from aicore_obs.protocols import DropRecord, Processor


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """What became of one line of the journal: a record with its text, or the reason why not.

    Exactly one of ``record``, ``dropped`` and ``failed`` is set; ``newer`` says that the line must be left alone.
    """

    record: Record | None = None
    line: bytes = b""
    dropped: str | None = None
    failed: Exception | None = None
    newer: bool = False


def normalise(derive: Callable[[Operation], Derived | None]) -> Processor:
    """Return the processor that reads model, usage and the like out of a raw call and prices it.

    ``derive`` gives back what was read before, where there is nothing to add.
    """

    def normalised(record: Record) -> Record:
        if not isinstance(record, Operation):
            return record
        derived = attempt(derive, record)
        if derived.error is not None:
            # A description that stumbles over a body costs its numbers, never the record.
            log_window.warn("derive", f"cannot read {record.provider or 'a response'}: {derived.error!r}")
            return record
        if derived.value is record.derived:
            return record
        return msgspec.structs.replace(record, derived=derived.value)

    return normalised


def own_names(processors: Sequence[Processor]) -> list[str]:
    """Return the names of the application's own processors; the first is ours."""
    return [str(getattr(one, "__qualname__", None) or type(one).__qualname__) for one in processors[1:]]


def prepare(line: bytes, first: Processor, others: Sequence[Processor]) -> Prepared:
    """Decode one line and run the processors over it.

    ``first`` is our own and only adds ``derived``, which is spliced into the caller's bytes. Only when there was one
    already (content that was not captured is read at the door), or a user's processor gives another record, is the
    record encoded again.
    """
    try:
        given = codec.decode(line)
    except codec.UnknownCodecError:
        return Prepared(newer=True)
    except (msgspec.DecodeError, ValueError) as error:
        return Prepared(failed=error)
    outcome = attempt_all(first, given)
    if outcome.value is None:
        return _not_prepared(outcome.error)
    ours = record = outcome.value
    for processor in others:
        step = attempt_all(processor, record)
        if step.value is None:
            return _not_prepared(step.error or TypeError("a processor returned None; raise DropRecord to drop"))
        record = step.value
    if record is not ours or _had_derived(given, ours):
        again = attempt(codec.encode, record)
        return _not_prepared(again.error) if again.value is None else Prepared(record=record, line=again.value)
    derived = ours.derived if isinstance(ours, Operation) and ours is not given else None
    return Prepared(record=record, line=codec.with_derived(line, derived))


def _had_derived(given: Record, ours: Record) -> bool:
    return ours is not given and isinstance(given, Operation) and given.derived is not None


def _not_prepared(error: Exception | None) -> Prepared:
    if isinstance(error, DropRecord):
        return Prepared(dropped=str(error) or "processor")
    return Prepared(failed=error or TypeError("no record came back"))
