"""This module is where it is tested when LangChain is listened to: by all, by hand, by some, later, and no more."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.tracers import context as hooks

import aicore_obs
from aicore_obs.observer import langchain, observer
from aicore_obs.observer.langchain import LlmOperationCallbackHandler
from aicore_obs.observer.runs import Runs
from tests import chains
from tests.model_server import ModelServer, model_server


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[aicore_obs.LlmOperationCollector]:
    with chains.listening(tmp_path, monkeypatch) as collector:
        yield collector


def _rows(collector: aicore_obs.LlmOperationCollector) -> list[dict[str, Any]]:
    return collector.polars_from_db(order="asc").to_dicts()


def test_what_is_undone_is_undone_everywhere(server: ModelServer, collector: Any) -> None:
    """In every thread and every context; asked for twice it is there once, and can be asked for again."""
    made = threading.Event()
    undone = threading.Event()
    handlers: list[list[BaseCallbackHandler]] = []

    def in_thread() -> None:
        handlers.append(CallbackManager.configure().handlers)
        made.set()
        assert undone.wait(30)
        handlers.append(CallbackManager.configure().handlers)

    for _ in range(2):
        aicore_obs.instrument()
    registered = len(hooks._configure_hooks)
    thread = threading.Thread(target=in_thread)
    thread.start()
    assert made.wait(30)
    aicore_obs.uninstrument()
    undone.set()
    thread.join()
    assert [len(found) for found in handlers] == [1, 0]
    assert CallbackManager.configure().handlers == []
    chains.own_invoke(server)
    aicore_obs.instrument()
    assert len(hooks._configure_hooks) == registered
    chains.own_invoke(server)
    assert len(_rows(collector)) == 1


def test_what_is_undone_between_two_questions_harms_nobody(server: ModelServer, collector: Any) -> None:
    """LangChain asks for the handler twice, and another thread may undo it meanwhile."""
    asked: list[bool] = []

    def is_wanted() -> bool:
        asked.append(len(asked) == 0)
        return asked[-1]

    plain = chains.own_invoke(server)
    aicore_obs.instrument()
    langchain.listen(is_wanted)
    assert chains.own_invoke(server) == plain
    assert asked[:2] == [True, False]
    assert _rows(collector) == []


def test_a_run_that_has_begun_is_recorded_though_nobody_wants_more(collector: Any) -> None:
    """What is under way when all is undone comes to its end."""
    aicore_obs.instrument()
    stream = chains.said("Blue sky.").stream(chains.QUESTION)
    next(stream)
    aicore_obs.uninstrument()
    list(stream)
    assert [row["stream_state"] for row in _rows(collector)] == ["complete"]


def test_runs_outside_of_sessions_are_not_recorded_without_instrument(server: ModelServer, collector: Any) -> None:
    """A session records what is inside of it, and nothing else."""
    observer.observe()
    chains.own_invoke(server)
    observer.end()
    chains.own_invoke(server)
    assert len(_rows(collector)) == 1


def test_suppressed_runs_are_not_recorded(server: ModelServer, collector: Any) -> None:
    """Inside ``suppress`` nothing is."""
    aicore_obs.instrument()
    with aicore_obs.suppress():
        chains.own_invoke(server)
    assert _rows(collector) == []


def test_a_handler_by_hand(server: ModelServer, collector: Any, tmp_path: Path) -> None:
    """It records the runs that it was given to, into its collector, and once where all runs are recorded too."""
    other = aicore_obs.LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/other.db")
    handler = LlmOperationCallbackHandler(other)
    assert copy.deepcopy({"callbacks": [handler]})["callbacks"] == [handler]
    with chains.chat_model(server) as model:
        for config in ({"callbacks": [handler]}, {}):
            assert chains.chain_of(model).invoke({"question": chains.QUESTION}, config) == "Blue."
    # No SDK is instrumented, so that LangChain's word is all there is.
    (row,) = other.polars_from_db().to_dicts()
    assert (row["api"], row["model"], row["total_tokens"]) == ("langchain.chat_model", "gpt-4o-mini", 13)
    aicore_obs.instrument()
    chains.said("Blue.").invoke(chains.QUESTION, {"callbacks": [handler]})
    assert other.polars_from_db().height == 2
    assert _rows(collector) == []
    other.close()


def test_what_is_switched_off_does_nothing(
    server: ModelServer, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``AICORE_OBS_ENABLED=0`` is for handlers, too."""
    monkeypatch.setenv("AICORE_OBS_ENABLED", "0")
    chains.said("Blue.").invoke(chains.QUESTION, {"callbacks": [LlmOperationCallbackHandler()]})
    monkeypatch.delenv("AICORE_OBS_ENABLED")
    assert _rows(collector) == []


def test_our_own_failure_is_not_the_programs(
    server: ModelServer, collector: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged by us, once, and LangChain hears nothing of it."""

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("ours")

    plain = chains.own_invoke(server)
    aicore_obs.instrument()
    for name in ("begin", "end"):
        with monkeypatch.context() as patched, caplog.at_level(logging.DEBUG):
            patched.setattr(Runs, name, fail)
            # In a context of its own: a run whose end was missed is around all that follows.
            assert copy_context().run(chains.own_invoke, server) == plain
    assert {record.name for record in caplog.records} == {"aicore_obs"}


def test_langchain_that_is_imported_later(tmp_path: Path) -> None:
    """A program may switch us on before it imports anything, and LangChain is not imported for it."""
    program = textwrap.dedent("""
        import sys
        import aicore_obs

        collector = aicore_obs.configure(db_url="sqlite:///calls.db")
        assert "langchain_core" in aicore_obs.instrument()
        assert not any(name.startswith("langchain") for name in sys.modules)
        from langchain_core.language_models.fake_chat_models import FakeListChatModel
        FakeListChatModel(responses=["Blue."]).invoke("What colour?")
        print(collector.polars_from_db()["api"].to_list())
        aicore_obs.uninstrument()
        FakeListChatModel(responses=["Blue."]).invoke("What colour?")
        print(len(collector.polars_from_db()))
        collector.close()
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["['langchain.chat_model']", "1"]


def test_langchain_alone(server: ModelServer, collector: Any) -> None:
    """Chosen without the SDKs beneath, its own word is recorded; chosen away, its runs are not."""
    aicore_obs.instrument(["langchain"])
    chains.chain(server)
    aicore_obs.instrument(["openai"])
    chains.chain(server)
    first, second = _rows(collector)
    assert (first["api"], second["api"]) == ("langchain.chat_model", "chat.completions.create")
    assert first["total_tokens"] == second["total_tokens"] == 13
    assert first["cost_usd"] == second["cost_usd"]
    assert first["parent_id"] is not None
    assert second["parent_id"] is None
