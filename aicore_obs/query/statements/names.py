"""This module is where names are made comparable: models however they are spelt, and line items with what they charge.

The forms of line items that are understood:

- OpenAI: ``gpt-5.5-2026-04-23, cached input``, ``gpt-audio-mini-2025-12-15 audio, input``,
  ``priority | gpt-5.6-sol, output, long context``, ``web search tool calls`` (as the Costs API answered in 2026-05 and
  later, reported in public repositories; read 2026-11-21);
- Anthropic: ``Claude Sonnet 4 Usage - Input Tokens``, ``Web Search Usage`` (examples of the cost report; read
  2026-11-21);
- Azure's meters: ``gpt-4o-0806-Inp-glbl Tokens``;
- a model's name by itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

_REGION = re.compile(r"^(us-gov|us|eu|apac|global|jp|au|ca)\.(?=[a-z0-9-]+\.)")
_VENDOR = re.compile(r"^(amazon|anthropic|ai21|cohere|deepseek|google|meta|mistral|openai|qwen|stability|writer)\.")
_VERSION = re.compile(r"(-v\d+:\d+|:\d+|(?<=-00\d)-v\d+)$")
_DAY = r"(0[1-9]|[12]\d|3[01])"
_MONTH = r"(0[1-9]|1[0-2])"
# 2024-08-06, 20250929, 0613 (month and day) and 2411 (year and month), after "-" or "@".
_DATE = re.compile(rf"[-@](20\d\d-{_MONTH}-{_DAY}|20\d\d{_MONTH}{_DAY}|{_MONTH}{_DAY}|2\d{_MONTH})$")
_ALIAS = re.compile(r"[-@](latest|default|00\d)$")
_CLAUDE = re.compile(r"^claude-(\d+(?:-\d+)?)-([a-z]+)$")
_TIER = re.compile(r"^\s*([a-z ]+?)\s*\|\s*", re.IGNORECASE)
_OPENAI = re.compile(r"^(?P<model>[\w.:/@-]+)(?: [\w ]+)?,\s*(?P<rest>.+)$")
_ANTHROPIC = re.compile(r"^(?P<model>.+?) Usage - (?P<rest>.+)$")
_BARE = re.compile(r"^[\w.:/@-]*[a-z][\w.:/@-]*[-\d][\w.:/@-]*$", re.IGNORECASE)
_FAMILY = re.compile(
    r"^(gpt|chatgpt|o\d|claude|gemini|gemma|imagen|veo|dall|whisper|tts|text-|llama|mistral|mixtral|codestral|command|"
    r"grok|deepseek|qwen|kimi|glm|nova|titan|sora|davinci|babbage|omni)",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"[\s-]+(?=(?:input|output|inp|outp|cchd|cached|cache (?:read|write|hit)|prompt|completion|batch|tokens?)\b)",
    re.IGNORECASE,
)
# What is in a text → what was charged; the first that is found.
_FEES = (
    (re.compile(r"web.?search", re.IGNORECASE), "web_search"),
    (re.compile(r"file.?search", re.IGNORECASE), "file_search"),
    (re.compile(r"code.?(interpreter|execution)", re.IGNORECASE), "code_execution"),
    (re.compile(r"session.?(usage|runtime|hour)", re.IGNORECASE), "session"),
    (re.compile(r"fine.?tun|\btraining\b", re.IGNORECASE), "fine_tuning"),
    (re.compile(r"storage|vector store", re.IGNORECASE), "storage"),
    (re.compile(r"\btax\b|\bvat\b", re.IGNORECASE), "tax"),
    (re.compile(r"\bcredit", re.IGNORECASE), "credit"),
)
_KINDS = (
    (re.compile(r"cache.?(writ|creat)|ephemeral", re.IGNORECASE), "cache_write"),
    (re.compile(r"(?<!un)cached|cache.?(read|hit)|\bcchd\b", re.IGNORECASE), "cache_read"),
    (re.compile(r"output|completion|\boutp\b", re.IGNORECASE), "output"),
    (re.compile(r"input|prompt|\binp\b", re.IGNORECASE), "input"),
)
_TIERS = (
    (re.compile(r"\bbatch", re.IGNORECASE), "batch"),
    (re.compile(r"\bflex\b", re.IGNORECASE), "flex"),
    (re.compile(r"\bpriority\b", re.IGNORECASE), "priority"),
    (re.compile(r"long.?context|>\s*200k|200k-1m", re.IGNORECASE), "long context"),
    (re.compile(r"\bfast\b", re.IGNORECASE), "fast"),
)
# A statement says few names many times.
_KEPT = 4096
ORDINARY = frozenset({"", "default", "standard", "auto", "on_demand", "on-demand", "none", "null"})


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What a line charges: a model, perhaps one kind of its tokens, or a fee."""

    model: str | None = None
    model_name: str | None = None
    kind: str | None = None
    fee: str | None = None
    tier: str | None = None


@lru_cache(maxsize=_KEPT)
def model_name(model: str | None) -> str | None:
    """Return a model's name as it is compared: lower case, without host, vendor, region, version and date.

    Snapshots of one model have one name: a statement says which one was served, an application asks for the alias.
    A fine-tuned model is its base model with ``ft-``.
    """
    if model is None or not model.strip():
        return None
    name = "-".join(model.lower().replace("_", " ").split())
    if name.startswith("ft:"):
        return f"ft-{model_name(name.split(':')[1]) or ''}"
    name = _VENDOR.sub("", _REGION.sub("", name.rstrip("/").rsplit("/", 1)[-1]))
    name = re.sub(r":(?=[a-z]).*$", "", name)
    before = None
    while name != before:
        before = name
        name = _without_suffix(name)
    name = name.replace("gpt-35-", "gpt-3.5-")
    if not name.startswith("claude"):
        return name
    name = name.replace(".", "-")
    ordered = _CLAUDE.match(name)
    return f"claude-{ordered[2]}-{ordered[1]}" if ordered else name


def _without_suffix(name: str) -> str:
    for suffix in (_VERSION, _DATE, _ALIAS):
        shorter = suffix.sub("", name)
        if shorter and shorter != name:
            return shorter
    return name


@lru_cache(maxsize=_KEPT)
def item_of(text: str | None) -> Item:
    """Return what a line item's text says: the model and the kind of tokens, or the fee."""
    if text is None:
        return Item()
    tier = _first(_TIERS, text)
    body = _TIER.sub("", text)
    found = _ANTHROPIC.match(body) or _OPENAI.match(body)
    if found is not None:
        return _of_model(found["model"], found["rest"], tier)
    fee = _first(_FEES, body)
    if fee is None and (_BARE.match(body) or _FAMILY.match(body)):
        return _of_model(_without_words(body), body, tier)
    return Item(fee=fee or fee_name(body), tier=tier)


def model_item(model: str | None, what: str | None, *, tier: str | None = None) -> Item:
    """Return what a line with columns of their own says: the model, and the words for the kind of tokens."""
    tier = None if tier is None or tier.lower() in ORDINARY else tier.lower()
    if model is None:
        return Item(fee=None if what is None else _first(_FEES, what) or fee_name(what), tier=tier)
    return _of_model(model, what or "", tier)


def fee_name(text: str) -> str:
    """Return the name of a charge that is none of the usual ones: its words."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "unnamed"


@lru_cache(maxsize=_KEPT)
def _of_model(model: str, rest: str, tier: str | None) -> Item:
    fee, kind = _first(_FEES, rest), _first(_KINDS, rest)
    if fee is not None and kind is None:
        return Item(model=model, fee=fee, tier=tier)
    return Item(model=model, model_name=model_name(model), kind=kind, tier=tier)


def _without_words(text: str) -> str:
    """Return a display name such as ``Claude Sonnet 4.5 Input Tokens`` without the words after the name."""
    return _WORDS.split(text)[0]


def _first(table: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str | None:
    return next((name for pattern, name in table if pattern.search(text)), None)
