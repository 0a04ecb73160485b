"""This module is where the first law and that of one are held for LiteLLM, where it is installed (``dev-litellm``)."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import polars as pl
import pytest

import aicore_obs
from aicore_obs.model.ids import new_id
from aicore_obs.observer import observer
from tests.model_server import ModelServer, model_server
from tests.observed import observing

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
litellm = pytest.importorskip("litellm")

from tests import sdk_calls as plain  # noqa: E402 - after it is known that LiteLLM is there
from tests import sdk_calls_litellm as calls  # noqa: E402

# LiteLLM's own: it dumps objects of other kinds than it declares, and leaves coroutines and clients behind.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


class Kept(NamedTuple):
    """What one call leaves in the store. Tokens None: nobody reported any."""

    provider: str
    api: str
    tokens: int | None
    state: str | None = None
    error: str | None = None


CHAT, OWN = "chat.completions.create", "litellm.completion"
SHAPES: list[tuple[Any, Kept]] = [
    (calls.completion, Kept("openai", CHAT, 13)),
    (calls.completion_stream, Kept("openai", CHAT, 13, "complete")),
    (calls.completion_error, Kept("openai", CHAT, None, None, "BadRequestError")),
    (calls.claude, Kept("anthropic", OWN, 18)),
    (calls.claude_stream, Kept("anthropic", OWN, 18, "complete")),
    (calls.claude_stream_closed_early, Kept("anthropic", OWN, None, "abandoned")),
    (calls.claude_error, Kept("anthropic", OWN, None, None, "BadRequestError")),
    (calls.claude_timeout, Kept("anthropic", OWN, None, None, "Timeout")),
    (calls.gemini, Kept("google", OWN, 15)),
    (calls.gemini_stream, Kept("google", OWN, 15, "complete")),
    (calls.mistral, Kept("mistral", OWN, 13)),
    (calls.mistral_stream_without_usage, Kept("mistral", OWN, None, "complete")),
    (calls.azure, Kept("azure", CHAT, 13)),
    (calls.bedrock, Kept("bedrock", OWN, 13)),
    (calls.embedding, Kept("openai", "embeddings.create", 4)),
    (calls.responses, Kept("openai", "litellm.responses", 15)),
    (calls.image, Kept("openai", "images.generate", 281)),
    (calls.speech, Kept("openai", "audio.speech.create", None)),
    (calls.transcription, Kept("openai", "audio.transcriptions.create", 16)),
    (calls.rerank, Kept("cohere", "litellm.rerank", None)),
    (calls.acompletion, Kept("openai", CHAT, 13)),
    (calls.acompletion_stream, Kept("openai", CHAT, 13, "complete")),
    (calls.aclaude, Kept("anthropic", OWN, 18)),
    (calls.aclaude_stream, Kept("anthropic", OWN, 18, "complete")),
    (calls.aclaude_error, Kept("anthropic", OWN, None, None, "BadRequestError")),
    (calls.aclaude_cancelled, Kept("anthropic", OWN, None, None, "CancelledError")),
    (calls.aembedding, Kept("openai", "embeddings.create", 4)),
    (calls.aresponses_stream, Kept("openai", "litellm.responses", 15, "complete")),
    (calls.amessages, Kept("anthropic", "litellm.anthropic_messages", 18)),
]


class Recorded:
    """What was recorded in one test."""

    def __init__(self, store: aicore_obs.LlmOperationCollector) -> None:
        self._store = store
        self.run_id = new_id()

    def frame(self, rows: int) -> pl.DataFrame:
        """Return all rows, when there are so many: LiteLLM tells on threads of its own."""
        from aicore_obs.observer import litellm as listener

        end = time.monotonic() + 20
        while True:
            frame = self._store.polars_from_db(run_id=self.run_id, order="asc")
            is_told = frame.height >= rows and not listener._pending
            if is_told or time.monotonic() > end:
                return frame
            gc.collect()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aicore_obs.LlmOperationCollector]:
    directory = tmp_path_factory.mktemp("litellm")
    with pytest.MonkeyPatch.context() as monkeypatch, observing(directory, monkeypatch) as collector:
        monkeypatch.setenv("AICORE_OBS_ESTIMATE_TOKENS", "0")
        monkeypatch.setattr(litellm, "suppress_debug_info", True)
        yield collector


@pytest.fixture
def recorded(store: aicore_obs.LlmOperationCollector) -> Iterator[Recorded]:
    found = Recorded(store)
    with aicore_obs.bind(run_id=found.run_id):
        yield found
    observer.reset()


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


def _made(call: Any, server: ModelServer) -> Any:
    server.requests.clear()
    return asyncio.run(call(server)) if inspect.iscoroutinefunction(call) else call(server)


@pytest.mark.parametrize(("call", "kept"), SHAPES, ids=[call.__name__ for call, _ in SHAPES])
def test_a_call_is_the_same_and_is_recorded_once(
    call: Any, kept: Kept, server: ModelServer, recorded: Recorded
) -> None:
    """Values, types and exceptions equal those of the plain call; one physical request is one operation."""
    without_us = _made(call, server)
    aicore_obs.instrument()
    assert _made(call, server) == without_us
    frame = recorded.frame(1)
    assert frame.height == len(server.requests) == 1
    assert Kept(*frame.select("provider", "api", "total_tokens", "stream_state", "error_type").row(0)) == kept
    assert frame["server_address"].to_list() != [None]
    told = json.loads(frame["extras"].struct.field("litellm")[0])
    assert told["call_type"]
    if call is not calls.aclaude_cancelled:  # a task made of LiteLLM's own coroutine has no frame of the application
        site = json.loads(frame["extras"].struct.field("callsite")[0])
        assert site["file"] == calls.__file__


def test_what_is_said_to_litellm_is_kept_whoever_records(server: ModelServer, recorded: Recorded) -> None:
    """User, tags and metadata stand on the SDK's record and on LiteLLM's own; what was said to us goes before."""
    aicore_obs.instrument()
    said: dict[str, Any] = {"user": "u-1", "metadata": {"tags": ["a"], "ticket": 7, "session_id": "s-1"}}
    for model in (calls.GPT, calls.CLAUDE):
        litellm.completion(**calls.asked(server, model, **said))
    with aicore_obs.bind(user_id="ours", labels={"team": "search"}):
        litellm.completion(**calls.asked(server, calls.CLAUDE, **said))
    frame = recorded.frame(3)
    assert frame["api"].to_list() == [CHAT, OWN, OWN]
    assert frame["user_id"].to_list() == ["u-1", "u-1", "ours"]
    assert frame["session_id"].to_list() == ["s-1"] * 3
    assert frame["tags"].to_list() == [["a"]] * 3
    metadata = [json.loads(told)["metadata"] for told in frame["extras"].struct.field("litellm")]
    assert metadata == [{"ticket": 7}] * 3
    assert "sk-none" not in str(frame.to_dicts())


def test_litellms_calls_are_priced_as_any_other(server: ModelServer, recorded: Recorded) -> None:
    """Tokens are what the provider counted, cache included once, and the price is the book's."""
    aicore_obs.instrument()
    litellm.completion(**calls.asked(server, calls.CLAUDE))
    (row,) = recorded.frame(1).to_dicts()
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (15, 5, 3)
    assert row["response_text"] == "Blue."
    asked = {"provider": "anthropic", "model": "claude-sonnet-5", "at": row["timestamp"]}
    usage = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 3}
    assert row["usage_source"] == "litellm"
    priced = aicore_obs.cost_of({"type": "message", "model": "claude-sonnet-5", "usage": usage}, **asked).cost
    assert priced is not None
    assert row["cost_usd"] == priced.total > 0


def test_a_plain_call_afterwards_is_no_part_of_litellms(server: ModelServer, recorded: Recorded) -> None:
    """What LiteLLM leaves in the context neither swallows a later call nor is said of it, with a stream open or not."""
    aicore_obs.instrument()
    stream = litellm.completion(**calls.asked(server, calls.CLAUDE), stream=True)
    next(stream)
    plain.chat(server)
    list(stream)
    plain.chat(server)
    frame = recorded.frame(3)
    assert sorted(frame["api"]) == [CHAT, CHAT, OWN]
    assert [told for told in frame["extras"].struct.field("litellm") if told is None] == [None, None]


def test_a_call_in_a_callback_of_the_application_is_its_own(
    server: ModelServer, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that asks a model while LiteLLM tells of a call takes nothing away from that call."""

    class Judge(litellm.integrations.custom_logger.CustomLogger):  # type: ignore[misc]
        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            async with plain.openai_async(server) as client:
                await client.chat.completions.create(**plain.CHAT)

    monkeypatch.setattr(litellm, "callbacks", [Judge()])
    aicore_obs.instrument()

    async def judged() -> None:
        await litellm.acompletion(**calls.asked(server, calls.CLAUDE))
        async with asyncio.timeout(60):
            while len(server.requests) < 2:
                await asyncio.sleep(0.005)

    server.requests.clear()
    asyncio.run(judged())
    frame = recorded.frame(2)
    assert sorted(frame["api"]) == [CHAT, OWN]
    litellm.logging_callback_manager._reset_all_callbacks()


def test_tasks_and_threads_keep_their_own_context(server: ModelServer, recorded: Recorded) -> None:
    """Each of many concurrent calls is one record, with the user of the task or thread that made it."""
    aicore_obs.instrument()
    models = [calls.GPT, calls.CLAUDE, calls.MISTRAL, calls.GEMINI] * 3

    async def one(number: int, model: str) -> None:
        with aicore_obs.bind(user_id=f"{number} {model}"):
            await litellm.acompletion(**calls.asked(server, model))

    async def all_of_them() -> None:
        await asyncio.gather(*[one(*pair) for pair in enumerate(models)])

    def in_thread(pair: tuple[int, str]) -> None:
        with aicore_obs.bind(run_id=recorded.run_id, user_id=f"thread {pair[0]} {pair[1]}"):
            litellm.completion(**calls.asked(server, pair[1]))

    asyncio.run(all_of_them())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(in_thread, enumerate(models)))
    frame = recorded.frame(2 * len(models))
    assert frame.height == frame["user_id"].n_unique() == 2 * len(models)
    providers = {calls.GPT: "openai", calls.CLAUDE: "anthropic", calls.MISTRAL: "mistral", calls.GEMINI: "google"}
    for user, provider in frame.select("user_id", "provider").rows():
        assert providers[user.rpartition(" ")[2]] == provider


@pytest.mark.parametrize("model", ["openai/fail", "anthropic/fail"])
def test_each_attempt_is_an_operation(model: str, server: ModelServer, recorded: Recorded) -> None:
    """Retries are each an operation with its error, and a fallback is the one that has an answer."""
    aicore_obs.instrument()
    server.requests.clear()
    calls.caught(lambda: litellm.completion(**calls.asked(server, model, num_retries=2)))
    asyncio.run(litellm.acompletion(**calls.asked(server, model), fallbacks=[calls.asked(server, calls.CLAUDE)]))
    frame = recorded.frame(5)
    assert frame.height == len(server.requests) == 5
    assert frame["error_type"].to_list() == ["BadRequestError"] * 4 + [None]
    assert frame["provider"].to_list() == [model.partition("/")[0]] * 4 + ["anthropic"]


def test_an_answer_from_litellms_cache_costs_nothing(
    server: ModelServer, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an operation of its own, marked, in the context of its caller, and billed to nobody."""
    pytest.importorskip("soundfile")
    monkeypatch.setattr(litellm, "cache", litellm.Cache())
    aicore_obs.instrument()

    async def twice() -> None:
        for user in ("first", "second"):
            with aicore_obs.bind(user_id=user):
                await litellm.acompletion(**calls.asked(server, calls.CLAUDE))
            await asyncio.sleep(0.05)  # LiteLLM writes its cache in a task that it does not wait for

    server.requests.clear()
    asyncio.run(twice())
    frame = recorded.frame(2)
    assert len(server.requests) == 1
    assert frame["user_id"].to_list() == ["first", "second"]
    assert frame["extras"].struct.field("cache_hit").to_list() == [None, True]
    assert frame["total_tokens"].to_list() == [18, 18]
    assert frame["cost_usd"].to_list()[1] == 0
    assert frame["cost_source"].to_list()[1] == "provider"


def test_a_mocked_answer_is_no_operation(server: ModelServer, recorded: Recorded) -> None:
    """Where LiteLLM is told what to answer nobody is asked."""
    aicore_obs.instrument()
    litellm.completion(**calls.asked(server), mock_response="Green.")
    litellm.completion(**calls.asked(server, calls.CLAUDE))
    assert recorded.frame(1)["response_text"].to_list() == ["Blue."]


def test_callbacks_that_are_set_anew_do_not_end_it(
    server: ModelServer, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applications assign these lists; each of them alone is enough to find us again."""
    lists = ("callbacks", "success_callback", "failure_callback", "input_callback")
    for rows, name in enumerate(lists, start=1):
        aicore_obs.instrument()
        monkeypatch.setattr(litellm, name, [])
        litellm.completion(**calls.asked(server, calls.CLAUDE))
        assert recorded.frame(rows).height == rows, name
        aicore_obs.uninstrument()


def test_listening_twice_is_once_and_it_ends_everywhere(server: ModelServer, recorded: Recorded) -> None:
    """Nothing of ours is left in any of LiteLLM's lists."""
    from aicore_obs.observer import litellm as listener

    before = {name: list(getattr(litellm, name)) for name in listener._LISTS}
    for _ in range(2):
        assert "litellm" in aicore_obs.instrument()
        litellm.completion(**calls.asked(server, calls.CLAUDE))
    assert recorded.frame(2).height == 2
    assert all(getattr(litellm, name).count(listener._logger) == 1 for name in before)
    aicore_obs.uninstrument()
    litellm.completion(**calls.asked(server, calls.CLAUDE))
    assert [one for name in before for one in getattr(litellm, name) if one is listener._logger] == []
    assert recorded.frame(2).height == 2


def test_it_may_be_the_only_one_that_is_chosen(server: ModelServer, recorded: Recorded) -> None:
    """What LiteLLM asks through an SDK that was not chosen is recorded as LiteLLM tells it; others are not recorded."""
    aicore_obs.uninstrument()
    assert aicore_obs.instrument(["litellm"]) == ["litellm"]
    litellm.completion(**calls.asked(server, calls.CLAUDE))
    assert recorded.frame(1).height == 1
    aicore_obs.uninstrument()
    assert aicore_obs.instrument(["anthropic"]) == ["anthropic"]
    litellm.completion(**calls.asked(server, calls.CLAUDE))
    assert recorded.frame(1).height == 1


_PROGRAM = """
import asyncio, sys
import aicore_obs
aicore_obs.configure(db_url=sys.argv[1])
aicore_obs.instrument()
assert "litellm" not in sys.modules
import litellm
messages = [{"role": "user", "content": "Hi"}]
asked = dict(model="anthropic/claude-sonnet-5", messages=messages, api_base=sys.argv[2], api_key="none")
asyncio.run(litellm.acompletion(**asked))
list(litellm.completion(**asked, stream=True))
"""


def test_a_program_that_imports_it_later_and_ends_at_once_loses_nothing(server: ModelServer, tmp_path: Any) -> None:
    """LiteLLM tells of the last calls while the process ends; they are complete."""
    url = f"sqlite:///{tmp_path}/calls.db"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, url, server.url], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with aicore_obs.LlmOperationCollector(db_url=url) as collector:
        frame = collector.polars_from_db(order="asc")
    assert frame.select("status", "stream_state", "total_tokens").rows() == [("ok", None, 18), ("ok", "complete", 18)]
