"""This module is where spans of real tracers become operations, and no request becomes two."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider

import aicore_obs
from aicore_obs.errors import ConfigurationError
from aicore_obs.observer import observe, observer
from aicore_obs.observer.otel import LlmOperationSpanProcessor
from tests import sdk_calls as calls
from tests.model_server import ModelServer, model_server
from tests.observed import exported, observing
from tests.traced import CHAT, span, tracing

# The call → its tokens.
MADE = {"chat": 13, "stream": 13, "without_usage": None, "fail": None, "responses": 15, "responses_stream": 15,
        "embeddings": 4, "achat": 13}  # fmt: skip


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[aicore_obs.LlmOperationCollector]:
    with observing(tmp_path, monkeypatch) as collector:
        yield collector


@pytest.fixture
def provider(collector: aicore_obs.LlmOperationCollector) -> Iterator[TracerProvider]:
    with tracing() as provider:
        yield provider


# In a process of its own: what these tracers leave in openai's classes, when they are switched off, others would meet.
# No more than openai is imported there.
TRACED = """
import asyncio, importlib, sys
import aicore_obs, openai
from opentelemetry.sdk.trace import TracerProvider
from tests import model_server

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What colour is the sky?"}]}

async def ask(url):
    async with openai.AsyncOpenAI(api_key="sk-none", base_url=url, max_retries=0) as client:
        await client.chat.completions.create(**CHAT)

def make_all():
    with model_server.model_server() as server:
        url = server.url + "/v1"
        with openai.OpenAI(api_key="sk-none", base_url=url, max_retries=0) as client:
            client.chat.completions.create(**CHAT)
            list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
            list(client.chat.completions.create(**CHAT, stream=True))
            try:
                client.chat.completions.create(**{**CHAT, "model": "fail"})
            except openai.BadRequestError:
                pass
            client.responses.create(model="gpt-5", input="What colour?")
            list(client.responses.create(model="gpt-5", input="What colour?", stream=True))
            client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        asyncio.run(ask(url))

aicore_obs.configure("calls.jsonl")
provider = TracerProvider()
aicore_obs.instrument()
aicore_obs.instrument_opentelemetry(provider)
tracer = importlib.import_module(sys.argv[1] + ".instrumentation.openai").OpenAIInstrumentor()
tracer.instrument(tracer_provider=provider)
make_all()
aicore_obs.uninstrument()
aicore_obs.instrument_opentelemetry(provider)
# No provider repeats an id, and OpenLLMetry takes an id that it knows for the same answer.
model_server._RESPONSE["id"] = "resp_2"
make_all()
"""


@pytest.mark.parametrize("package", ["opentelemetry", "openinference"])
def test_real_tracers(package: str, tmp_path: Path) -> None:
    """OpenLLMetry's and OpenInference's spans are recorded, and none of a call that we have recorded ourselves."""
    root = str(Path(__file__).parent.parent.parent)
    program = f"import sys; sys.path.insert(0, {root!r})\n{TRACED}"
    command = [sys.executable, "-c", program, package]
    environment = {**os.environ, "AICORE_OBS_ESTIMATE_TOKENS": "0"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    frame = aicore_obs.LlmOperationCollector.polars_from_file(tmp_path / "calls.jsonl", order="asc")
    assert frame.height == 2 * len(MADE)
    watched, spans = frame.head(len(MADE)), frame.tail(len(MADE))
    assert "span.attributes" not in set(watched["api"])
    assert set(spans["api"]) == {"span.attributes"}
    for part in (watched, spans):
        assert part["total_tokens"].to_list() == list(MADE.values())
        assert part["status"].to_list() == ["error" if name == "fail" else "ok" for name in MADE]
        assert set(part["provider"]) == {"openai"}
        assert part.filter(pl.col("total_tokens").is_not_null())["cost_usd"].null_count() == 0
    by_name = dict(zip(MADE, spans.to_dicts(), strict=True))
    assert {by_name[name]["response_text"] for name in ("chat", "stream", "responses")} == {"Blue."}
    assert by_name["chat"]["time_to_first_token_ms"] is None
    assert by_name["stream"]["time_to_first_token_ms"] > 0
    assert "What colour is the sky?" in by_name["chat"]["completion_args"]
    assert "What colour is the sky?" not in by_name["chat"]["response"]
    assert by_name["fail"]["error_type"].endswith("BadRequestError")
    assert "no such model" in by_name["fail"]["error_message"]


async def _asked(server: ModelServer, provider: TracerProvider) -> None:
    """Ask an agent of Pydantic AI, which makes spans by itself: whole, and as a stream."""
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async with calls.openai_async(server) as client:
        agent = Agent(OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client)), name="painter")
        agent.instrument = InstrumentationSettings(tracer_provider=provider)
        assert (await agent.run("What colour?")).output == "Blue."
        async with agent.run_stream("What colour?") as streamed:
            assert [text async for text in streamed.stream_text()][-1] == "Blue."


def test_pydantic_ai(server: ModelServer, provider: TracerProvider, collector: Any) -> None:
    """Its calls are operations in the agent's trace, its agents are none."""
    asyncio.run(_asked(server, provider))
    frame = collector.polars_from_db(order="asc")
    assert frame["total_tokens"].to_list() == [13, 13]
    assert frame["agent_id"].to_list() == ["painter"] * 2
    assert frame["server_address"].to_list() == [server.url.removeprefix("http://")] * 2
    assert frame["parent_id"].null_count() == 0
    assert frame["response_text"].to_list() == ["Blue."] * 2
    assert [first is not None for first in frame["time_to_first_token_ms"]] == [False, True]


def test_pydantic_ai_over_an_instrumented_sdk(server: ModelServer, provider: TracerProvider, collector: Any) -> None:
    """The SDK's call is the operation, in the trace of the agent, and its parent is the model's span."""
    seen = Seen()
    provider.add_span_processor(seen)
    aicore_obs.instrument()
    asyncio.run(_asked(server, provider))
    frame = collector.polars_from_db(order="asc")
    assert (
        frame["api"].to_list() == ["chat.completions.create"] * 2 == ["chat.completions.create"] * len(server.requests)
    )
    chats = [one.get_span_context() for one in seen.ended if one.name.startswith("chat ")]
    assert frame["parent_id"].to_list() == [f"{one.span_id:016x}" for one in chats]
    assert frame["trace_id"].to_list() == [f"{one.trace_id:032x}" for one in chats]


class Seen(LlmOperationSpanProcessor):
    """Keeps the spans that have ended, and records none."""

    def __init__(self) -> None:
        self.is_on = False
        self.ended: list[Any] = []

    def on_end(self, span: Any) -> None:
        self.ended.append(span)


# -- spans by hand -----------------------------------------------------------------------------------------------------


def test_what_is_no_call_is_passed_over(provider: TracerProvider, collector: Any) -> None:
    """Agents, tools, chains and everything else that is traced leave no operation, whatever usage they repeat."""
    usage = {"gen_ai.usage.input_tokens": 100, "llm.token_count.total": 100, "gen_ai.request.model": "gpt-4o-mini"}
    for kind in (
        {"gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.operation.name": "execute_tool"},
        {"openinference.span.kind": "CHAIN"},
        {"openinference.span.kind": "AGENT"},
    ):
        span(provider, {**usage, **kind}).end()
    span(provider, {"http.request.method": "POST", "db.system": "postgresql"}).end()
    assert collector.stats().offered == 0


def test_a_span_inside_of_another_is_the_call(provider: TracerProvider, collector: Any) -> None:
    """Where a framework's span of a call holds an SDK's span of the same call, the inner one counts."""
    outer = span(provider, {**CHAT, "gen_ai.response.id": "other"}, scope="framework")
    chain = span(provider, {"openinference.span.kind": "CHAIN"}, context=trace.set_span_in_context(outer))
    inner = span(provider, CHAT, scope="sdk", context=trace.set_span_in_context(chain))
    for one in (inner, chain, outer):
        one.end()
    frame = collector.polars_from_db()
    assert frame["span_id"].to_list() == [f"{inner.get_span_context().span_id:016x}"]
    assert frame["parent_id"].to_list() == [f"{chain.get_span_context().span_id:016x}"]


@pytest.mark.parametrize("first", ["the span", "the call"])
def test_the_response_id_tells_where_contexts_do_not(
    first: str, server: ModelServer, provider: TracerProvider, collector: Any
) -> None:
    """A span that knows nothing of the watched call, and has its response id, is the same; the first one is kept."""
    aicore_obs.instrument()
    apart = span(provider, CHAT)
    with calls.openai_client(server) as client:
        stream = client.chat.completions.create(**calls.CHAT, **calls.USAGE, stream=True)
        next(stream)
        if first == "the span":
            apart.end()
        list(stream)
    apart.end()
    assert collector.polars_from_db()["api"].to_list() == [
        "span.attributes" if first == "the span" else "chat.completions.create"
    ]


def test_servers_that_number_their_answers_lose_nothing(provider: TracerProvider, collector: Any) -> None:
    """The same id at another time, and two spans of one tracer, are two calls; two tracers' spans at once are one."""
    span(provider, CHAT, scope="a").end()
    span(provider, CHAT, scope="b").end()
    together = [span(provider, CHAT, scope="c"), span(provider, CHAT, scope="c"), span(provider, CHAT, scope="d")]
    for one in together:
        one.end()
    assert collector.polars_from_db().height == 4


def test_spans_without_an_id_are_kept(server: ModelServer, provider: TracerProvider, collector: Any) -> None:
    """Where neither the context nor an id tells, both are recorded: what was paid for is not left out on a guess."""
    aicore_obs.instrument()
    apart = span(provider, {name: value for name, value in CHAT.items() if name != "gen_ai.response.id"})
    calls.chat(server)
    apart.end()
    assert collector.polars_from_db().height == 2


def test_a_session_has_its_spans(provider: TracerProvider, collector: Any) -> None:
    """A span that begins in a session is in its export, and has its labels."""
    observer.observe("traced", labels={"team": "ml"})
    one = span(provider, CHAT)
    one.end()
    observer.end()
    (event,) = exported()["events"]
    assert (event["provider"], event["api"], event["span_id"]) == (
        "openai",
        "span.attributes",
        f"{one.get_span_context().span_id:016x}",
    )
    frame = collector.polars_from_db()
    assert frame["labels"].struct.field("team").to_list() == ["ml"]
    assert frame["session_id"].null_count() == 0


def test_steps_and_calls_take_the_span_around_them(
    server: ModelServer, provider: TracerProvider, collector: Any
) -> None:
    """A step inside of a span is in its trace; a call inside of the step has the step as its parent."""
    aicore_obs.instrument()

    @observe
    def ask() -> None:
        calls.chat(server)

    observer.observe()
    with provider.get_tracer("web").start_as_current_span("GET /") as request:
        ask()
    observer.end()
    document = exported()
    (step,), (call,) = document["function_events"], document["events"]
    ids = request.get_span_context()
    assert (step["trace_id"], step["parent_span_id"]) == (f"{ids.trace_id:032x}", f"{ids.span_id:016x}")
    assert (call["trace_id"], call["parent_span_id"]) == (step["trace_id"], step["span_id"])


def test_headers_and_keys_stay_out(provider: TracerProvider, tmp_path: Any, collector: Any) -> None:
    """What a tracer wrote of headers is not kept, nor is a key in an attribute."""
    odd = {"gen_ai.headers": "{'Authorization': 'Bearer abc-123'}", "app.api_key": "abc-123"}
    span(provider, {**CHAT, **odd}).end()
    assert "abc-123" not in str(collector.polars_from_db().to_dicts())


# -- switching on and off ----------------------------------------------------------------------------------------------


def test_once_for_good_and_taken_back(provider: TracerProvider, collector: Any) -> None:
    """Asked for twice it records once, after uninstrument nothing, and asked for again it is there again."""
    aicore_obs.instrument_opentelemetry(provider)
    span(provider, CHAT).end()
    aicore_obs.uninstrument()
    span(provider, CHAT).end()
    aicore_obs.instrument_opentelemetry(provider)
    span(provider, CHAT).end()
    assert collector.polars_from_db().height == 2


def test_a_processor_of_ones_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor can be given to a provider by hand, with a collector; two on one provider record once."""
    with observing(tmp_path, monkeypatch):
        mine = aicore_obs.LlmOperationCollector(tmp_path / "mine.jsonl")
        provider = TracerProvider()
        for _ in range(2):
            provider.add_span_processor(LlmOperationSpanProcessor(mine))
        with provider.get_tracer("t").start_as_current_span("chat", attributes=CHAT):
            pass
        assert provider.force_flush()
        assert mine.stats().accepted == 1
        provider.shutdown()
        mine.close()
    assert len((tmp_path / "mine.jsonl").read_text().splitlines()) == 1


def test_a_provider_that_makes_no_spans_is_said(collector: Any) -> None:
    """The error names what was given and what to do."""
    with pytest.raises(ConfigurationError, match=r"NoOpTracerProvider makes no spans.*set_tracer_provider"):
        aicore_obs.instrument_opentelemetry(NoOpTracerProvider())  # type: ignore[arg-type]


def test_switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """With AICORE_OBS_ENABLED=0 nothing is listened to and no store is made."""
    monkeypatch.setenv("AICORE_OBS_ENABLED", "0")
    with observing(tmp_path, monkeypatch), tracing() as provider:
        provider.add_span_processor(LlmOperationSpanProcessor())
        span(provider, CHAT).end()
    assert not list(tmp_path.iterdir())


def test_a_failure_of_ours_is_not_the_tracers(
    provider: TracerProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, collector: Any
) -> None:
    """A span ends whatever happens here; it is said once."""
    monkeypatch.setattr("aicore_obs.observer.otel.log_window._next", {})
    monkeypatch.setattr("aicore_obs.importing.spanned.request_of", lambda given: 1 / 0)
    for _ in range(2):
        span(provider, CHAT).end()
    told = [record.getMessage() for record in caplog.records if "was not recorded" in record.getMessage()]
    assert told == ["the span 'a span' was not recorded: ZeroDivisionError('division by zero')"]


def test_a_span_that_ends_while_garbage_is_collected(provider: TracerProvider, collector: Any) -> None:
    """A span may end in the middle of an append, on the thread that holds the journal's lock; nothing waits for it."""
    doomed = span(provider, CHAT)
    road = collector._road
    held = road.offer

    def offer(line: bytes) -> bool:
        road.offer = held
        with road._journal._lock:
            doomed.end()
        return bool(held(line))

    road.offer = offer
    assert collector.offer_completion({"model": "gpt-4o-mini"}) is not None
    assert collector.polars_from_db().height == 2


def test_without_the_sdk_the_command_is_said(tmp_path: Any) -> None:
    """Where opentelemetry-sdk is missing, importing everything works, and asking for spans names the extra."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from aicore_obs import *\n"
        "try: instrument_opentelemetry()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "spans need OpenTelemetry's SDK: pip install 'aicore-obs[otel]'\n"
