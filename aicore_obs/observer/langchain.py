"""This module is where LangChain is listened to: its runs are the tree in which the calls of models stand.

Source: langchain-core 1.8.3 (``callbacks.base``, ``callbacks.manager``, ``tracers.context``), read 2026-11-28. What a
run is, and how it ends, is :mod:`aicore_obs.observer.runs`; how its models' requests and answers are kept is
:mod:`aicore_obs.observer.chat_runs`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from aicore_obs import context
from aicore_obs.callsite import is_in
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.default import get_collector
from aicore_obs.guard import attempt, log_window
from aicore_obs.observer import outers
from aicore_obs.observer.chat_runs import ModelRun, asked_in_messages, asked_in_text
from aicore_obs.observer.outers import Outer
from aicore_obs.observer.runs import CHAIN, RETRIEVER, TOOL, Begun, Run, begun_runs
from aicore_obs.observer.streams import inside
from aicore_obs.settings import from_environment

# LangChain's own work on what goes in and comes out: it asks nobody, and is done at once.
_WORK = frozenset({"prompt", "parser"})
# LangGraph's mark on the runs that are its own machinery.
_HIDDEN = "langsmith:hidden"
# What LangChain calls the runs that only hold others together (RunnableSequence, RunnableParallel, …) and that nobody
# has given a name; and functions that are private, those of libraries for the most part.
_GLUE = ("Runnable", "_")


class LlmOperationCallbackHandler(BaseCallbackHandler):
    """Records runs of LangChain: those of models as operations, chains, tools and retrievers as steps around them.

    :func:`aicore_obs.instrument` has one of all runs. By hand it is ``config={"callbacks": [handler]}``. A model's run
    inside of which an instrumented SDK was called is no operation of its own. Nothing here raises or waits, and a run
    that has several of us is recorded once.

    Args:
        collector: where to record; without it, the default collector.

    .. versionadded:: 0.1.0
    """

    # In the context of the caller, also where that is a coroutine.
    run_inline = True

    def __init__(self, collector: LlmOperationCollector | None = None) -> None:
        self._collector = collector
        if from_environment().enabled and collector is None:
            # Made now: what cannot work is said here, and no run waits for it.
            get_collector()
        _listen_around()

    def __deepcopy__(self, _: Any) -> LlmOperationCallbackHandler:
        """Return the same: a copy of a config is a config for the same collector."""
        return self

    @property
    def is_on(self) -> bool:
        """Return whether runs that begin here are recorded."""
        return from_environment().enabled

    # -- what begins -----------------------------------------------------------------------------------------------

    def on_chain_start(self, serialized: Any, inputs: Any, **told: Any) -> None:
        """Begin a chain, a step of one, or an agent."""
        self._begin(CHAIN, serialized, lambda: {"args": [inputs], "kwargs": {}}, told)

    def on_tool_start(self, serialized: Any, input_str: str, **told: Any) -> None:
        """Begin a tool."""
        given = told.get("inputs")
        args, kwargs = ([], given) if isinstance(given, dict) else ([input_str], {})
        self._begin(TOOL, serialized, lambda: {"args": args, "kwargs": kwargs}, told)

    def on_retriever_start(self, serialized: Any, query: str, **told: Any) -> None:
        """Begin a retriever."""
        self._begin(RETRIEVER, serialized, lambda: {"args": [query], "kwargs": {}}, told)

    def on_chat_model_start(self, serialized: Any, messages: Any, **told: Any) -> None:
        """Begin a call of a chat model."""
        self._begin_model("langchain.chat_model", serialized, lambda: asked_in_messages(messages[0], told), told)

    def on_llm_start(self, serialized: Any, prompts: list[str], **told: Any) -> None:
        """Begin a call of a model that is asked in plain text."""
        self._begin_model("langchain.llm", serialized, lambda: asked_in_text(prompts[0], told), told)

    # -- what comes and ends ---------------------------------------------------------------------------------------

    def on_llm_new_token(self, token: Any, **told: Any) -> None:
        """Count a chunk of a stream."""
        message = getattr(told.get("chunk"), "message", None)
        self._chunk(told, has_content=bool(token) or bool(getattr(message, "tool_call_chunks", None)))

    def on_stream_event(self, event: Any, **told: Any) -> None:
        """Count an event of a stream."""
        self._chunk(told, has_content=attempt(lambda: event["event"] == "content-block-delta").value is True)

    def on_llm_end(self, response: Any, **told: Any) -> None:
        """Record a call of a model, where nobody inside has."""
        self._end(told, response)

    def on_llm_error(self, error: BaseException, **told: Any) -> None:
        """Record a call that failed, or whose stream nobody reads on."""
        self._end(told, told.get("response"), error)

    def on_chain_end(self, outputs: Any, **told: Any) -> None:
        """Record a chain."""
        self._end(told, outputs)

    def on_chain_error(self, error: BaseException, **told: Any) -> None:
        """Record a chain that failed."""
        self._end(told, None, error)

    def on_tool_end(self, output: Any, **told: Any) -> None:
        """Record a tool."""
        self._end(told, output)

    def on_tool_error(self, error: BaseException, **told: Any) -> None:
        """Record a tool that failed."""
        self._end(told, None, error)

    def on_retriever_end(self, documents: Any, **told: Any) -> None:
        """Record a retriever."""
        self._end(told, documents)

    def on_retriever_error(self, error: BaseException, **told: Any) -> None:
        """Record a retriever that failed."""
        self._end(told, None, error)

    # -- how -------------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, serialized: Any, arguments: Callable[[], Any], told: dict[str, Any]) -> None:
        def begin() -> None:
            if not self._is_new(told):
                return
            here = _model_run_here()
            parent = _innermost(told.get("parent_run_id"), here)
            is_root = parent is None and told.get("parent_run_id") is None
            name = _name(serialized, told) or kind
            begun = Begun(kind, name, told, parent, self._its_collector())
            has_arguments = kind != CHAIN or is_root
            is_kept = kind != CHAIN or _is_worth_it(name, told, is_root=is_root)
            run = Run(begun, arguments() if is_kept and has_arguments else None, is_step=is_kept)
            begun_runs.begin(told["run_id"], run)
            if kind == RETRIEVER:
                # LangChain has it in no context of its own, as it has chains and tools.
                _enter(run, here)

        _attempt("beginning", told, begin)

    def _begin_model(self, api: str, serialized: Any, request: Callable[[], Any], told: dict[str, Any]) -> None:
        def begin() -> None:
            if not self._is_new(told):
                return
            parent_id, here = told.get("parent_run_id"), _model_run_here()
            # Of the same batch, so that neither is inside of the other.
            sibling = here if isinstance(here, ModelRun) and here.expects_more(parent_id) else None
            before = here if sibling is None else sibling.before
            parent = _innermost(parent_id, before)
            begun = Begun(api, _name(serialized, told) or "model", told, parent, self._its_collector())
            run = ModelRun(begun, request(), sibling)
            begun_runs.begin(told["run_id"], run)
            _enter(run, before)

        _attempt("beginning", told, begin)

    def _its_collector(self) -> LlmOperationCollector:
        return get_collector() if self._collector is None else self._collector

    def _is_new(self, told: dict[str, Any]) -> bool:
        # What begins inside of a watched call is part of it.
        is_watched = self.is_on and not context.is_suppressed() and not inside.get()
        return is_watched and not begun_runs.is_known(told["run_id"])

    def _chunk(self, told: dict[str, Any], *, has_content: bool) -> None:
        def count() -> None:
            run = begun_runs.open_one(told.get("run_id"))
            if isinstance(run, ModelRun):
                # Its request was sent; what the reader of the stream does between chunks is not inside.
                _leave(run)
                run.chunk(has_content=has_content)

        _attempt("stream", told, count)

    def _end(self, told: dict[str, Any], result: Any, error: BaseException | None = None) -> None:
        def end() -> None:
            run = begun_runs.end(told.get("run_id"))
            if run is not None:
                _leave(run)
                # A generator may be closed where garbage is collected, and that in the middle of our own work.
                is_late = isinstance(error, GeneratorExit) or is_in("aicore_obs", above=__name__)
                run.end(result, error, inputs=told.get("inputs"), is_late=is_late)

        _attempt("end", told, end)


def _attempt(what: str, told: dict[str, Any], work: Callable[[], None]) -> None:
    outcome = attempt(work)
    if outcome.error is not None:
        log_window.warn(
            f"langchain {what}", f"the {what} of a run {told.get('run_id')} was not seen: {outcome.error!r}"
        )


def _name(serialized: Any, told: dict[str, Any]) -> str | None:
    given = told.get("name")
    if given is None and isinstance(serialized, dict):
        path = serialized.get("id")
        given = serialized.get("name") or (path[-1] if isinstance(path, list) and path else None)
    return given if isinstance(given, str) and given else None


def _is_worth_it(name: str, told: dict[str, Any], *, is_root: bool) -> bool:
    """Return whether a chain is a step of the program: what it called itself, and what it or a library named."""
    if told.get("run_type") in _WORK or _HIDDEN in (told.get("tags") or ()):
        return False
    return is_root or not name.startswith(_GLUE)


# A model's or a retriever's run that is in progress here. Of chains and tools LangChain says so itself.
_model_run: ContextVar[Run | None] = ContextVar("aicore_obs_langchain_run", default=None)


def _enter(run: Run, before: Run | None) -> None:
    run.before = before
    _model_run.set(run)


def _leave(run: Run) -> None:
    """Leave a run, where this is the context that entered it; in others it is seen to have ended."""
    if _model_run.get() is run:
        _model_run.set(run.before)


def _model_run_here() -> Run | None:
    run = _model_run.get()
    while run is not None and not run.is_open:
        run = run.before
    return run


def _innermost(parent_id: UUID | None, run: Run | None) -> Run | None:
    """Return the run whose id LangChain names as the parent, or a model's or a retriever's that is inside of it."""
    parent = begun_runs.found(parent_id)
    return run if run is not None and (parent is None or run.is_in(parent)) else parent


def _outer() -> Outer | None:
    """Return what of LangChain stands around the caller."""
    if not begun_runs:
        return None
    config = var_child_runnable_config.get()
    manager = None if config is None else config.get("callbacks")
    return _innermost(getattr(manager, "parent_run_id", None), _model_run_here())


def _listen_around() -> None:
    if _outer not in outers.LISTENERS:
        outers.LISTENERS.append(_outer)


class _OfAll(LlmOperationCallbackHandler):
    """The one of all runs, as long as somebody wants them."""

    def __init__(self) -> None:
        self._collector = None
        _listen_around()

    @property
    def is_on(self) -> bool:
        """Return whether runs that begin here are recorded."""
        return _switch.is_wanted()


class _Switch:
    """Stands where LangChain expects a context variable, and is asked like one at each beginning of a run.

    LangChain forgets no hook that was registered once, and a context variable has one value in each context: this has
    the handler everywhere, as long as it is wanted, and then nowhere.
    """

    def __init__(self) -> None:
        self.handler: _OfAll | None = None
        self.is_wanted: Callable[[], bool] = lambda: False

    def get(self) -> BaseCallbackHandler | None:
        """Return the handler of all runs, None where it is not wanted."""
        return self.handler if attempt(self.is_wanted).value else None


_switch = _Switch()


def listen(is_wanted: Callable[[], bool]) -> None:
    """Record all runs that begin where they are wanted; harmless twice."""
    _switch.is_wanted = is_wanted
    if _switch.handler is None:
        _switch.handler = _OfAll()
        # LangChain asks twice. Where it was wanted the first time only, it makes one of the class: that does nothing.
        register_configure_hook(cast("ContextVar[Any]", _switch), inheritable=True, handle_class=_OfAll)
