"""This module is where it is checked that an SDK of one's own is recorded as those that come with the package are."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import aicore_obs
from aicore_obs import ConfigurationError, descriptions
from aicore_obs.model.usage import Usage
from aicore_obs.observer import Asked, Hook, observer
from aicore_obs.protocols import ResponseFacts
from tests.observed import exported, observing

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


class Client:
    """What a little SDK might look like: everything passes one function."""

    base_url = "https://api.acme.example/v1"

    def ask(self, question: str, **options: Any) -> Any:
        return self._send("ask", {"model": "acme-1", "messages": [{"role": "user", "content": question}], **options})

    def models(self) -> Any:
        return self._send("models", {})

    def _send(self, path: str, body: dict[str, Any]) -> Any:
        if body.get("stream"):
            return self._parts()
        if body.get("fails"):
            raise ValueError("acme says no")
        return {"id": "acme-id", "model": "acme-1-0601", "choices": [{"message": {"content": "Blue."}}], "usage": USAGE}

    def _parts(self) -> Iterator[Any]:
        for text in ("Bl", "ue."):
            yield {"id": "acme-id", "choices": [{"delta": {"content": text}}]}
        yield {"id": "acme-id", "choices": [], "usage": USAGE}


class AsyncClient(Client):
    """Its async twin."""

    async def ask(self, question: str, **options: Any) -> Any:
        return await self._asend({"model": "acme-1", "prompt": question, **options})

    async def _asend(self, body: dict[str, Any]) -> Any:
        return self._aparts() if body.get("stream") else self._send("ask", body)

    async def _aparts(self) -> AsyncIterator[Any]:
        for part in self._parts():
            yield part


def read_call(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    """Read what the function got; models are no call of a model."""
    if args[0] == "models":
        return None
    return Asked(api="ask", request=args[-1], base_url=client.base_url)


def hook(function: str, **more: Any) -> Hook:
    return Hook(package="acme_sdk", module="acme_sdk", function=function, read_call=read_call, **more)


def acme(**duties: Any) -> SimpleNamespace:
    hooks = (hook("Client._send", parameters=("path", "body")), hook("AsyncClient._asend", is_async=True))
    return SimpleNamespace(**{"name": "acme", "hosts": ("api.acme.example",), "hooks": hooks, **duties})


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The little SDK as an installed module, and descriptions that know only ours before and after."""
    module: Any = ModuleType("acme_sdk")
    module.Client = type("Client", (Client,), dict(vars(Client)))
    module.AsyncClient = type("AsyncClient", (module.Client,), dict(vars(AsyncClient)))
    monkeypatch.setitem(sys.modules, "acme_sdk", module)
    monkeypatch.setattr(descriptions, "_registered", {})
    yield module
    observer.reset()
    for looked_up in (descriptions.registry, descriptions._by_name, descriptions.server_of):
        looked_up.cache_clear()


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aicore_obs.LlmOperationCollector]:
    # What the SDK said is looked at here.
    monkeypatch.setenv("AICORE_OBS_ESTIMATE_TOKENS", "0")
    with observing(tmp_path, monkeypatch) as found:
        yield found


COLUMNS = ["provider", "api", "model", "response_id", "total_tokens", "stream_state", "error_type", "server_address"]
ADDRESS = "api.acme.example"


def test_calls_streams_and_errors_are_recorded(sdk: Any, collector: aicore_obs.LlmOperationCollector) -> None:
    """Registered after instrumenting: from then on, with everything that its answers say."""
    aicore_obs.instrument()
    client = sdk.Client()
    client.ask("before")
    aicore_obs.register_provider(acme())
    assert client.ask("What colour?")["id"] == "acme-id"
    assert len(list(client.ask("What colour?", stream=True))) == 3
    stream = client.ask("What colour?", stream=True)
    next(stream)
    stream.close()
    with pytest.raises(ValueError, match="acme says no"):
        client.ask("What colour?", fails=True)
    client.models()
    assert collector.polars_from_db(columns=COLUMNS).rows() == [
        ("acme", "ask", "acme-1", "acme-id", 7, None, None, ADDRESS),
        ("acme", "ask", "acme-1", "acme-id", 7, "complete", None, ADDRESS),
        ("acme", "ask", "acme-1", "acme-id", None, "abandoned", None, ADDRESS),
        ("acme", "ask", "acme-1", None, None, None, "ValueError", ADDRESS),
    ]
    observer.reset()
    assert not hasattr(vars(sdk.Client)["_send"], "__wrapped__")


@pytest.mark.anyio
async def test_async_calls_are_recorded(sdk: Any, collector: aicore_obs.LlmOperationCollector) -> None:
    """Registered before instrumenting, by the observer's own word."""
    observer.register_provider(acme())
    observer.observe()
    client = sdk.AsyncClient()
    await client.ask("What colour?")
    assert len([part async for part in await client.ask("What colour?", stream=True)]) == 3
    observer.end()
    rows = collector.polars_from_db(columns=["total_tokens", "stream_state"]).rows()
    assert rows == [(7, None), (7, "complete")]
    assert [event["provider"] for event in exported()["events"]] == ["acme", "acme"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_readers_of_its_own(sdk: Any, collector: aicore_obs.LlmOperationCollector) -> None:
    """A shape that nobody else has; registering the name again replaces what was there, hooks included."""

    def read_response(raw: bytes, _: Any) -> ResponseFacts:
        return ResponseFacts(id="mine", usage=Usage(input_tokens=len(raw), output_tokens=0))

    aicore_obs.instrument()
    aicore_obs.register_provider(acme())
    aicore_obs.register_provider(acme(name="ACME", read_response=read_response))
    sdk.Client().ask("What colour?")
    rows = collector.polars_from_db(columns=["provider", "response_id", "usage_source"]).rows()
    assert rows == [("ACME", "mine", "ACME")]


def test_its_prices_are_rows_like_all_others(sdk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that was registered."""
    rows = [
        {"provider": "acme", "model": "acme-1", "match": "prefix", "input_mtok": 1, "output_mtok": 1, "source": "a"}
    ]
    aicore_obs.register_provider(acme())
    answer = aicore_obs.cost_of({"model": "acme-1-0601", "usage": USAGE}, provider="acme", prices=rows)
    assert answer.cost is not None
    assert answer.cost.total == Decimal("0.000007")


WRONG: list[tuple[Any, str]] = [
    (SimpleNamespace(), "name=None"),
    (acme(name="openai"), "name='openai'.*another name"),
    (acme(name="Gemini"), "name='Gemini'.*google"),
    (acme(hosts="api.acme.example"), "hosts='api.acme.example'"),
    (acme(hosts=[5]), "hosts=5"),
    (acme(hooks=[len]), "hooks=.*Hook"),
    (acme(read_text="text"), "read_text='text'"),
]


@pytest.mark.parametrize(("provider", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_cannot_be_registered(sdk: Any, provider: Any, message: str) -> None:
    """The message has the value; nothing is changed."""
    with pytest.raises(ConfigurationError, match=message):
        aicore_obs.register_provider(provider)
    assert descriptions.described("acme") is None


def test_an_sdk_that_is_not_what_was_described(
    sdk: Any, collector: aicore_obs.LlmOperationCollector, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning; the calls go on and are not recorded."""
    aicore_obs.instrument()
    aicore_obs.register_provider(acme(hooks=(hook("Client._post"), hook("AsyncClient._asend", parameters=("url",)))))
    sdk.Client().ask("What colour?")
    assert collector.stats().offered == 0
    assert "acme_sdk has no Client._post" in caplog.text
