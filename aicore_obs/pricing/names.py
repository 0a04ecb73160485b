"""This module is where names are made comparable: who bills under which name, and how the same model is spelled.

Names are brought into one spelling for look-ups only; a record keeps what the caller and the provider said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from aicore_obs.guard import attempt

# A name that SDKs, gateways and conventions use → the name in price rows.
_ALIASES = {
    "aws": (
        "bedrock", "amazon", "amazon-bedrock", "aws-bedrock", "aws.bedrock", "bedrock-converse", "anthropic-bedrock",
        "bedrock-runtime",
    ),
    "azure": (
        "azure-openai", "azureopenai", "azure.ai.openai", "az.ai.openai", "azure.ai.inference", "az.ai.inference",
        "azure-ai", "azure-ai-inference", "azure-foundry", "openai-azure",
    ),
    "cerebras": ("cerebras-ai",),
    "cohere": ("cohere-v2", "cohere-chat"),
    "deepseek": ("deepseek-ai", "deep-seek"),
    "fireworks": ("fireworks-ai",),
    "google": (
        "gemini", "google-genai", "google-ai", "google-ai-studio", "google-gla", "google-gemini", "gcp.gemini",
        "gcp.gen-ai", "googleai", "genai", "google-generativeai", "google-generative-ai",
    ),
    "groq": ("groqcloud",),
    "mistral": ("mistralai", "mistral-ai"),
    "moonshotai": ("moonshot", "moonshot-ai"),
    "openai": ("open-ai", "openai-chat", "openai-responses", "text-completion-openai"),
    "openrouter": ("open-router",),
    "perplexity": ("perplexity-ai", "pplx"),
    "together": ("together-ai", "togetherai"),
    "vertex": (
        "vertexai", "vertex-ai", "google-vertex", "google-vertexai", "google-vertex-ai", "gcp.vertex-ai",
        "vertex-ai-beta", "anthropic-vertex",
    ),
    "voyageai": ("voyage", "voyage-ai"),
    "x-ai": ("xai", "x.ai", "grok"),
    "zai": ("z-ai", "z.ai"),
    "huggingface": ("hf", "hugging-face", "hf-inference", "huggingface-router", "huggingface-hub"),
}  # fmt: skip
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}
# Who carries a call to another that bills it.
_CARRIERS = frozenset({
    "", "langchain", "langchain-core", "litellm", "litellm-proxy", "pydantic-ai", "otel", "opentelemetry",
    "openllmetry", "traceloop", "openinference", "llamaindex", "llama-index", "instructor", "dspy", "haystack",
    "ag2", "autogen", "crewai", "gateway", "pydantic-ai-gateway",
})  # fmt: skip
# Whose model names are paths, so that what looks like a prefix is a part of the name.
_PATHS = frozenset({
    "groq", "openrouter", "together", "fireworks", "novita", "deepinfra", "nebius", "baseten", "cloudflare",
    "perplexity", "github-copilot", "ovhcloud", "doubleword", "modal", "arcee", "huggingface",
})  # fmt: skip
_PREFIXES = (
    "litellm_proxy/", "litellm/", "openai/", "azure/", "azure_ai/", "gemini/", "google/", "vertex_ai/", "vertex/",
    "bedrock/", "converse/", "invoke/", "anthropic/", "mistral/", "mistralai/", "cohere/", "cohere_chat/", "deepseek/",
    "xai/", "x-ai/", "perplexity/", "voyage/", "cerebras/", "groq/", "openrouter/", "together_ai/", "fireworks_ai/",
    "huggingface/", "ollama/", "ollama_chat/", "models/", "responses/", "text-completion-openai/", "zai/", "moonshot/",
    "hosted_vllm/",
)  # fmt: skip
_OWN_PREFIXES = {
    "groq": ("groq/",),
    "openrouter": ("openrouter/",),
    "together": ("together_ai/", "together/"),
    "fireworks": ("fireworks_ai/", "fireworks/"),
    "perplexity": ("perplexity/",),
    "huggingface": ("huggingface/",),
}
# OpenRouter bills the prices of those who serve their own models: https://openrouter.ai/docs/faq (2026-11-21).
_PASSED_THROUGH = {
    "openai": "openai", "anthropic": "anthropic", "google": "google", "x-ai": "x-ai", "mistralai": "mistral",
    "cohere": "cohere", "perplexity": "perplexity",
}  # fmt: skip
# What may follow a model's name there and changes no price of a token: how a host is chosen, whether it searches.
_ROUTES = re.compile(r":(?:nitro|floor|online|exacto)$")
_FIREWORKS = "accounts/fireworks/models/"
# Names that only Bedrock has, with or without a region: ``us.anthropic.claude-…``, ``amazon.nova-…``.
_BEDROCK = re.compile(
    r"^(?:(?:us|us-gov|eu|apac|jp|au|ca|sa|global)\.)?"
    r"(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|qwen|openai|writer|stability|minimax|moonshot)\.[a-z]"
)
_COMPACT_DATE = re.compile(r"-(?:20\d{2}-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01]))$")
# Servers that people run themselves.
_OWN_SERVERS = frozenset({
    "ollama", "vllm", "tgi", "text-generation-inference", "llamacpp", "llama.cpp", "llama-cpp", "llamafile",
    "lmstudio", "lm-studio", "lm_studio", "localai", "local", "sglang", "mlx", "mlx-lm", "koboldcpp",
    "text-generation-webui", "infinity", "xinference", "ramalama", "docker-model-runner", "ollama-chat",
    "hosted-vllm", "tei",
})  # fmt: skip
_PRIVATE_NAMES = (".local", ".internal", ".lan", ".localhost", ".home.arpa", ".svc", ".intranet")
_PRIVATE_V4 = re.compile(
    r"^(?:127|10)\.|^192\.168\.|^172\.(?:1[6-9]|2\d|3[01])\.|^169\.254\.|^0\.0\.0\.0$"
    r"|^100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\."
)


def canonical(provider: str) -> str:
    """Return the name of a provider as price rows have it; a name that is not known comes back in lower case."""
    name = provider.strip().lower()
    return _CANONICAL.get(name.replace("_", "-"), name)


def billers(provider: str | None, billing_provider: str | None, model: str | None) -> tuple[str, ...]:
    """Return whose prices are looked up, first hit first; empty when only the model can tell."""
    names = [canonical(name) for name in (billing_provider, provider) if name]
    known = [name for name in names if name.replace("_", "-") not in _CARRIERS]
    # Anthropic's client asks Bedrock too, by Bedrock's names.
    if (not known or known[0] == "anthropic") and _BEDROCK.match((model or "").strip().lower()):
        return ("aws",)
    if not known:
        prefix, slash, _ = (model or "").lower().partition("/")
        # "models/gemini-2.0-flash" names a folder, not a biller.
        known = [canonical(prefix)] if slash and f"{prefix}/" in _PREFIXES and prefix != "models" else []
        known = [name for name in known if name.replace("_", "-") not in _CARRIERS]
    return _with_owners(known[0], model) if known else ()


def _with_owners(name: str, model: str | None) -> tuple[str, ...]:
    """Return a biller and those whose list it bills by."""
    if name == "azure":
        return ("azure", "openai")
    if name == "vertex":
        return ("vertex", "google")
    if name == "openrouter" and model:
        owner = _PASSED_THROUGH.get(_without_prefixes(model.strip().lower(), name).partition("/")[0])
        return ("openrouter", owner) if owner else ("openrouter",)
    if name == "huggingface" and model and ":" in model:
        return (f"huggingface_{model.rpartition(':')[2].lower()}", "huggingface")
    return (name,)


def routed(base_url: str | None) -> str | None:
    """Return the Hugging Face provider that a router's URL names, such as ``huggingface_together``."""
    parts = attempt(urlsplit, base_url or "").value
    if parts is None or parts.hostname != "router.huggingface.co":
        return None
    first = parts.path.strip("/").partition("/")[0]
    return f"huggingface_{first.lower()}" if first not in ("", "v1") else None


def spellings(model: str, biller: str | None) -> Iterator[str]:
    """Yield the names under which a model may be listed, as it was said first, in lower case, each once."""
    seen: set[str] = set()
    for name in _spelled(model.strip().lower(), biller):
        if name and name not in seen:
            seen.add(name)
            yield name


def _spelled(name: str, biller: str | None) -> Iterator[str]:
    yield name
    bare = _without_prefixes(name, biller)
    yield bare
    yield from _of_host(bare, biller or "")
    said, colon, rest = bare.partition(":")
    if colon and biller and canonical(said) == biller:  # Pydantic AI's names, such as openai:gpt-4o
        yield rest
    if "gpt-35" in bare:
        yield bare.replace("gpt-35", "gpt-3.5")
    if "@" in bare:
        yield bare.replace("@", "-")
        yield bare.partition("@")[0]


def _of_host(bare: str, biller: str) -> Iterator[str]:
    """Yield the spellings of hosts that serve the models of others."""
    if biller == "fireworks" and "/" not in bare:
        yield _FIREWORKS + bare
    if biller.startswith("huggingface"):
        yield bare.partition(":")[0]
    if biller == "openrouter":
        routed_anyhow = _ROUTES.sub("", bare)
        yield routed_anyhow
        yield routed_anyhow.partition("/")[2]


def undated(name: str) -> str | None:
    """Return the name without the date of its snapshot, None when there is none."""
    bare = _COMPACT_DATE.sub("", name)
    return bare if bare != name else None


def _without_prefixes(name: str, biller: str | None) -> str:
    # Resource names: projects/…/publishers/google/models/gemini-…, arn:aws:bedrock:…:inference-profile/us.anthropic.…
    if name.startswith("arn:") or "/publishers/" in f"/{name}":
        return name.rpartition("/")[2]
    prefixes: tuple[str, ...] = _PREFIXES
    if biller in _PATHS or (biller or "").startswith("huggingface_"):
        prefixes = _OWN_PREFIXES.get(biller or "", ())
    while True:
        prefix = next((one for one in prefixes if name.startswith(one) and name != one), None)
        if prefix is None:
            return name
        name = name[len(prefix) :]


def is_own_server(names: Iterable[str | None], base_url: str | None) -> bool:
    """Return whether a call went to a model server that the user runs: by its kind, unless its address is public."""
    kinds = {name.strip().lower().replace("_", "-") for name in names if name}
    return bool(kinds & _OWN_SERVERS) and (not base_url or is_private(base_url))


def is_private(base_url: str) -> bool:
    """Return whether an address is of this machine or of a private network."""
    text = base_url if "//" in base_url else f"//{base_url}"
    parts = attempt(urlsplit, text).value
    host = ((parts and parts.hostname) or "").rstrip(".")
    if ":" in host:
        return host in ("::1", "::") or host.startswith(("fc", "fd", "fe80"))
    if not host:
        return False
    return "." not in host or host.endswith(_PRIVATE_NAMES) or _PRIVATE_V4.search(host) is not None
