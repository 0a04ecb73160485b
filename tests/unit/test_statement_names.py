"""This module is where names are tested: one for each model however it is spelt, and what a line item charges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.query.statements.names import Item, item_of, model_name

SPELLINGS = {
    "gpt-4o": ["gpt-4o", "GPT-4o", "gpt-4o-2024-08-06", "openai/gpt-4o", "azure/gpt-4o-2024-11-20", "gpt-4o-0806"],
    "gpt-3.5-turbo": ["gpt-3.5-turbo-0125", "gpt-35-turbo", "gpt-35-turbo-0613"],
    "gpt-4": ["gpt-4-0613", "gpt-4"],
    "gpt-4.1-mini": ["gpt-4.1-mini-2025-04-14", "gpt 4.1 mini"],
    "ft-gpt-4o-mini": ["ft:gpt-4o-mini-2024-07-18:org::abc123", "ft-gpt-4o-mini-2024-07-18"],
    "text-embedding-ada": ["text-embedding-ada-002", "text-embedding-ada-002-v2"],
    "claude-sonnet-4-5": [
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5@20250929",
        "Claude Sonnet 4.5",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic/claude-4.5-sonnet-20250929",
        "publishers/anthropic/models/claude-sonnet-4-5@20250929",
    ],
    "claude-sonnet-3-5": ["claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest", "Claude Sonnet 3.5"],
    "claude-haiku-3": ["claude-3-haiku-20240307", "Claude Haiku 3"],
    "gemini-2.0-flash": ["models/gemini-2.0-flash-001", "gemini-2.0-flash", "vertex_ai/gemini-2.0-flash@default"],
    "mistral-large": ["mistral-large-2411", "mistral-large-latest"],
    "deepseek-v3": ["deepseek/deepseek-v3", "accounts/fireworks/models/deepseek-v3", "deepseek/deepseek-v3:free"],
    "llama-3.3-70b-instruct-turbo": ["meta-llama/Llama-3.3-70B-Instruct-Turbo"],
    "nova-pro": ["eu.amazon.nova-pro-v1:0"],
}


@pytest.mark.parametrize(("name", "spelling"), [(name, one) for name, them in SPELLINGS.items() for one in them])
def test_one_model_has_one_name(name: str, spelling: str) -> None:
    """Dates, versions, regions, vendors and hosts are not part of it."""
    assert model_name(spelling) == name


@given(st.text(max_size=40))
def test_a_name_stays_what_it_is(text: str) -> None:
    """Naming twice is naming once, and nothing fails."""
    item_of(text)
    name = model_name(text)
    if name is not None and not name.startswith("ft-"):
        assert model_name(name) == name or not name


@pytest.mark.parametrize(
    ("text", "model", "kind", "fee", "tier"),
    [
        ("gpt-4o-2024-08-06, input", "gpt-4o", "input", None, None),
        ("gpt-4o-2024-08-06, cached input", "gpt-4o", "cache_read", None, None),
        ("gpt-5.6-sol, cache writes", "gpt-5.6-sol", "cache_write", None, None),
        ("priority | gpt-5.6-sol, output", "gpt-5.6-sol", "output", None, "priority"),
        ("gpt-5.6-sol, output, long context", "gpt-5.6-sol", "output", None, "long context"),
        ("gpt-audio-mini-2025-12-15 audio, input", "gpt-audio-mini", "input", None, None),
        ("gpt-image-2.5-sunburst text, cached input", "gpt-image-2.5-sunburst", "cache_read", None, None),
        ("whisper-1, audio", "whisper-1", None, None, None),
        ("gpt-4o-mini-2024-07-18, training", None, None, "fine_tuning", None),
        ("gpt-4o-search-preview-2025-03-11, input", "gpt-4o-search-preview", "input", None, None),
        ("gpt-4o", "gpt-4o", None, None, None),
        ("web search tool calls", None, None, "web_search", None),
        ("Code interpreter", None, None, "code_execution", None),
        ("Vector storage", None, None, "storage", None),
        ("Image models", None, None, "image_models", None),
        ("Claude Sonnet 4 Usage - Input Tokens", "claude-sonnet-4", "input", None, None),
        ("Claude Sonnet 4.5 Usage - Output Tokens", "claude-sonnet-4-5", "output", None, None),
        ("Web Search Usage", None, None, "web_search", None),
        ("gpt-4o-mini-0718-Inp-glbl Tokens", "gpt-4o-mini", "input", None, None),
        ("gpt 4o 0806 cached Inp glbl Tokens", "gpt-4o", "cache_read", None, None),
        ("Claude Haiku 4.5 Output Tokens", "claude-haiku-4-5", "output", None, None),
        (None, None, None, None, None),
    ],
)
def test_a_line_item_says_what_it_charges(
    text: str | None, model: str | None, kind: str | None, fee: str | None, tier: str | None
) -> None:
    """A model with the kind of its tokens, or a fee."""
    item = item_of(text)
    assert (item.model_name, item.kind, item.fee, item.tier) == (model, kind, fee, tier)


def test_what_says_nothing_is_nothing() -> None:
    """Neither model nor fee."""
    assert item_of(None) == Item()
    assert model_name(" ") is None
