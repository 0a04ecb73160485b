"""This module is where providers are looked up in tests: by any of their names, by the host, and by plug-in."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from aicore_obs import descriptions, plugins
from aicore_obs.derivation import derive
from aicore_obs.descriptions import OURS, canonical, described, registry, server_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from tests.captures import capture

NAMES = {
    "azure.ai.openai": "azure", "az.ai.openai": "azure", "azure_openai": "azure", "azure.ai.inference": "azure",
    "aws.bedrock": "bedrock", "bedrock_converse": "bedrock", "amazon-bedrock": "bedrock", "AWS Bedrock": "bedrock",
    "gcp.vertex_ai": "vertex", "vertex_ai": "vertex", "google_vertexai": "vertex", "google-vertex": "vertex",
    "gcp.gemini": "google", "gcp.gen_ai": "google", "gemini": "google", "google_genai": "google",
    "google-gla": "google",
    "x_ai": "xai", "xai": "xai", "x-ai": "xai", "mistral_ai": "mistral", "mistralai": "mistral",
    "voyageai": "voyage", "huggingface-tgi": "huggingface", "pydantic-ai": "pydantic-ai", "pydantic_ai": "pydantic-ai",
    "together_ai": "together", "fireworks_ai": "fireworks", "hosted_vllm": "vllm", "ollama_chat": "ollama",
    "openllmetry": "otel", "openinference": "otel", "OpenAI": "openai", " Anthropic ": "anthropic",
    "acme": None, "": None,
}  # fmt: skip
HOSTS = {
    "https://api.openai.com/v1": "openai",
    "https://eu.api.openai.com/v1": "openai",
    "https://mine.openai.azure.com/openai/deployments/d": "azure",
    "https://mine.services.ai.azure.com/models": "azure",
    "https://api.anthropic.com": "anthropic",
    "https://generativelanguage.googleapis.com/v1beta/openai/": "google",
    "https://aiplatform.googleapis.com/v1": "vertex",
    "https://us-east5-aiplatform.googleapis.com/v1": "vertex",
    "https://aiplatform.eu.rep.googleapis.com/v1": "vertex",
    "https://bedrock-runtime.us-east-1.amazonaws.com": "bedrock",
    "https://api.groq.com/openai/v1": "groq",
    "https://us-east-1.api.x.ai/v1": "xai",
    "https://openrouter.ai/api/v1": "openrouter",
    "https://abc.us-east-1.aws.endpoints.huggingface.cloud/v1": "huggingface",
    "http://localhost:11434/v1": "ollama",
    "http://10.1.2.3:11434": "ollama",
    "HTTPS://API.GROQ.COM/openai/v1": "groq",
    "api.together.xyz/v1": "together",
    "https://user:secret@api.deepseek.com:443/v1": "deepseek",
    "https://api.openai.com.evil.example/v1": None,
    "https://notapi.openai.com.example": None,
    "https://my-openai-proxy.example/v1": None,
    "https://s3.us-east-1.amazonaws.com": None,
    "http://localhost:8000/v1": None,
}
ODD = ["", "http://", "http://[::1", "http://host:99999999", "://", "\x00", "http://é.example:x", "/" * 5000]


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_names(name: str, expected: str | None) -> None:
    """The names that libraries give to one provider lead to one description."""
    found = described(name)
    assert (None if found is None else found.name) == expected
    assert canonical(name) == (expected or name)


@pytest.mark.parametrize(("base_url", "expected"), HOSTS.items())
def test_hosts(base_url: str, expected: str | None) -> None:
    """The end of a host's name tells the provider, and no more than the end."""
    found = server_of(base_url)
    assert (None if found.provider is None else found.provider.name) == expected
    assert found.address is not None
    assert "secret" not in found.address


@pytest.mark.parametrize("base_url", ODD, ids=lambda url: repr(url)[:20])
def test_what_is_no_address_has_none(base_url: str) -> None:
    """It is kept in the arguments as it was given, and tells nothing."""
    assert server_of(base_url).provider is None


def test_ipv6() -> None:
    """An address of digits and colons is no host with a port."""
    assert server_of("http://[::1]:8000/v1").address == "::1:8000"


def test_all_descriptions_have_their_own_names_and_hosts() -> None:
    """No two of ours answer to one name, or speak for one host."""
    found = [described(name) for name in OURS]
    assert len({one.name for one in found if one is not None}) == len(OURS)
    hosts = [host for one in found if one is not None for host in one.hosts]
    assert len(set(hosts)) == len(hosts)


class _Point:
    """An entry point of another distribution."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def load(self) -> Any:
        """Return the description, or raise as a broken package does."""
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def _theirs(name: str, *hosts: str) -> Any:
    return SimpleNamespace(
        name=name,
        hosts=hosts,
        read_request=lambda raw: RequestFacts(model="theirs"),
        read_response=lambda raw, asked: ResponseFacts(model=asked.model),
        read_text=lambda raw: None,
    )


@pytest.fixture
def third_parties(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Give names and entry points; what was looked up before is forgotten, before and after."""
    points: dict[str, Any] = {}
    monkeypatch.setattr(plugins, "third_parties", lambda group: points if group == "aicore_obs.providers" else {})
    for cached in (registry, descriptions._by_name, server_of):
        cached.cache_clear()
    yield points
    for cached in (registry, descriptions._by_name, server_of):
        cached.cache_clear()


def test_a_third_party_adds_a_name_and_hosts(third_parties: dict[str, Any]) -> None:
    """Its description reads what is asked and answered there."""
    third_parties["acme"] = _Point(_theirs("acme", "api.acme.example"))
    found = derive(capture({"base_url": "https://api.acme.example/v1"}, {"a": 1}, provider="acme"))
    assert found is not None
    assert (found.model, described("ACME") is not None) == ("theirs", True)
    assert server_of("https://api.acme.example").provider is described("acme")


def test_a_third_party_takes_nothing_that_is_ours(third_parties: dict[str, Any]) -> None:
    """A name or a host of ours stays ours, whatever else is installed."""
    third_parties["openai"] = _Point(_theirs("openai", "api.openai.com"))
    third_parties["gemini"] = _Point(_theirs("gemini", "api.groq.com"))
    assert described("openai") is plugins.load("aicore_obs.providers.openai")
    assert canonical("gemini") == "google"
    assert server_of("https://api.openai.com").provider is described("openai")
    assert server_of("https://api.groq.com").provider is described("groq")


def test_a_third_party_that_is_broken_is_left_out(
    third_parties: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """And costs nobody else anything."""
    third_parties["broken"] = _Point(ImportError("no module named acme"))
    third_parties["half"] = _Point(SimpleNamespace(name="half"))
    assert described("broken") is None
    assert described("half") is None
    assert described("openai") is not None
    assert "no module named acme" in caplog.text
