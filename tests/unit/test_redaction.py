"""This module is where it is checked that secrets stay out of what is kept, and everything else stays in."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import httpx
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_obs import LlmOperationCollector, bind
from aicore_obs.capture.redaction import without_secrets
from aicore_obs.capture.scrub import REDACTED, _scrubbed, scrub
from aicore_obs.errors import SinkUnavailable
from aicore_obs.protocols import Batch
from tests.captures import args_of, capture, extras_of, response_of

SECRET = "sk-proj-s3cr3t0123456789abcdef"
PASSWORD = "hunter2-hunter2"

SECRET_NAMES = [
    "api_key", "API-Key", "apiKey", "apikey", "OPENAI_API_KEY", "openaiApiKey", "x-api-key", "X-Goog-Api-Key",
    "authorization", "Authorization", "Proxy-Authorization", "auth", "token", "auth_token", "access_token",
    "accessToken", "refreshToken", "id_token", "hf_token", "github_token", "bot_token", "personal_access_token",
    "azure_ad_token",
    "password", "passwd", "db_password", "dbPassword", "passphrase", "secret", "client_secret", "clientSecret",
    "app_secret", "secrets", "aws_secret_access_key", "aws_session_token", "AWS_ACCESS_KEY_ID", "private_key",
    "privateKey", "credentials", "google_credentials", "connection_string", "cookie", "Set-Cookie", "cookies",
    "Ocp-Apim-Subscription-Key", "x-amz-security-token", "jwt",
]  # fmt: skip
OTHER_NAMES = [
    "max_tokens", "token_count", "completion_tokens", "prompt_tokens", "max_completion_tokens", "tokens", "tokenizer",
    "token_limit", "eos_token", "stop_token", "key", "keys", "keyword", "monkey", "author", "authority", "secretary",
    "passage", "model", "prompt_cache_key", "cache_control", "session_id", "user", "seed", "logit_bias",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets(name: str) -> None:
    """Whatever the spelling, in text or bytes, in a dict or as a pair of a list, the value goes."""
    assert without_secrets({name: SECRET}) == {name: REDACTED}
    assert without_secrets({name: [SECRET, {"a": SECRET}]}) == {name: REDACTED}
    assert without_secrets({name.encode(): SECRET.encode()}) == {name.encode(): REDACTED}
    assert without_secrets([(name, PASSWORD), ("a", "b")]) == [[name, REDACTED], ("a", "b")]
    assert without_secrets({"headers": ((name.encode(), b"x"),)}) == {"headers": [[name.encode(), REDACTED]]}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_of_other_things(name: str) -> None:
    """Names are compared whole: what only sounds like a secret stays, and so does the very object."""
    for value in ({name: 5}, {name: "text"}, {name: ["text"]}, {"a": {name: {"b": 1}}}, [(name, "text")]):
        assert without_secrets(value) is value


def test_switches_stay() -> None:
    """None, True and False tell no secret, and tell whether one was given."""
    value = {"api_key": None, "auth": True, "password": False, "headers": [("cookie", None)]}
    assert without_secrets(value) is value


VALUES = [
    ("Bearer abc", "Bearer [redacted]"),
    ("bearer abc.def", "bearer [redacted]"),
    ("Basic dXNlcjpwYXNz", "Basic [redacted]"),
    (SECRET, REDACTED),
    ("AIzaSyA0123456789012345678901234567890", REDACTED),
    ("ghp_0123456789abcdefghijklmnop", REDACTED),
    ("postgresql://user:pw@host/db", "postgresql://user:[redacted]@host/db"),
    ("postgresql://user:p@w:d@host/db", "postgresql://user:[redacted]@host/db"),
    ("redis://:pw@host", "redis://:[redacted]@host"),
    ("a https://u:p@h/x and http://v:q@i b", "a https://u:[redacted]@h/x and http://v:[redacted]@i b"),
    ("https://h/v1?key=AIzaX&alt=sse", "https://h/v1?key=[redacted]&alt=sse"),
    ("https://h/?a=1&api_key=x#top", "https://h/?a=1&api_key=[redacted]#top"),
    ("https://h/?sig=abc%3D", "https://h/?sig=[redacted]"),
]


@pytest.mark.parametrize(("given", "kept"), VALUES)
def test_values_that_are_secrets(given: str, kept: str) -> None:
    """Under any name and at any depth: schemes of headers, keys by their form, secrets in URLs."""
    assert without_secrets({"any": [{"deep": given}]}) == {"any": [{"deep": kept}]}
    assert without_secrets(given) == kept


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/path?q=1", "user@example.com", "see https://a/b, mail x@y.z", "Bearers of news", "skeleton",
        "sk-short", "gpt-4o", "ghost writer", "Basically", "http://host/@me",
    ],
)  # fmt: skip
def test_values_that_are_none(text: str) -> None:
    """Harmless text is not touched."""
    value = {"any": text}
    assert without_secrets(value) is value


class Options(pydantic.BaseModel):
    api_key: str
    timeout: float = 5
    nested: dict[str, Any] = {}


@dataclasses.dataclass
class Client:
    base_url: str
    password: str


class Opaque:
    def __repr__(self) -> str:
        return f"Opaque(api_key='{SECRET}', region='eu')"


STRANGERS = [
    Options(api_key=SECRET, nested={"headers": {"Authorization": "Bearer x"}}),
    Client("https://u:pw@host", PASSWORD),
    SimpleNamespace(token=SECRET),
    OrderedDict(api_key=SECRET),
    MappingProxyType({"api_key": SECRET}),
    httpx.Headers({"Authorization": f"Bearer {SECRET}"}),
    Opaque(),
    Client(Opaque(), "x"),  # type: ignore[arg-type]
    ConnectionError(f"cannot reach https://u:{PASSWORD}@host with {SECRET}"),
    {"a": (Options(api_key=SECRET),)},
]


@pytest.mark.parametrize("value", STRANGERS, ids=lambda value: type(value).__name__)
def test_objects_of_strangers_are_looked_into(value: Any) -> None:
    """What would be written of an object holds no secret; the object itself is not changed."""
    before = repr(value)
    text = json.dumps(args_of(capture({"client": value})))
    assert REDACTED in text
    assert not any(secret in text for secret in (SECRET, PASSWORD, "u:pw@", "Bearer x"))
    assert repr(value) == before


def test_an_object_without_a_secret_is_the_same() -> None:
    """Nothing to hide: the very object goes on, to be written by its own serialiser."""
    for value in ({"o": OrderedDict(a=1)}, [Client.__name__], {"n": SimpleNamespace(a=1)}, (1, b"x"), {"e": {1, 2}}):
        assert without_secrets(value) is value


TOOL = {
    "type": "function",
    "function": {
        "name": "login",
        "parameters": {
            "type": "object",
            "properties": {"password": {"type": "string"}, "token": {"$ref": "#/$defs/Token"}},
            "required": ["password", "token"],
            "dependentRequired": {"password": ["token"]},
            "$defs": {"Token": {"type": "string", "enum": ["api_key", "x"]}},
        },
    },
}


def test_json_schemas_stay() -> None:
    """A tool's parameter may be *named* password."""
    value = {"tools": [TOOL], "response_format": {"json_schema": {"schema": TOOL["function"]}}}
    assert without_secrets(value) is value


def test_messages_and_responses_stay() -> None:
    """What people said and models answered is content: the same text, whatever it speaks of."""
    content = f"my password: {PASSWORD}, api_key={SECRET}, Bearer abc, https://u:p@h"
    request = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": content}], "password": PASSWORD}],
        "input": [{"content": content, "token": SECRET}],
        "prompt": content,
        "system": [{"text": content}],
    }
    response = {"choices": [{"message": {"content": content}}], "api_key": SECRET}
    record = capture(request, response)
    assert args_of(record) == request
    assert response_of(record) == response


def test_the_callers_objects_are_not_changed() -> None:
    """Where there is something to hide a copy is made, of what is on the way to it and no more."""
    harmless = {"a": [1]}
    value = {"headers": {"authorization": SECRET}, "list": [{"token": SECRET}, harmless], "harmless": harmless}
    before = copy.deepcopy(value)
    clean = without_secrets(value)
    assert value == before
    assert clean == {
        "headers": {"authorization": REDACTED},
        "list": [{"token": REDACTED}, harmless],
        "harmless": harmless,
    }
    assert clean["harmless"] is harmless
    assert clean["list"][1] is harmless


def test_extras_labels_and_odd_values_are_cleaned() -> None:
    """Not only the arguments."""
    record = capture(
        {},
        extras={"config": {"db": f"postgresql://u:{PASSWORD}@h/d"}, "api_key": SECRET},
        labels={"token": SECRET, "team": "red"},
        timestamp={"api_key": SECRET},
        session_id=[f"password='{PASSWORD}'"],
    )
    assert extras_of(record) == {"config": {"db": "postgresql://u:[redacted]@h/d"}, "api_key": REDACTED}
    assert record.labels == {"token": REDACTED, "team": "red"}
    assert SECRET not in str(record.odd)
    assert PASSWORD not in str(record.odd)


SCRUBBED = [
    ("Incorrect API key provided: sk-abcdefghijklmnopqrst.", "Incorrect API key provided: [redacted]."),
    ("{'Authorization': 'Bearer abc def', 'x': 1}", "{'Authorization': '[redacted]', 'x': 1}"),
    ('headers={"x-api-key": "a b c"}', 'headers={"x-api-key": "[redacted]"}'),
    ("[(b'authorization', b'Bearer xyz'), (b'a', b'b')]", "[(b'authorization', b'[redacted]'), (b'a', b'b')]"),
    ('{\\"password\\": \\"abc\\"}', '{\\"password\\": \\"[redacted]\\"}'),
    ("Client(api_key='x', timeout=5)", "Client(api_key='[redacted]', timeout=5)"),
    ("OPENAI_API_KEY=abc make", "OPENAI_API_KEY=[redacted] make"),
    ("Authorization: Bearer abc.def", "Authorization: [redacted]"),
    ("sent Bearer abcdefghijklmnopqrst==!", "sent [redacted]!"),
    ("for url 'https://h/v1?key=AIzaX'", "for url 'https://h/v1?key=[redacted]'"),
    ("password authentication failed for user", "password authentication failed for user"),
    ("max_tokens=5 token_count: 3 completion_tokens=1", "max_tokens=5 token_count: 3 completion_tokens=1"),
    ("KeyError: 'model'", "KeyError: 'model'"),
    ("cwd=/home, task-force: 5", "cwd=/home, task-force: 5"),
]


@pytest.mark.parametrize(("given", "kept"), SCRUBBED)
def test_free_text_is_scrubbed(given: str, kept: str) -> None:
    """Messages of errors lose what stands behind a telling name, and what looks like a key; the rest stays."""
    assert scrub(given) == kept


def test_messages_and_stacks_of_exceptions_are_scrubbed() -> None:
    """The cause too, and the source lines of the stack."""
    with pytest.raises(RuntimeError) as raised:
        _fail()
    record = capture({}, error=raised.value)
    assert record.error is not None
    for text in (record.error.message or "", record.error.stack or ""):
        assert REDACTED in text
        assert SECRET not in text
        assert PASSWORD not in text


def _fail() -> None:
    try:
        raise ConnectionError(f"https://u:{PASSWORD}@host refused api_key={SECRET}")
    except ConnectionError as error:
        raise RuntimeError(f"gave up: {{'Authorization': 'Bearer {PASSWORD}'}}") from error


class Closed:
    """A sink that takes nothing, so that the journal keeps everything."""

    name = "closed"

    async def open(self) -> None:
        raise SinkUnavailable("closed")

    async def write(self, batch: Batch) -> None:
        raise SinkUnavailable("closed")

    async def aclose(self) -> None:
        return


def test_no_secret_reaches_a_disk(tmp_path: Path) -> None:
    """Secrets in every parameter: neither journal nor database nor JSON file nor dead letters hold a byte of them."""
    (tmp_path / "journal").mkdir()
    places = {"storage_path": tmp_path / "calls.json", "db_url": f"sqlite:///{tmp_path}/calls.db"}
    collector = LlmOperationCollector(**places, sinks=[Closed()], journal_dir=tmp_path / "journal")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError) as raised:
        _fail()
    spread = {"headers": {"Authorization": f"Bearer {SECRET}"}, "url": f"https://u:{PASSWORD}@h", "o": STRANGERS}
    collector.record_completion(
        {"api_key": SECRET, "model": "m", **spread},
        provider="openai",
        response={"id": "found-in-every-place"},
        extras={"client_secret": SECRET, **spread},
        labels={"token": SECRET},
        error=raised.value,
        timestamp={"password": PASSWORD},  # type: ignore[typeddict-item]
        time_to_first_token_ms=[f"token={SECRET}"],  # type: ignore[typeddict-item]
    )
    with bind(extras=spread), collector.operation({**spread}, extras={"secret": PASSWORD}) as call:
        call.response = "found-in-every-place"
    assert not collector.flush(timeout_s=1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    held = {path: path.read_bytes() for path in files}
    found = {path.name.removesuffix("-wal") for path, text in held.items() if b"found-in-every-place" in text}
    assert found >= {"0000000001.seg", "calls.db", "calls.json"}
    for text in held.values():
        assert SECRET.encode() not in text
        assert PASSWORD.encode() not in text
    collector.close(timeout_s=0)


_PIECES = (
    *(
        "sk-",
        "pk_",
        "RK-",
        "xai-",
        "gsk_",
        "hf_",
        "r8-",
        "ghp_",
        "gho-",
        "github_pat_",
        "glpat-",
        "xoxa-",
        "xoxb_",
        "AIza",
    ),
    *(
        "AKIA",
        "A1" * 8,
        "a_-" * 12,
        "Bearer ",
        "BASIC ",
        "://u:p@h",
        "?sig=",
        "&key=",
        "ApiKey",
        "author\u0131zation",
        "pwd",
    ),
    *(
        "pa\u017f\u017fword",
        "secret",
        "to\u212aen",
        "coo\u212aie",
        "credent\u0130als",
        ":",
        "=",
        "'",
        '"',
        " ",
        "x",
        "=>",
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join))
def test_a_text_without_a_sign_has_no_secret(text: str) -> None:
    """What is passed over because it has none of the signs would not have been changed."""
    assert scrub(text) == _scrubbed(text)
