"""This module is where prices that can be looked up elsewhere are held: models, dates, tiers, hosts; a fact a line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from aicore_obs.model.usage import Usage
from tests.prices import cost, other, usage

MILLION = 1_000_000
BATCH = {"batch": "true"}
FLEX = {"tier": "flex"}
US_BATCH = {"batch": "true", "region": "us"}

# provider, model, usage, time, options, total in US dollars
FACTS: list[tuple[str, str, Usage, str, dict[str, Any], str]] = [
    # OpenAI: snapshots, aliases that moved, parts of the input.
    ("openai", "gpt-4o", usage(1000, 500), "2024-06-10", {}, "0.0125"),
    ("openai", "gpt-4o", usage(1000, 500), "2024-10-01T23:59:59", {}, "0.0125"),
    ("openai", "gpt-4o", usage(1000, 500), "2024-10-02", {}, "0.0075"),
    ("openai", "gpt-4o-2024-05-13", usage(1000, 500), "2024-11-01", {}, "0.0125"),
    ("openai", "gpt-4-0613", usage(100, 20), "2024-06-01", {}, "0.0042"),
    ("openai", "gpt-5-mini", usage(126, 85, reasoning_tokens=64), "2026-02-17", {}, "0.0002015"),
    ("openai", "o3", usage(1000, 100, cache_read_tokens=400), "2025-06-09", {}, "0.011"),
    ("openai", "o3", usage(1000, 100, cache_read_tokens=400), "2025-06-10", {}, "0.0022"),
    ("openai", "gpt-5.6-sol", usage(4020, 5, cache_write_tokens=4012), "2026-09-21", {}, "0.020192"),
    ("openai", "gpt-5.6-sol", usage(4020, 5, cache_write_tokens=4012), "2026-08-20", {}, "0.025265"),
    ("openai", "gpt-5.5", usage(272_000, 1000), "2026-07-02", {}, "1.39"),
    ("openai", "gpt-5.5", usage(272_001, 1000), "2026-07-02", {}, "2.76501"),
    ("openai", "gpt-4o-audio-preview-2024-12-17", usage(81, 72, input_audio_tokens=69), "2025-04-25", {}, "0.00351"),
    ("openai", "gpt-4o-audio-preview", usage(81, 72, input_audio_tokens=69), "2024-11-01", {}, "0.00765"),
    ("openai", "gpt-4o-mini-audio-preview", usage(0, 10, output_audio_tokens=10), "2025-04-25", {}, "0.0002"),
    ("openai", "ft:gpt-3.5-turbo-0125:acme::9xYz", usage(500, 50), "2025-06-01", {}, "0.0018"),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme::1", usage(500, 50, cache_read_tokens=200), "2025-06-01", {}, "0.00018"),
    ("openai", "ft:gpt-4.1-2025-04-14:acme::1", usage(1000, 100), "2025-06-01", {}, "0.0042"),
    ("openai", "tts-1", Usage(input_characters=1000), "2025-09-01", {}, "0.015"),
    ("openai", "whisper-1", Usage(audio_seconds=90.5), "2025-09-01", {}, "0.00905"),
    (
        "openai", "dall-e-3", Usage(images=2), "2024-01-01", {"conditions": {"size": "1024x1792", "quality": "hd"}},
        "0.24",
    ),
    ("openai", "dall-e-3", Usage(images=1), "2024-01-01", {"conditions": {"quality": "standard"}}, "0.04"),
    ("openai", "dall-e-2", Usage(images=1), "2024-01-01", {"conditions": {"size": "256x256"}}, "0.016"),
    ("openai", "sora-2-pro", Usage(video_seconds=4), "2026-01-01", {"conditions": {"size": "1792x1024"}}, "2"),
    ("openai", "gpt-4.1-mini", usage(1000, 100, web_searches=2), "2026-01-01", {}, "0.02056"),
    ("openai", "text-embedding-3-small", usage(1000, 0), "2026-01-01", {}, "0.00002"),
    ("openai", "gpt-4o-mini-2099-12-31", usage(1000, 0), "2026-01-01", {}, "0.00015"),
    ("openai", "openai:gpt-4o-mini", usage(1000, 0), "2026-01-01", {}, "0.00015"),
    # Batches of fine-tuned models are not all half of the standard price.
    (
        "openai", "ft:gpt-4o-2024-08-06:acme::1", usage(1000, 100, cache_read_tokens=400), "2025-06-01",
        {"conditions": BATCH}, "0.002945",
    ),
    ("openai", "ft:gpt-4.1-2025-04-14:acme::1", usage(1000, 100), "2025-06-01", {"conditions": BATCH}, "0.0021"),
    ("openai", "ft:gpt-4.1-mini-2025-04-14:acme::1", usage(1000, 0), "2025-06-01", {"conditions": BATCH}, "0.0004"),
    # Tiers: those of a day before they were collected, half of the day's price, and what was served.
    ("openai", "gpt-5", usage(10_000, 2000), "2025-10-09", {"conditions": FLEX}, "0.01625"),
    ("openai", "gpt-5", usage(10_000, 2000), "2026-10-20", {"conditions": {"tier": "priority"}}, "0.065"),
    ("openai", "gpt-5", usage(10_000, 2000), "2026-10-20", {"conditions": {"tier": "default"}}, "0.0325"),
    ("openai", "gpt-5.6-sol", usage(1000, 100), "2026-07-20", {"conditions": FLEX}, "0.004"),
    ("openai", "gpt-4o", usage(1000, 500), "2024-06-10", {"conditions": BATCH}, "0.00625"),
    ("openai", "o1-mini", usage(1000, 500), "2025-06-10", {"conditions": BATCH}, "0.00165"),
    ("azure", "gpt-4o-2024-08-06", usage(1000, 500), "2025-06-10", {"conditions": BATCH}, "0.00375"),
    ("groq", "llama-3.3-70b-versatile", usage(1000, 0), "2025-06-10", {"conditions": FLEX}, "0.00059"),
    (
        "google", "gemini-2.5-flash", usage(1000, 0, cache_read_tokens=500), "2026-01-01", {"conditions": BATCH},
        "0.00009",
    ),
    ("google", "gemini-2.5-flash", usage(1000, 100), "2026-01-01", {"conditions": {"tier": "priority"}}, "0.00099"),
    ("voyage", "voyage-4", usage(1000, 0), "2026-03-01", {"conditions": BATCH}, "0.0000402"),
    # Anthropic
    (
        "anthropic", "claude-sonnet-4-6", usage(8855, 193, cache_read_tokens=8845, cache_write_5m_tokens=6),
        "2026-06-30", {}, "0.005583",
    ),
    ("anthropic", "claude-sonnet-4-5", usage(210_000, 1000, cache_read_tokens=160_000), "2025-11-01", {}, "0.4185"),
    ("anthropic", "claude-sonnet-4-5", usage(200_000, 1000), "2025-11-01", {}, "0.615"),
    ("anthropic", "claude-sonnet-4-20250514", usage(210_000, 1000), "2025-11-01", {}, "1.2825"),
    ("anthropic", "claude-sonnet-4-20250514", usage(210_000, 1000), "2025-07-01", {}, "0.645"),
    ("anthropic", "claude-haiku-4-5", usage(10_000, 1000), "2026-10-20", {"conditions": {"tier": "batch"}}, "0.0075"),
    ("anthropic", "claude-haiku-4-5", usage(10_000, 1000), "2025-11-20", {"conditions": BATCH}, "0.0075"),
    ("anthropic", "claude-3-5-haiku-20241022", usage(1000, 0), "2025-11-20", {"conditions": BATCH}, "0.0004"),
    ("anthropic", "claude-3-5-haiku-20241022", usage(1000, 0), "2024-11-20", {}, "0.001"),
    ("anthropic", "claude-sonnet-5", usage(1000, 0, cache_write_1h_tokens=1000), "2026-07-01", {}, "0.004"),
    ("anthropic", "claude-opus-4-8", usage(1000, 100), "2026-07-01", {"conditions": {"speed": "fast"}}, "0.015"),
    ("anthropic", "claude-opus-4-6", usage(1000, 100), "2026-03-20", {"conditions": {"speed": "fast"}}, "0.045"),
    ("anthropic", "claude-opus-4-6", usage(1000, 100), "2026-03-20", {"conditions": {"region": "us"}}, "0.00825"),
    ("anthropic", "claude-opus-4-5", usage(1000, 100), "2026-03-20", {"conditions": {"region": "us"}}, "0.0075"),
    ("anthropic", "claude-sonnet-4-5", usage(1000, 0, web_searches=3), "2026-03-20", {}, "0.033"),
    ("anthropic", "claude-opus-4-6", usage(1000, 100), "2026-04-20", {"conditions": US_BATCH}, "0.004125"),
    # Bedrock: the profile that was asked for has the price.
    (
        "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        usage(2374, 61, cache_read_tokens=2074, cache_write_1h_tokens=297), "2026-07-01", {}, "0.00366102",
    ),
    (
        "bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(1000, 0), "2026-07-01",
        {"response_model": "claude-sonnet-4-5-20250929"}, "0.003",
    ),
    (
        "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(1000, 0), "2026-07-01",
        {"response_model": "claude-sonnet-4-5-20250929"}, "0.0033",
    ),
    (
        "bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", usage(7, 53),
        "2025-07-01", {}, "0.00001314",
    ),
    (
        "bedrock", "anthropic.claude-3-5-haiku-20241022-v1:0", usage(1000, 0, cache_write_1h_tokens=1000),
        "2025-07-01", {}, "0.0016",
    ),
    (
        "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        usage(300_000, 1000, cache_read_tokens=100_000, cache_write_1h_tokens=1000), "2026-02-01", {}, "1.41735",
    ),
    ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(200_000, 0), "2026-02-01", {}, "0.66"),
    ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(200_001, 0), "2026-02-01", {}, "1.200006"),
    (
        "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(200_001, 0), "2026-02-01",
        {"conditions": BATCH}, "0.6600033",
    ),
    ("bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(1000, 1000), "2026-02-01", {}, "0.0216"),
    ("bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(200_001, 0), "2026-02-01", {}, "1.4400072"),
    ("bedrock", "eu.amazon.nova-lite-v1:0", usage(1000, 1000), "2025-07-01", {}, "0.00039"),
    ("bedrock", "apac.amazon.nova-pro-v1:0", usage(1000, 1000), "2025-07-01", {"conditions": FLEX}, "0.0021"),
    ("bedrock", "amazon.nova-2-lite-v1:0", usage(1000, 1000), "2026-01-01", {}, "0.0028"),
    ("bedrock", "amazon.nova-2-lite-v1:0", usage(1000, 1000), "2026-01-01", {"conditions": BATCH}, "0.0014"),
    # A name that only Bedrock has is Bedrock's, whoever carries the call.
    ("litellm", "us.anthropic.claude-haiku-4-5-20251001-v1:0", usage(1000, 100), "2026-01-01", {}, "0.00165"),
    ("anthropic", "eu.anthropic.claude-haiku-4-5-20251001-v1:0", usage(1000, 100), "2026-01-01", {}, "0.00165"),
    (None, "amazon.nova-micro-v1:0", usage(1000, 1000), "2026-01-01", {}, "0.000175"),  # type: ignore[list-item]
    # Google
    (
        "google", "gemini-2.5-flash", usage(373, 256, cache_read_tokens=204, input_image_tokens=258), "2026-02-17",
        {}, "0.00069682",
    ),
    ("google", "gemini-2.5-pro", usage(250_000, 1500, cache_read_tokens=100_000), "2026-01-01", {}, "0.4225"),
    ("google", "gemini-2.5-flash-image", usage(10, 1310, output_image_tokens=1290), "2026-01-01", {}, "0.038753"),
    ("google", "models/gemini-2.0-flash", usage(52, 5), "2025-06-27", {}, "0.0000072"),
    ("vertex", "gemini-2.0-flash", usage(52, 5), "2025-06-27", {}, "0.0000108"),
    ("vertex", "publishers/google/models/gemini-2.5-flash", usage(8, 2464), "2025-10-10", {}, "0.0061624"),
    ("vertex", "claude-sonnet-4-5@20250929", usage(1100, 10, cache_read_tokens=1000), "2026-01-01", {}, "0.00075"),
    (
        "vertex", "claude-sonnet-4-5@20250929", usage(1000, 0), "2026-01-01", {"conditions": {"region": "us-east5"}},
        "0.0033",
    ),
    ("google", "gemini-2.5-flash", usage(1000, 0, web_searches=4), "2026-01-01", {}, "0.0353"),
    ("google", "gemini-3-flash-preview", usage(1000, 0, web_searches=4), "2026-05-01", {}, "0.0565"),
    ("google", "veo-3.1-generate-preview", Usage(video_seconds=8), "2026-01-15", {}, "3.2"),
    (
        "google", "veo-3.1-fast-generate-preview", Usage(video_seconds=8), "2026-05-15",
        {"conditions": {"resolution": "1080p"}}, "0.96",
    ),
    ("google", "imagen-4.0-generate-001", Usage(images=3), "2026-01-15", {}, "0.12"),
    # DeepSeek: hours, days and dates.
    ("deepseek", "deepseek-chat", usage(2000, 300, cache_read_tokens=1536), "2025-03-10T12:00", {}, "0.0005628"),
    ("deepseek", "deepseek-chat", usage(2000, 300, cache_read_tokens=1536), "2025-03-10T18:00", {}, "0.0002814"),
    ("deepseek", "deepseek-chat", usage(2000, 300, cache_read_tokens=1536), "2025-03-10T00:29:59", {}, "0.0002814"),
    ("deepseek", "deepseek-chat", usage(2000, 300, cache_read_tokens=1536), "2025-02-20T18:00", {}, "0.0005628"),
    ("deepseek", "deepseek-chat", usage(1000, 0), "2025-09-05T15:59", {}, "0.00027"),
    ("deepseek", "deepseek-chat", usage(1000, 0), "2025-09-05T16:00", {}, "0.00056"),
    ("deepseek", "deepseek-chat", usage(1000, 1000), "2025-12-01", {}, "0.0007"),
    ("deepseek", "deepseek-reasoner", usage(1000, 1000), "2025-05-01T12:00", {}, "0.00274"),
    ("deepseek", "deepseek-v4-flash", usage(200, 16, cache_read_tokens=128), "2026-08-10T02:00", {}, "0.0000149184"),
    ("deepseek", "deepseek-v4-flash", usage(1000, 0), "2026-11-20T02:00", {}, "0.0003"),
    ("deepseek", "deepseek-v4-flash", usage(1000, 0), "2026-11-21T02:00", {}, "0.00015"),
    ("deepseek", "deepseek-v4-flash", usage(1000, 0), "2026-11-20T05:00", {}, "0.00015"),
    ("deepseek", "deepseek-v4-pro", usage(1000, 0, cache_read_tokens=1000), "2026-04-25", {}, "0.000145"),
    ("deepseek", "deepseek-v4-pro", usage(1000, 0, cache_read_tokens=1000), "2026-04-27", {}, "0.000003625"),
    ("deepseek", "deepseek-chat", usage(1000, 1000), "2026-05-01", {}, "0.00042"),
    # xAI: retired names are billed as what answers them.
    ("xai", "grok-4-fast-reasoning", usage(221, 122, cache_read_tokens=128), "2026-06-24", {}, "0.00044685"),
    ("xai", "grok-4-fast-non-reasoning", usage(467, 13, cache_read_tokens=455), "2026-01-16", {}, "0.00003165"),
    ("xai", "grok-4.5", usage(1000, 0, cache_read_tokens=1000), "2026-07-08", {}, "0.0005"),
    ("xai", "grok-4.5", usage(1000, 0, cache_read_tokens=1000), "2026-11-08", {}, "0.0003"),
    ("xai", "grok-4.3", usage(200_000, 0), "2026-06-24", {}, "0.5"),
    ("xai", "grok-4-fast", usage(1000, 1000), "2026-06-24", {"conditions": BATCH}, "0.003"),
    ("xai", "grok-code-fast-1", usage(1000, 1000), "2026-05-15T18:59", {}, "0.0017"),
    ("xai", "grok-code-fast-1", usage(1000, 1000), "2026-05-15T19:00", {}, "0.003"),
    ("xai", "grok-4.20-reasoning", usage(1000, 1000), "2026-06-24", {}, "0.00375"),
    # Others, and one model on several hosts.
    ("litellm", "zai/glm-4.6", usage(1000, 1000), "2025-12-01", {}, "0.0028"),
    ("zai", "zai/glm-4.6", usage(1000, 1000), "2025-12-01", {}, "0.0028"),
    ("litellm", "moonshot/kimi-k2-0905-preview", usage(1000, 1000), "2025-12-01", {}, "0.0031"),
    ("mistral", "ministral-3b-latest", usage(1000, 1000), "2025-12-01", {}, "0.00008"),
    ("mistral", "ministral-3b-latest", usage(1000, 1000), "2025-12-02", {}, "0.0002"),
    ("mistral", "devstral-medium-latest", usage(1000, 1000), "2026-01-01", {}, "0.0024"),
    ("openrouter", "openai/gpt-4o:online", usage(1000, 0), "2025-10-29", {}, "0.0025"),
    ("openrouter", "x-ai/grok-3", usage(1000, 0), "2025-10-29", {}, "0.003"),
    ("bedrock", "anthropic.claude-v2:1", usage(1000, 1000), "2024-05-01", {}, "0.032"),
    ("bedrock", "us.meta.llama3-1-405b-instruct-v1:0", usage(1000, 1000), "2025-05-01", {}, "0.0048"),
    ("google", "gemini-1.0-pro", usage(1000, 1000), "2024-06-01", {}, "0.002"),
    ("google", "gemini-pro", usage(1000, 1000), "2024-06-01", {}, "0.002"),
    ("google", "gemini-1.5-flash-8b", usage(1000, 1000), "2025-01-01", {}, "0.0001875"),
    ("mistral", "mistral-small-latest", usage(1000, 1000), "2024-10-01", {}, "0.0008"),
    ("vertex", "veo-3.0-generate-001", Usage(video_seconds=8), "2026-01-01", {"conditions": {"audio": "false"}}, "1.6"),
    ("vertex", "veo-3.0-generate-001", Usage(video_seconds=8), "2026-01-01", {"conditions": {"audio": "true"}}, "3.2"),
    ("mistral", "mistral-large-latest", usage(1000, 1000), "2026-01-01", {}, "0.002"),
    ("mistral", "mistral-large-latest", usage(1000, 1000), "2025-01-01", {}, "0.008"),
    ("mistral", "mistral-medium-latest", usage(64, 6, cache_read_tokens=32), "2026-02-10", {}, "0.00002608"),
    ("together", "mistralai/Mixtral-8x7B-Instruct-v0.1", usage(1000, 1000), "2025-01-01", {}, "0.0012"),
    ("groq", "openai/gpt-oss-120b", usage(254, 174), "2026-02-18", {}, "0.0001425"),
    ("cerebras", "gpt-oss-120b", usage(1000, 0), "2026-02-18", {}, "0.00035"),
    ("fireworks", "deepseek-v3", usage(1000, 1000), "2025-02-18", {}, "0.0018"),
    ("cohere", "rerank-english-v3.0", Usage(search_units=1), "2025-08-01", {}, "0.002"),
    ("cohere", "embed-english-v3.0", usage(1000, None), "2025-08-01", {}, "0.0001"),
    ("cohere", "command-r7b-12-2024", usage(2406, 2), "2026-05-01", {}, "0.000090525"),
    ("perplexity", "sonar-pro", usage(14, 100), "2026-01-15", {"conditions": {"search_context": "low"}}, "0.007542"),
    ("perplexity", "sonar", usage(100, 100), "2026-01-15", {"conditions": {"search_context": "high"}}, "0.0122"),
    ("groq", "whisper-large-v3", Usage(audio_seconds=2.0), "2026-01-01", {}, "0.000308333333"),
    ("voyageai", "voyage-4", usage(3, 0), "2026-02-01", {}, "0.00000018"),
    ("azure", "gpt-35-turbo", usage(15, 19), "2025-06-01", {}, "0.000036"),
    ("azure", "gpt-35-turbo-0613", usage(1000, 0), "2025-06-01", {}, "0.0015"),
    ("openrouter", "openai/gpt-5-mini", usage(8, 15), "2025-10-29", {}, "0.000032"),
    (
        "litellm", "anthropic/claude-sonnet-4-5", usage(1532, 33, cache_read_tokens=1111, cache_write_tokens=418),
        "2026-02-01", {}, "0.0024048",
    ),
    ("langchain", "claude-sonnet-4-5-20250929", usage(1000, 0), "2026-02-01", {}, "0.003"),
    ("openai", "llama-3.3-70b", usage(42, 8), "2025-08-26", {"provider": "cerebras"}, "0.0000453"),
    # Hosts that only the table knows, asked with OpenAI's client or Anthropic's; a proxy that nobody knows.
    ("openai", "glm-4.6", usage(1000, 1000), "2026-02-01", {"base_url": "https://api.z.ai/api/paas/v4"}, "0.0028"),
    ("anthropic", "glm-4.6", usage(1000, 0), "2026-02-01", {"base_url": "https://api.z.ai/api/anthropic"}, "0.0006"),
    (
        "openai", "kimi-k2-0905-preview", usage(1000, 0), "2026-02-01", {"base_url": "https://api.moonshot.ai/v1"},
        "0.0006",
    ),
    ("openai", "gpt-4o", usage(1000, 0), "2026-02-01", {"base_url": "https://proxy.acme.com/v1"}, "0.0025"),
    ("together", "openai/gpt-oss-20b", usage(1000, 1000), "2026-02-01", {}, "0.00025"),
    (None, "gpt-4o-mini", usage(1000, 0), "2025-08-26", {}, "0.00015"),  # type: ignore[list-item]
]  # fmt: skip


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact[0]}-{fact[1]}-{fact[3]}")
def test_what_a_call_costs(fact: tuple[str, str, Usage, str, dict[str, Any], str]) -> None:
    """Each fact is of a provider's own page, or follows from one."""
    provider, model, used, at, options, total = fact
    found = cost(provider, model, used, at, **options)
    assert (found.total, found.reason) == (Decimal(total), None), found
    assert found.input is not None
    assert found.output is not None
    assert found.input + found.output + other(found) == found.total
    assert found.price_id


@pytest.mark.parametrize(
    ("provider", "model", "conditions", "reason"),
    [
        ("openai", "gpt-5-nano", {"tier": "priority"}, "tier 'priority'"),
        ("openai", "gpt-4o", {"tier": "scale"}, "tier 'scale'"),
        ("anthropic", "claude-sonnet-4-5", {"tier": "priority"}, "tier 'priority'"),
        ("anthropic", "claude-sonnet-4-5", {"speed": "fast"}, "speed 'fast'"),
        ("google", "gemini-2.5-pro", {"tier": "provisioned"}, "tier 'provisioned'"),
        ("mistral", "mistral-large-latest", {"tier": "flex"}, "tier 'flex'"),
        ("openai", "gpt-9-turbo", {}, "gpt-9-turbo"),
        ("openai", "ft:gpt-4-0613:acme::1", {}, "ft:gpt-4-0613"),
        ("openai", "gpt-oss-120b", {}, "gpt-oss-120b"),
        ("azure", "my-prod-deployment", {}, "my-prod-deployment"),
        ("huggingface", "deepseek-ai/DeepSeek-R1", {}, "DeepSeek-R1"),
        ("writer", "palmyra-x4", {}, "palmyra-x4"),
        ("cerebras", "qwen-3-coder-480b", {}, "without a price"),
        ("acme", "acme-1", {}, "acme-1"),
        (None, None, {}, "no model"),
    ],
)
def test_what_nobody_lists_is_unknown(provider: str, model: str, conditions: dict[str, str], reason: str) -> None:
    """Never 0, and never the price of an ordinary call in place of a tier's."""
    found = cost(provider, model, usage(1000, 100), "2026-06-01", conditions=conditions)
    assert found.total is None
    assert reason in (found.reason or "")


def test_a_model_that_is_listed_as_free_costs_nothing() -> None:
    """Known, and 0."""
    found = cost("google", "gemma-3-27b-it", usage(1000, 100))
    assert (found.total, found.source) == (0, "genai-prices")


def test_the_price_that_was_used_is_named() -> None:
    """Row, layer, version of the book and the prices of each line."""
    found = cost("openai", "gpt-5", usage(1000, 100), conditions=FLEX)
    assert found.price_id == "genai-prices:openai/gpt-5+service_tier=flex"
    assert found.source == "genai-prices"
    assert (found.book or "").startswith("corrections:2026-11-27 genai-prices:0.2.")
    assert [(line.unit, line.quantity, line.price, line.per) for line in found.lines] == [
        ("input_mtok", 1000, Decimal("0.625"), MILLION),
        ("output_mtok", 100, Decimal("5"), MILLION),
    ]
