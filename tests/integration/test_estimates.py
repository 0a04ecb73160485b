"""This module is where it is checked that tokens of streams without usage are estimated, and marked."""

from __future__ import annotations

import gzip
import hashlib
import socket
import subprocess
import sys
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs import LlmOperationCollector, PriceBook, estimation, instrument
from aicore_obs.capture.limits import Limits
from aicore_obs.capture.record import Capture
from aicore_obs.costing import costed
from aicore_obs.derivation import derive
from aicore_obs.model.operation import Derived
from aicore_obs.tokenizers import cached, shipped
from tests import sdk_calls as calls
from tests.captures import capture
from tests.model_server import model_server
from tests.observed import observing

ROWS = [{"provider": "acme", "model": "gpt-4o-mini", "input_mtok": "1000000", "output_mtok": "1000000", "source": "a"}]
PROMPT, ANSWER = "What colour is the sky?", "Blue, by Rayleigh scattering."
REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}
SOURCE = "estimate:o200k_base"


def chunks(*texts: str, **last: Any) -> list[dict[str, Any]]:
    """A stream of chat chunks, as OpenAI sends it where nobody asked for usage."""
    parts = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    return [{"object": "chat.completion.chunk", "model": "gpt-4o-mini", **part} for part in [*parts, last]]


def read(request: Any = REQUEST, response: Any = None, **options: Any) -> Derived:
    """Return what the road reads of one stream."""
    response = chunks("Blue, by ", "Rayleigh scattering.") if response is None else response
    options = {"provider": "acme", "stream_state": "complete", **options}
    return costed(PriceBook(ROWS), estimates=True)(capture(request, response, **options))


def tokens(found: Derived) -> tuple[int | None, int | None]:
    return found.usage.input_tokens, found.usage.output_tokens


def total(found: Derived) -> Decimal | None:
    assert found.cost is not None
    return found.cost.total


def count(text: str) -> int:
    return shipped.count(text, "o200k_base")


INPUT, OUTPUT = count(PROMPT) + count("user") + 3 + 3, count(ANSWER)


def test_a_stream_without_usage_is_estimated_and_says_so(tmp_path: Path) -> None:
    """Tokens by the texts, cost by the tokens; both are marked, also when it is costed again."""
    with LlmOperationCollector(tmp_path / "calls.jsonl", prices=ROWS) as collector:
        collector.record_completion(REQUEST, "completion", "acme", chunks(ANSWER), stream_state="complete")
        row = collector.polars_from_db().row(0, named=True)
        assert (row["input_tokens"], row["output_tokens"], row["total_tokens"]) == (INPUT, OUTPUT, INPUT + OUTPUT)
        assert (row["usage_source"], row["cost_usd"]) == (SOURCE, Decimal(INPUT + OUTPUT))
        assert row["cost_reason"] == "tokens are an estimate by o200k_base"
        assert collector.recost().changed == 0
        assert collector.recost(prices=[{**ROWS[0], "output_mtok": "2000000"}], dry_run=False).written == 1
        again = collector.polars_from_db(columns=["cost_usd", "cost_reason"]).row(0)
    assert again == (Decimal(INPUT + 2 * OUTPUT), "tokens are an estimate by o200k_base")


UNKNOWN: dict[str, dict[str, Any]] = {
    "no stream": {"stream_state": None},
    "no text": {"response": chunks()},
    "an error before the stream": {"response": {"error": {"message": "no"}}, "stream_state": "error"},
    "a long answer": {"response": chunks("word " * 110_000)},
}


@pytest.mark.parametrize("options", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_cannot_be_told_is_null(options: dict[str, Any]) -> None:
    """And never 0."""
    found = read(**options)
    assert (*tokens(found), found.usage_source, total(found)) == (None,) * 4


def test_what_the_provider_said_is_never_touched() -> None:
    """One side reported is enough to leave all of it alone."""
    found = read(response=chunks(ANSWER, choices=[], usage={"completion_tokens": 7}))
    assert (*tokens(found), found.usage_source) == (None, 7, "shape:openai")


HIDDEN: dict[str, Any] = {
    "a picture": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]},
    "a conversation on the server": {"input": PROMPT, "previous_response_id": "resp_1"},
    "nothing": {"model": "gpt-4o-mini"},
    "a strange part": {"messages": [{"role": "user", "content": PROMPT, "audio": {"id": "a"}}]},
}  # fmt: skip


@pytest.mark.parametrize("request_", HIDDEN.values(), ids=HIDDEN.keys())
def test_an_input_that_is_more_than_text_is_unknown(request_: Any) -> None:
    """The output is estimated; without the input there is no cost."""
    found = read(request_)
    assert (*tokens(found), total(found)) == (None, OUTPUT, None)


TEXTS: dict[str, tuple[Any, list[str], int]] = {
    "parts": ({"messages": [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}]}, ["user", PROMPT], 6),
    "instructions": ({"instructions": "Be brief.", "input": PROMPT}, ["Be brief.", PROMPT], 3),
    "google": ({"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}, ["user", PROMPT], 6),
    "anthropic": (
        {"system": [{"type": "text", "text": "Be brief."}], "messages": [{"role": "user", "content": PROMPT}]},
        ["Be brief.", "user", PROMPT],
        6,
    ),
    "tools": ({"prompt": PROMPT, "tools": [{"name": "f"}]}, [PROMPT, '[{"name":"f"}]'], 3),
    "calls": (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]},
        ["assistant", '[{"id":"c"}]'],
        6,
    ),
}


@pytest.mark.parametrize(("request_", "texts", "around"), TEXTS.values(), ids=TEXTS.keys())
def test_texts_of_requests(request_: Any, texts: list[str], around: int) -> None:
    """Roles, texts, instructions and tools are counted, as providers lay them out."""
    assert read(request_).usage.input_tokens == sum(map(count, texts)) + around


def test_older_models_have_an_older_vocabulary() -> None:
    """Told by the model that answered."""
    response = [{**chunk, "model": "gpt-3.5-turbo-0125"} for chunk in chunks("Grüße, 天空")]
    found = read(response=response)
    assert found.usage_source == "estimate:cl100k_base"
    assert found.usage.output_tokens == shipped.count("Grüße, 天空", "cl100k_base")


def test_a_watched_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK's stream for whose usage nobody asked."""
    with model_server() as server, observing(tmp_path, monkeypatch) as collector:
        instrument()
        calls.chat_stream_without_usage(server)
        columns = ["stream_state", "usage_source", "output_tokens"]
        assert collector.polars_from_db(columns=columns).row(0) == ("complete", SOURCE, count("Blue."))


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """``AICORE_OBS_ESTIMATE_TOKENS=0``: null, though a tokenizer is installed."""
    monkeypatch.setenv("AICORE_OBS_ESTIMATE_TOKENS", "0")
    assert tokens(read()) == (None, None)


def test_callers_never_wait_for_an_estimate() -> None:
    """What budgets and ``cost_of`` read on a caller's thread has none."""
    assert tokens(costed(PriceBook(ROWS))(capture(REQUEST, chunks(ANSWER), stream_state="complete"))) == (None, None)


def test_a_stream_without_usage_is_not_sampled_out() -> None:
    """Only its texts tell what it used; one with usage goes."""
    by = Capture(derive=derive, limits=Limits(sample_rate=0))
    usage = {"prompt_tokens": 1, "completion_tokens": 70}
    for response, made in ((chunks(ANSWER), OUTPUT), (chunks(ANSWER, choices=[], usage=usage), 70)):
        record = capture(REQUEST, response, by=by, stream_state="complete")
        assert (record.response is msgspec.UNSET) is (made == 70)
        assert costed(PriceBook(ROWS), estimates=True)(record).usage.output_tokens == made


VOCABULARY = "fb374d419588a4632f3f557e76b4b70aebbca790"


def _cache(directory: Path) -> Path:
    """Fill a cache as tiktoken does, with the vocabulary that bpe-openai ships."""
    packed = files("bpe_openai").joinpath("data", "o200k_base.tiktoken.gz").read_bytes()
    file = directory / VOCABULARY
    file.write_bytes(gzip.decompress(packed))
    return file


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that is tried."""
    tried: list[Any] = []

    def refused(*address: Any, **_: Any) -> None:
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    return tried


def test_tiktoken_counts_with_what_is_in_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[Any]
) -> None:
    """The same numbers as the shipped vocabulary; nobody is asked."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    _cache(tmp_path)
    cached._encoding.cache_clear()
    for text in (PROMPT, "Grüße, 天空 🙂", "<|endoftext|>", "x" * 10_000):
        assert cached.count(text, "o200k_base") == count(text)
    assert no_network == []


def test_tiktoken_is_not_asked_for_what_it_would_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[Any]
) -> None:
    """Neither with an empty cache nor with a damaged one, which it would remove."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    cached._encoding.cache_clear()
    with pytest.raises(LookupError, match="o200k_base is not in"):
        cached.count("a", "o200k_base")
    file = _cache(tmp_path)
    file.write_bytes(file.read_bytes()[:-10])
    damaged = hashlib.sha256(file.read_bytes()).digest()
    with pytest.raises(LookupError):
        cached.count("a", "o200k_base")
    assert hashlib.sha256(file.read_bytes()).digest() == damaged
    assert no_network == []


def test_without_a_tokenizer_nothing_is_estimated(tmp_path: Path) -> None:
    """In a process that can import neither: null, and no word about it."""
    program = (
        "import sys; sys.modules['bpe_openai'] = sys.modules['tiktoken'] = None\n"
        "from aicore_obs import estimation\n"
        "print(estimation.tokenizer())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_the_shipped_vocabulary_goes_first() -> None:
    """It needs no cache."""
    assert estimation.tokenizer() is shipped.count
