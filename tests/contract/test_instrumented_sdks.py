"""This module is where the first law is held for every SDK: what a program sees is the same with us and without us.

Each call is made plain and instrumented against the same server; then one record is there for each physical request.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import polars as pl
import pytest

import aicore_obs
from aicore_obs.model.ids import new_id
from aicore_obs.observer import observer
from tests import sdk_calls as calls
from tests import sdk_calls_media as media
from tests import sdk_calls_others as others
from tests.model_server import ModelServer, model_server
from tests.observed import exported, observing


class Kept(NamedTuple):
    """What one call leaves in the store. Tokens None: nobody reported any."""

    provider: str
    api: str
    tokens: int | None
    state: str | None = None
    error: str | None = None


CHAT, RESPONSES, EMBED, MESSAGES = "chat.completions.create", "responses.create", "embeddings.create", "messages.create"
GENERATE, GENERATE_STREAM = "models.generate_content", "models.generate_content_stream"

# The call → what is kept of it; None: no request was made.
SHAPES: list[tuple[Any, Kept | None]] = [
    (calls.chat, Kept("openai", CHAT, 13)),
    (calls.chat_parse, Kept("openai", CHAT, 13)),
    (calls.chat_stream, Kept("openai", CHAT, 13, "complete")),
    (calls.chat_stream_without_usage, Kept("openai", CHAT, None, "complete")),
    (calls.chat_stream_helper, Kept("openai", CHAT, None, "complete")),
    (calls.chat_stream_closed_early, Kept("openai", CHAT, None, "abandoned")),
    (calls.chat_raw, Kept("openai", CHAT, 13)),
    (calls.chat_raw_stream, Kept("openai", CHAT, 13, "complete")),
    (calls.chat_streaming_response, Kept("openai", CHAT, 13)),
    (calls.chat_streaming_lines, Kept("openai", CHAT, 13, "complete")),
    (calls.chat_error, Kept("openai", CHAT, None, None, "BadRequestError")),
    (calls.chat_refused, Kept("openai", CHAT, None, None, "APIConnectionError")),
    (calls.chat_timeout, Kept("openai", CHAT, None, None, "APITimeoutError")),
    (calls.chat_broken_stream, Kept("openai", CHAT, None, "error", "APIError")),
    (calls.wrong_arguments, None),
    (calls.responses, Kept("openai", RESPONSES, 15)),
    (calls.responses_stream, Kept("openai", RESPONSES, 15, "complete")),
    (calls.responses_stream_helper, Kept("openai", RESPONSES, 15, "complete")),
    (calls.embeddings, Kept("openai", EMBED, 4)),
    (calls.achat, Kept("openai", CHAT, 13)),
    (calls.achat_stream, Kept("openai", CHAT, 13, "complete")),
    (calls.achat_stream_closed_early, Kept("openai", CHAT, None, "abandoned")),
    (calls.achat_streaming_response, Kept("openai", CHAT, 13)),
    (calls.achat_error, Kept("openai", CHAT, None, None, "BadRequestError")),
    (calls.achat_cancelled, Kept("openai", CHAT, None, None, "CancelledError")),
    (calls.achat_stream_cancelled, Kept("openai", CHAT, None, "cancelled", "CancelledError")),
    (calls.aresponses_stream, Kept("openai", RESPONSES, 15, "complete")),
    (calls.aembeddings, Kept("openai", EMBED, 2)),
    (calls.messages, Kept("anthropic", MESSAGES, 18)),
    (calls.messages_stream, Kept("anthropic", MESSAGES, 18, "complete")),
    (calls.messages_stream_helper, Kept("anthropic", MESSAGES, 18, "complete")),
    (calls.messages_raw, Kept("anthropic", MESSAGES, 18)),
    (calls.messages_error, Kept("anthropic", MESSAGES, None, None, "BadRequestError")),
    (calls.amessages_stream_helper, Kept("anthropic", MESSAGES, 18, "complete")),
    (calls.generate, Kept("google", GENERATE, 15)),
    (calls.generate_stream, Kept("google", GENERATE_STREAM, 15, "complete")),
    (calls.generate_error, Kept("google", GENERATE, None, None, "ClientError")),
    (calls.embed, Kept("google", "models.embed_content", None)),
    (calls.agenerate, Kept("google", GENERATE, 15)),
    (calls.agenerate_stream, Kept("google", GENERATE_STREAM, 15, "complete")),
    (calls.groq_chat, Kept("groq", CHAT, 13)),
    (calls.groq_chat_stream, Kept("groq", CHAT, None, "complete")),
    (others.mistral_chat, Kept("mistral", "chat.complete", 13)),
    (others.mistral_stream, Kept("mistral", "chat.stream", None, "complete")),
    (others.mistral_astream, Kept("mistral", "chat.stream", None, "complete")),
    (others.cohere_chat, Kept("cohere", "chat", 13)),
    (others.cohere_stream, Kept("cohere", "chat_stream", 13, "complete")),
    (others.cohere_astream, Kept("cohere", "chat_stream", 13, "complete")),
    (others.converse, Kept("bedrock", "converse", 13)),
    (others.converse_stream, Kept("bedrock", "converse_stream", 13, "complete")),
    (others.converse_stream_closed_early, Kept("bedrock", "converse_stream", None, "abandoned")),
    (others.invoke_model, Kept("bedrock", "invoke_model", 13)),
    (others.converse_error, Kept("bedrock", "converse", None, None, "ClientError")),
    (others.ollama_chat, Kept("ollama", "chat", 13)),
    (others.ollama_stream, Kept("ollama", "chat", 13, "complete")),
    (others.ollama_astream, Kept("ollama", "chat", 13, "complete")),
    (media.chat_tools, Kept("openai", CHAT, 13)),
    (media.chat_tools_stream, Kept("openai", CHAT, None, "complete")),
    (media.image, Kept("openai", "images.generate", 281)),
    (media.image_edit, Kept("openai", "images.edit", 281)),
    (media.aimage, Kept("openai", "images.generate", 281)),
    (media.speech, Kept("openai", "audio.speech.create", None)),
    (media.speech_streamed, Kept("openai", "audio.speech.create", None)),
    (media.transcription, Kept("openai", "audio.transcriptions.create", 16)),
    (media.moderation, Kept("openai", "moderations.create", None)),
    (media.video, Kept("openai", "videos.create", None)),
    (media.azure_chat, Kept("azure", CHAT, 13)),
    (media.azure_achat_stream, Kept("azure", CHAT, 13, "complete")),
    (media.chat_stream_copied, Kept("openai", CHAT, 13, "complete")),
    (media.chat_stream_two_readers, Kept("openai", CHAT, 13, "complete")),
    (media.chat_stream_two_threads, Kept("openai", CHAT, 13, "complete")),
    (media.achat_stream_two_readers, Kept("openai", CHAT, 13, "complete")),
    (media.amessages, Kept("anthropic", MESSAGES, 18)),
    (media.amessages_stream, Kept("anthropic", MESSAGES, 18, "complete")),
    (media.amessages_error, Kept("anthropic", MESSAGES, None, None, "BadRequestError")),
    (media.messages_streaming_response, Kept("anthropic", MESSAGES, 18)),
    (media.messages_copied, Kept("anthropic", MESSAGES, 18)),
    (media.image_of_google, Kept("vertex", "models.generate_images", None)),
    (media.video_of_google, Kept("vertex", "models.generate_videos", None)),
    (media.agenerate_error, Kept("google", GENERATE, None, None, "ClientError")),
    (media.generate_copied, Kept("google", GENERATE, 15)),
    (media.mistral_fim, Kept("mistral", "fim.complete", 13)),
    (media.mistral_embeddings, Kept("mistral", EMBED, 2)),
    (media.mistral_error, Kept("mistral", "chat.complete", None, None, "SDKError")),
    (media.mistral_achat, Kept("mistral", "chat.complete", 13)),
    (media.cohere_embed, Kept("cohere", "embed", 2)),
    (media.cohere_rerank, Kept("cohere", "rerank", None)),
    (media.cohere_error, Kept("cohere", "chat", None, None, "BadRequestError")),
    (media.ollama_generate, Kept("ollama", "generate", 13)),
    (media.ollama_embed, Kept("ollama", "embed", 1)),
    (media.ollama_aerror, Kept("ollama", "chat", None, None, "ResponseError")),
    (media.invoke_stream, Kept("bedrock", "invoke_model_with_response_stream", 13, "complete")),
    (others.together_chat, Kept("together", CHAT, 13)),
    (others.together_stream, Kept("together", CHAT, None, "complete")),
    (others.together_error, Kept("together", CHAT, None, error="BadRequestError")),
    (others.atogether_stream, Kept("together", CHAT, None, "complete")),
]
if find_spec("fireworks"):
    # Not among the packages of `dev`: it brings aiohttp, by which google-genai would make its calls here.
    SHAPES += [
        (others.fireworks_chat, Kept("fireworks", CHAT, 13)),
        (others.fireworks_stream, Kept("fireworks", CHAT, None, "complete")),
        (others.afireworks_chat, Kept("fireworks", CHAT, 13)),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aicore_obs.LlmOperationCollector]:
    """One store for all tests: each looks at what it recorded itself."""
    directory = tmp_path_factory.mktemp("observed")
    with pytest.MonkeyPatch.context() as monkeypatch, observing(directory, monkeypatch) as collector:
        # What the provider said is looked at here, and not what can be told without it.
        monkeypatch.setenv("AICORE_OBS_ESTIMATE_TOKENS", "0")
        yield collector


class Recorded:
    """What was recorded in one test."""

    def __init__(self, store: aicore_obs.LlmOperationCollector) -> None:
        self._store = store
        self.run_id = new_id()

    def frame(self) -> pl.DataFrame:
        return self._store.polars_from_db(run_id=self.run_id)


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
    made = asyncio.run(call(server)) if inspect.iscoroutinefunction(call) else call(server)
    if call is others.converse_stream_closed_early:
        gc.collect()  # botocore's streams are circles: a closed one goes with the garbage
    return made


@pytest.mark.parametrize(("call", "kept"), SHAPES, ids=[call.__name__ for call, _ in SHAPES])
def test_a_call_is_the_same_and_is_recorded_once(
    call: Any, kept: Kept | None, server: ModelServer, recorded: Recorded
) -> None:
    """Values, types and exceptions equal those of the plain call; one physical request is one operation."""
    plain = _made(call, server)
    aicore_obs.instrument()
    assert _made(call, server) == plain

    frame = recorded.frame()
    assert frame.height == (0 if kept is None else 1)
    if kept is not None:
        columns = ("provider", "api", "total_tokens", "stream_state", "error_type")
        assert Kept(*frame.select(columns).row(0)) == kept
        assert frame["server_address"].to_list() != [None]
        assert frame["latency_ms"][0] > 0
        if kept.state == "complete":
            assert frame["extras"].struct.field("stream_chunks")[0] >= 1
        if kept.state != "abandoned":
            assert (frame["time_to_first_token_ms"][0] is not None) == (kept.state is not None)
        if call is not calls.achat_cancelled:  # a task made of the SDK's own coroutine has no frame of the application
            site = json.loads(frame["extras"].struct.field("callsite")[0])
            function = site["function"].partition(".")[0]
            assert function in (call.__name__, "caught", "acaught")
            # What awaits a call that fails is the helper beside the first calls.
            assert site["file"] == (inspect.getfile(call) if function == call.__name__ else calls.__file__)


@pytest.mark.parametrize(("call", "requests"), [(media.chat_copied, 2), (media.achat_parallel, 3)])
def test_several_calls_are_several_records(call: Any, requests: int, server: ModelServer, recorded: Recorded) -> None:
    """Copied, pickled and gathered results equal those of plain calls; each request is one operation."""
    plain = _made(call, server)
    aicore_obs.instrument()
    assert _made(call, server) == plain
    assert recorded.frame()["total_tokens"].to_list() == [13] * requests


def test_patching_twice_is_once_and_unpatching_restores_identity(server: ModelServer) -> None:
    """The very functions that were there come back, also those of the classes of responses."""
    import httpx2
    import openai
    from google.genai import models

    places = [
        (openai._base_client.SyncAPIClient, "request"),
        (openai._base_client.AsyncAPIClient, "request"),
        (models.Models, "_generate_content"),
        (httpx2.Response, "iter_bytes"),
        (httpx2.Response, "close"),
    ]
    before = [vars(owner)[name] for owner, name in places]
    for _ in range(2):
        aicore_obs.instrument()
        calls.chat_stream(server)
    assert all(vars(owner)[name] is not one for (owner, name), one in zip(places, before, strict=True))
    assert inspect.signature(openai._base_client.SyncAPIClient.request) == inspect.signature(before[0])
    assert inspect.iscoroutinefunction(openai._base_client.AsyncAPIClient.request)
    aicore_obs.uninstrument()
    assert [vars(owner)[name] for owner, name in places] == before


def test_two_patches_record_once(server: ModelServer, recorded: Recorded) -> None:
    """However often it was asked for, by sessions too, a call is one record; unpatched it is none."""
    for _ in range(3):
        aicore_obs.instrument()
    observer.observe()
    calls.chat(server)
    observer.end()
    assert recorded.frame().height == 1
    aicore_obs.uninstrument()
    calls.chat(server)
    assert recorded.frame().height == 1


def test_a_session_records_what_is_inside_of_it(server: ModelServer, recorded: Recorded) -> None:
    """Without ``instrument`` calls outside of sessions are not recorded."""
    observer.observe()
    calls.chat(server)
    observer.end()
    calls.chat(server)
    assert recorded.frame().height == 1
    (event,) = exported()["events"]
    assert event["provider"] == "openai"
    assert event["response"]["text"] == "Blue."


def test_suppressed_calls_are_not_recorded(server: ModelServer, recorded: Recorded) -> None:
    """Inside ``suppress`` nothing is."""
    aicore_obs.instrument()
    with aicore_obs.suppress():
        calls.chat(server)
    assert recorded.frame().height == 0


def test_the_host_says_who_answers(server: ModelServer) -> None:
    """The provider comes from the base URL where its host is known."""
    import openai

    from aicore_obs.observer.watch import Watch
    from aicore_obs.protocols import Asked
    from aicore_obs.sdks import stainless

    (hook, _) = stainless.hooks("openai", tested="")
    for base_url, provider in {
        "https://api.groq.com/openai/v1": "groq",
        "https://mine.openai.azure.com/openai": "azure",
        "https://openrouter.ai/api/v1": "openrouter",
        "https://llm.example.com/v1": "openai",
    }.items():
        client = openai.OpenAI(api_key="sk-none", base_url=base_url)
        asked = Asked(api="x", request={}, base_url=str(client.base_url))
        assert Watch(hook, "openai", asked)._provider == provider


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT),
        ("/openai/v1/chat/completions", CHAT),
        ("https://api.fireworks.ai/inference/v1/chat/completions", CHAT),
        ("/deployments/mine/chat/completions?api-version=1", CHAT),
        ("/files", None),
    ],
)
def test_the_path_says_which_call_it_is(url: str, api: str | None) -> None:
    """Each SDK of this make writes the path in its own way; Fireworks' has whole URLs by default."""
    import openai
    from openai._models import FinalRequestOptions

    from aicore_obs.sdks import stainless

    with openai.OpenAI(api_key="sk-none") as client:
        options = FinalRequestOptions(method="post", url=url, json_data={"model": "m"})
        asked = stainless.read_call(client, (), {"options": options})
    assert (None if asked is None else asked.api) == api


def test_an_abandoned_stream_is_recorded(server: ModelServer, recorded: Recorded) -> None:
    """A stream that is dropped, never read at all or after a chunk, leaves a record with what had come."""
    aicore_obs.instrument()
    with calls.openai_client(server) as client:
        for reads in (0, 1):
            stream = client.chat.completions.create(**calls.CHAT, stream=True)
            for _ in range(reads):
                next(stream)
            del stream
            gc.collect()
    with calls.gemini_client(server) as gemini:
        next(gemini.models.generate_content_stream(model=calls.GEMINI, contents="What colour?"))
        gc.collect()
    frame = recorded.frame()
    assert frame["stream_state"].to_list() == ["abandoned"] * 3
    assert frame["total_tokens"].to_list() == [None] * 3


def test_a_dropped_stream_is_released_as_soon_as_without_us(server: ModelServer) -> None:
    """No cover keeps a response from going when its last user drops it: anthropic's goes at once."""
    import weakref

    def released() -> bool:
        with calls.anthropic_client(server) as client:
            stream = client.messages.create(**calls.CLAUDE, stream=True)
            next(stream)
            response = weakref.ref(stream.response)
            del stream
            return response() is None

    gc.disable()
    try:
        plain = released()
        aicore_obs.instrument()
        assert released() == plain
    finally:
        gc.enable()
        aicore_obs.uninstrument()


def test_what_the_caller_changes_afterwards_changes_nothing(server: ModelServer, recorded: Recorded) -> None:
    """The request is kept as it was made, and no key of the client is in it."""
    aicore_obs.instrument()
    messages = [{"role": "user", "content": "first"}]
    with calls.openai_client(server) as client:
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)  # type: ignore[call-overload]
        messages[0]["content"] = "second"
        list(stream)
    text = str(recorded.frame()["completion_args"][0])
    assert "first" in text
    assert "second" not in text
    assert "sk-none" not in text


def test_only_chosen_providers_are_recorded(server: ModelServer, recorded: Recorded) -> None:
    """Others are left alone, until all are asked for; a name that is nobody's is a mistake."""
    found = aicore_obs.instrument(["anthropic", "google-genai"])
    assert found == ["anthropic", "google.genai"]
    calls.chat(server)
    calls.messages(server)
    assert recorded.frame()["provider"].to_list() == ["anthropic"]
    assert "openai" in aicore_obs.instrument()
    calls.chat(server)
    assert recorded.frame().height == 2
    with pytest.raises(aicore_obs.ConfigurationError, match="'acme' is none of anthropic, bedrock"):
        aicore_obs.instrument(["acme"])
