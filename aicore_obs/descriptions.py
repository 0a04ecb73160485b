"""This module is where a provider's name or a server's address becomes a description; third parties' come after ours.

All descriptions are imported together, once, on the thread of whoever makes a collector: a fork in the middle of an
import leaves a child with half a module. A third party's entry point in the group ``aicore_obs.providers`` (name →
module or object with the duties of :class:`~aicore_obs.protocols.Provider`) adds its name and its hosts, and so does
:func:`register`, for one process; a name or a host that is ours stays ours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from aicore_obs import plugins
from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import attempt, log_window
from aicore_obs.protocols import Hook, Provider, RequestFacts, ResponseFacts
from aicore_obs.settings import need_function, need_several, need_text

OURS = (
    "anthropic", "azure", "bedrock", "cerebras", "cohere", "deepseek", "fireworks", "google", "groq", "huggingface",
    "langchain", "litellm", "mistral", "ollama", "openai", "openrouter", "otel", "perplexity", "pydantic_ai",
    "together", "vertex", "vllm", "voyage", "xai",
)  # fmt: skip
# The description whose shape most servers answer in; its request is read where no other is known.
COMMON = "openai"
# Other names of the same: OpenTelemetry's, LiteLLM's, LangChain's, Pydantic AI's, and what people write.
_ALIASES = {
    "anthropic": ("claude",),
    "azure": ("azure-openai", "azure.openai", "az.ai.openai", "azure.ai.openai", "az.ai.inference",
              "azure.ai.inference",              "azure-ai", "azure-foundry", "azureopenai", "azure-text"),
    "bedrock": ("aws.bedrock", "aws-bedrock", "amazon-bedrock", "aws", "bedrock-converse", "bedrock-runtime"),
    "cohere": ("cohere-chat",),
    "fireworks": ("fireworks-ai", "fireworksai"),
    "google": ("gemini", "gcp.gemini", "google-genai", "google-gla", "google-ai-studio", "gcp.gen-ai", "googleai",
               "google.gemini", "google-generative-ai"),
    "huggingface": ("huggingface-tgi", "hf", "tgi", "hugging-face", "huggingface-hub", "text-generation-inference"),
    "langchain": ("langchain-core", "langgraph"),
    "litellm": ("litellm-proxy",),
    "mistral": ("mistral-ai", "mistralai", "codestral"),
    "ollama": ("ollama-chat",),
    "openai": ("openai-responses", "openai-chat", "text-completion-openai"),
    "otel": ("opentelemetry", "openllmetry", "openinference", "traceloop", "arize"),
    "perplexity": ("perplexity-ai", "pplx"),
    "pydantic-ai": ("pydanticai",),
    "together": ("together-ai", "togetherai"),
    "vertex": ("gcp.vertex-ai", "vertex-ai", "vertexai", "google-vertex", "google-vertexai", "google-cloud", "gcp",
               "google-vertex-ai", "vertex-ai-beta", "anthropic-vertex", "google-anthropic-vertex"),
    "vllm": ("hosted-vllm",),
    "voyage": ("voyageai", "voyage-ai"),
    "xai": ("x-ai", "grok", "x.ai"),
}  # fmt: skip
# How many addresses and names of others are kept; more are looked up again.
_KEPT = 1024


class Registry(msgspec.Struct, frozen=True):
    """All descriptions, by every name and by every host that they have; and what reads by the shape alone."""

    names: dict[str, Provider]
    hosts: tuple[tuple[str, Provider], ...]
    by_shape: Callable[[bytes, RequestFacts], tuple[str, ResponseFacts] | None]
    text_by_shape: Callable[[bytes], str | None]


class Server(msgspec.Struct, frozen=True):
    """A server's ``address`` (host, and port where one is given), and whose it is."""

    address: str | None = None
    provider: Provider | None = None


class Registered(msgspec.Struct, frozen=True):
    """A program's own description, with what it did not say itself."""

    name: str
    hosts: tuple[str, ...]
    hooks: tuple[Hook, ...]
    read_request: Callable[[bytes], RequestFacts]
    read_response: Callable[[bytes, RequestFacts], ResponseFacts]
    read_text: Callable[[bytes], str | None]


_registered: dict[str, Registered] = {}
_READERS = ("read_request", "read_response", "read_text")


@cache
def registry() -> Registry:
    """Return all descriptions, imported now if they were not before."""
    ours = [cast("Provider", plugins.load(f"aicore_obs.providers.{one}")) for one in OURS]
    names = {_folded(one.name): one for one in ours}
    names |= {alias: names[name] for name, aliases in _ALIASES.items() for alias in aliases}
    theirs = [(name, one) for name, point in plugins.third_parties("aicore_obs.providers").items()
              if (one := _loaded(name, point)) is not None]  # fmt: skip
    theirs += [(name, cast("Provider", one)) for name, one in _registered.items()]
    for name, one in theirs:
        names.setdefault(_folded(name), one)
    described = [*ours, *(one for _, one in theirs)]
    return Registry(
        names=names,
        hosts=tuple((host, one) for one in described for host in one.hosts),
        by_shape=plugins.load("aicore_obs.shapes.detect:by_shape"),
        text_by_shape=plugins.load("aicore_obs.shapes.detect:text_by_shape"),
    )


def register(provider: object) -> Registered:
    """Add a description for this process, replacing an earlier one that was registered by its name; return it.

    ``name`` is needed. ``hosts`` and ``hooks`` are none where they are missing, and readers are those of the shape that
    most servers answer in.

    Raises:
        ConfigurationError: the name is taken, or a duty is not what it must be.
    """
    name = getattr(provider, "name", None)
    need_text("name", name)
    folded = _folded(str(name))
    known = registry().names.get(folded)
    if known is not None and folded not in _registered:
        raise ConfigurationError(f"name={name!r}: that is {known.name} already; give your own provider another name")
    hosts, hooks = (getattr(provider, duty, ()) for duty in ("hosts", "hooks"))
    need_several("hosts", hosts)
    need_several("hooks", hooks)
    if not all(isinstance(hook, Hook) for hook in hooks):
        raise ConfigurationError(f"hooks={hooks!r}: each is an aicore_obs.observer.Hook")
    for host in hosts:
        need_text("hosts", host)
    readers = {duty: getattr(provider, duty, None) or getattr(common(), duty) for duty in _READERS}
    for duty, reader in readers.items():
        need_function(duty, reader)
    found = Registered(name=str(name), hosts=tuple(hosts), hooks=tuple(hooks), **readers)
    _registered[folded] = found
    for looked_up in (registry, _by_name, server_of):
        looked_up.cache_clear()
    return found


def _loaded(name: str, point: Any) -> Provider | None:
    """Return a third party's description, None (and a warning) where it does not load or lacks a duty."""
    outcome = attempt(point.load)
    found = outcome.value
    if all(hasattr(found, duty) for duty in ("name", "hosts", "read_request", "read_response", "read_text")):
        return cast("Provider", found)
    log_window.warn(f"provider {name}", f"the provider {name!r} of a third party is left out: {outcome.error!r}")
    return None


def described(name: str | None) -> Provider | None:
    """Return a provider's description by any of its names, None when there is none by that name."""
    return None if name is None else _by_name(name)


@lru_cache(_KEPT)
def _by_name(name: str) -> Provider | None:
    names = registry().names
    return names.get(name) or names.get(_folded(name))


def _folded(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def canonical(name: str) -> str:
    """Return the one name that a provider has here; the name itself where it has none."""
    found = described(name)
    return name if found is None else found.name


def common() -> Provider:
    """Return the description of the shape that most servers answer in."""
    return registry().names[COMMON]


@lru_cache(_KEPT)
def server_of(base_url: str) -> Server:
    """Return the server behind a base URL; without credentials, which some write into it."""
    try:
        parts = urlsplit(base_url if "//" in base_url else f"//{base_url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return Server()
    if not host:
        return Server()
    address = host if port is None else f"{host}:{port}"
    found = next((one for pattern, one in registry().hosts if _fits(pattern, host, address)), None)
    return Server(address=address, provider=found)


def _fits(pattern: str, host: str, address: str) -> bool:
    if pattern.startswith((":", "-", ".")):
        return address.endswith(pattern)
    if "*" in pattern:
        labels, wanted = host.split("."), pattern.split(".")
        return len(labels) == len(wanted) and all(w in ("*", one) for one, w in zip(labels, wanted, strict=True))
    return host == pattern or host.endswith("." + pattern)
