"""This module is where runs of LangChain are tested beyond the law of one: what is kept, where it belongs, its end."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

import aicore_obs
from aicore_obs.observer import langchain, observe, observer
from aicore_obs.observer.runs import Runs
from tests import chains
from tests import sdk_calls as calls
from tests.model_server import ModelServer, model_server
from tests.observed import exported
from tests.traced import CHAT, tracing


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


def test_what_a_model_without_an_sdk_says_is_kept(server: ModelServer, collector: Any) -> None:
    """Usage, model, price, messages, the first token and the number of chunks."""
    aicore_obs.instrument()
    chains.own_invoke(server)
    chains.own_stream(server)
    whole, stream = _rows(collector)
    assert (whole["provider"], whole["model"], whole["total_tokens"]) == ("openai", "gpt-4o-mini", 13)
    assert whole["cost_usd"] is not None
    assert json.loads(whole["completion_args"])["messages"] == [{"role": "user", "content": chains.QUESTION}]
    assert (whole["response_text"], whole["stream_state"], whole["time_to_first_token_ms"]) == ("Blue.", None, None)
    assert (stream["response_text"], stream["stream_state"]) == ("Blue sky.", "complete")
    assert 0 <= stream["time_to_first_token_ms"] <= stream["latency_ms"]
    assert stream["extras"]["stream_chunks"] >= 3


def test_langchain_says_who_answers_where_the_host_does_not(server: ModelServer, collector: Any) -> None:
    """A server of an unknown name that is spoken to through openai's SDK is whose LangChain's class says."""
    aicore_obs.instrument()
    with calls.openai_client(server) as client:
        clients: dict[str, Any] = {"client": client.chat.completions, "root_client": client}
        chains.Gateway(model="deepseek-chat", api_key=chains.KEY, **clients).invoke(chains.QUESTION)
    chains.invoke(server)
    assert [row["provider"] for row in _rows(collector)] == ["deepseek", "openai"]


def test_secrets_in_metadata_are_not_kept(collector: Any) -> None:
    """Nor anywhere else."""
    aicore_obs.instrument()
    config: Any = {"metadata": {"api_key": "sk-0123456789", "headers": {"authorization": "Bearer abcdef"}}}
    chains.chain_of(chains.said("Blue.")).invoke({"question": "q", "api_key": "sk-0123456789"}, config)
    collector.flush()
    for path in Path().glob("calls.db*"):
        if path.is_file():
            assert b"sk-0123456789" not in path.read_bytes()
            assert b"abcdef" not in path.read_bytes()


def test_how_a_call_without_an_sdk_ended_is_kept(server: ModelServer, collector: Any) -> None:
    """An error with its type, a stream that was given up with what came of it."""
    aicore_obs.instrument()
    chains.own_fails(server)
    chains.own_closed_early(server)
    failed, given_up = _rows(collector)
    assert (failed["status"], failed["error_type"]) == ("error", "StopIteration")
    assert (given_up["status"], given_up["stream_state"], given_up["response_text"]) == ("ok", "abandoned", "Blue")


def test_a_dropped_stream_is_recorded_when_the_garbage_is_collected(collector: Any) -> None:
    """Nobody has to close it, and nothing of it is held."""
    aicore_obs.instrument()
    stream = chains.said("Blue sky.").stream(chains.QUESTION)
    next(stream)
    del stream
    gc.collect()
    assert [row["stream_state"] for row in _rows(collector)] == ["abandoned"]
    assert not langchain.begun_runs


def test_runs_that_never_end_are_forgotten() -> None:
    """Of what is kept until its end there is a bound; the oldest go first."""
    runs: Any = Runs()
    made = [SimpleNamespace(is_open=True) for _ in range(10_001)]
    for number, run in enumerate(made):
        runs.begin(number, run)
    assert [runs.is_known(number) for number in (0, 1)] == [False, True]
    assert [run.is_open for run in made[:2]] == [False, True]


def test_tags_and_metadata_are_kept(server: ModelServer, collector: Any) -> None:
    """Those of the program, without LangChain's own; of an SDK's call inside, too."""
    aicore_obs.instrument()
    config: Any = {
        "tags": ["fast"],
        "metadata": {"team": "sky", "user_id": "ann", "thread_id": "t-1"},
        "run_name": "ask",
    }
    chains.said("Blue.").invoke(chains.QUESTION, config)
    with chains.chat_model(server) as model:
        chains.chain_of(model).invoke({"question": chains.QUESTION}, config)
    for row in _rows(collector):
        assert (row["tags"], row["user_id"], row["session_id"]) == (["fast"], "ann", "t-1")
        assert json.loads(row["extras"]["metadata"]) == {"team": "sky", "user_id": "ann", "thread_id": "t-1"}
    assert [row["extras"]["run_name"] for row in _rows(collector)] == ["ask", None]


def test_what_the_program_told_us_goes_before_metadata(server: ModelServer, collector: Any) -> None:
    """Session, labels, user and tags that are in force around a call are those of its records, also of steps."""
    aicore_obs.instrument()
    session = observer.observe(labels={"team": "sky"})
    with aicore_obs.bind(user_id="bob", tags=["ours"], extras={"metadata": "ours"}):
        config: Any = {"tags": ["fast"], "metadata": {"user_id": "ann", "thread_id": "t-1"}}
        with chains.chat_model(server) as model:
            chains.chain_of(model).invoke({"question": chains.QUESTION}, config)
    observer.end()
    (row,) = _rows(collector)
    assert (row["session_id"], row["user_id"], row["labels"]["team"]) == (session, "bob", "sky")
    assert (row["tags"], row["extras"]["metadata"]) == (["ours", "fast"], "ours")
    document = exported()
    (step,) = document["function_events"]
    assert (step["name"], step["session_id"]) == ("answer", session)
    assert step["kwargs"] == {}
    assert (step["args"], step["result"]) == ([{"question": chains.QUESTION}], "Blue.")
    (root,) = document["trace_tree"]
    assert [child["event_type"] for child in root["children"]] == ["provider"]


def test_steps_of_ours_and_runs_nest(server: ModelServer, collector: Any) -> None:
    """A chain in a function of ours, and one in a chain, have each other as parents."""
    aicore_obs.instrument()

    @observe
    def inner(given: Any) -> str:
        return str(chains.chain(server))

    @observe
    def outer() -> str:
        return str(RunnableLambda(inner).with_config(run_name="middle").invoke("x"))

    observer.observe()
    assert outer() == "Blue."
    observer.end()
    (tree,) = exported()["trace_tree"]
    names = []
    while tree["event_type"] == "function":
        names.append(tree["name"])
        (tree,) = tree["children"]
    assert names == ["outer", "middle", "inner", "answer"]


def test_a_thread_without_a_context_belongs_to_its_parent(server: ModelServer, collector: Any) -> None:
    """What is known around the chain is known of the call, though the thread knows nothing."""
    aicore_obs.instrument()
    with aicore_obs.bind(run_id="r-1", labels={"team": "sky"}):
        chains.lost_context(server)
    (row,) = _rows(collector)
    assert (row["run_id"], row["labels"]) == ("r-1", {"team": "sky"})
    assert row["parent_id"] is not None


def test_calls_between_the_chunks_of_a_stream_are_not_inside_of_it(server: ModelServer, collector: Any) -> None:
    """What the reader of a stream asks meanwhile is its own, and the stream is recorded all the same."""
    aicore_obs.instrument()
    stream = chains.said("Blue sky.").stream(chains.QUESTION)
    next(stream)
    calls.chat(server)
    list(stream)
    first, second = _rows(collector)
    assert {first["api"], second["api"]} == {"langchain.chat_model", "chat.completions.create"}
    assert first["trace_id"] != second["trace_id"]


def test_only_results_of_inner_steps_are_kept(server: ModelServer, collector: Any) -> None:
    """What an agent's step is given is the whole conversation, which its root and its models have."""
    aicore_obs.instrument()
    observer.observe()
    chains.agent(server)
    observer.end()
    events = {event["name"]: event for event in exported()["function_events"]}
    assert set(events) == {"painter", "model", "tools", "look_up"}
    assert events["painter"]["args"][0]["messages"]
    assert events["tools"]["args"] == []
    assert events["tools"]["result"]
    assert events["look_up"]["kwargs"] == {"place": "sky"}
    assert "blue at the sky" in json.dumps(events["look_up"]["result"])


class Traced(BaseCallbackHandler):
    """A tracer's handler: it makes a span of each call of a model, which is the current one meanwhile."""

    run_inline = True

    def __init__(self, provider: Any) -> None:
        self._tracer = provider.get_tracer("theirs")
        self._entered: Any = None

    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        attributes = {name: value for name, value in CHAT.items() if name != "gen_ai.response.id"}
        self._entered = self._tracer.start_as_current_span("chat", attributes=attributes)
        self._entered.__enter__()

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self._entered.__exit__(None, None, None)


def test_a_tracers_span_of_the_same_call_is_no_second_operation(server: ModelServer, collector: Any) -> None:
    """Where a tracer listens to LangChain, too, the call is one operation, and the span is its parent."""
    aicore_obs.instrument()
    with tracing() as provider:
        chains.said("Blue.").invoke(chains.QUESTION, {"callbacks": [Traced(provider)]})
    (row,) = _rows(collector)
    assert row["api"] == "langchain.chat_model"
    assert row["parent_id"] is not None


def test_a_pause_for_a_human_is_no_error(server: ModelServer, collector: Any) -> None:
    """LangGraph interrupts by raising: the steps that it passes are paused."""

    @tool
    def ask(place: str) -> str:
        """Ask a human."""
        return str(interrupt(place))

    aicore_obs.instrument()
    observer.observe()
    with chains.chat_model(server) as model:
        agent: Any = create_agent(model, [ask], checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t-1"}}
        agent.invoke({"messages": [("human", chains.QUESTION)]}, config)
        answer = agent.invoke(Command(resume="yes"), config)
    observer.end()
    assert answer["messages"][-1].content == "Blue."
    events = exported()["function_events"]
    assert [event["name"] for event in events].count("ask") == 2
    assert {event["error"] for event in events} == {None}
    assert len(_rows(collector)) == len(server.requests) == 2
