"""This module is where it is decided what is said of an operation, a conversation and a trace, and in which order.

HTML and terminal say the same; how it looks is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from aicore_obs.display.facts import CostFacts, Node, OperationFacts, Totals, Turn
from aicore_obs.display.tree import Line
from aicore_obs.display.words import UNKNOWN, counted, dollars, duration, number, size, when
from aicore_obs.shapes.parts import Media, Thinking

# Column of a scope → what people call it.
SCOPES = {"operation_id": "operation", "session_id": "session", "run_id": "run", "trace_id": "trace"}
_MOST_NAMES = 6
_TOTALS = ("input_tokens", "output_tokens", "total_tokens")


def title(facts: OperationFacts) -> str:
    """Return what an operation is called: its model, else what it is."""
    return facts.model or facts.operation_type


def subtitle(facts: OperationFacts) -> Iterator[str]:
    """Yield who was asked for what, and when."""
    if facts.provider:
        yield facts.provider
    yield facts.api or facts.operation_type
    yield f"{when(facts.timestamp)} UTC"


def measures(facts: OperationFacts) -> Iterator[tuple[str, str]]:
    """Yield what was measured: time, tokens, cost, and how it ended."""
    first = facts.time_to_first_token_ms
    yield "latency", duration(facts.latency_ms) + (f" (first token {duration(first)})" if first is not None else "")
    yield "tokens", tokens(facts)
    beside = [f"{name.replace('_', ' ')} {number(value)}" for name, value in facts.usage.items() if name not in _TOTALS]
    if beside:
        yield "counts", ", ".join(beside)
    yield "cost", cost(facts.cost)
    if facts.response_model and facts.response_model != facts.model:
        yield "answered by", facts.response_model
    if facts.finish_reason or facts.stream_state:
        stream = f"stream {facts.stream_state}" if facts.stream_state else None
        yield "ended", ", ".join(filter(None, (facts.finish_reason, stream)))


def tokens(facts: OperationFacts) -> str:
    """Return input, output and total."""
    known = [facts.usage.get(name) for name in _TOTALS]
    if known == [None, None, None]:
        return f"{UNKNOWN} (none reported)"
    return f"{number(known[0])} in, {number(known[1])} out, {number(known[2])} in all"


def cost(facts: CostFacts) -> str:
    """Return the amount and whose price it is by, or why it is unknown."""
    if facts.total_usd is None:
        return f"{UNKNOWN} ({facts.reason or 'not priced'})"
    told = f"{dollars(facts.total_usd, at_least=facts.is_lower_bound)}"
    halves = [
        f"{name} {dollars(value)}"
        for name, value in (("input", facts.input_usd), ("output", facts.output_usd))
        if value is not None
    ]
    by = ", ".join(filter(None, (*halves, f"by {facts.source}" if facts.source else None, facts.reason)))
    return f"{told} ({by})" if by else told


def brief(facts: OperationFacts) -> Iterator[str]:
    """Yield an operation's measures on one line."""
    yield duration(facts.latency_ms)
    total = facts.usage.get("total_tokens")
    yield f"{number(total)} tokens"
    yield dollars(facts.cost.total_usd, at_least=facts.cost.is_lower_bound)


def repeated(turn: Turn) -> str:
    """Return how much of a request stands above."""
    return f"{counted(turn.repeated, 'message')} as above"


def marks(facts: OperationFacts) -> Iterator[tuple[str, str]]:
    """Yield labels, tags, flags and scores, where there are any."""
    if facts.labels:
        yield "labels", ", ".join(f"{name}={value}" for name, value in facts.labels.items())
    for name, values in (("tags", facts.tags), ("flagged for", facts.flags)):
        if values:
            yield name, ", ".join(values)
    if facts.scores:
        yield "scores", ", ".join(f"{name} {value}" for name, value in facts.scores.items())


def scopes(facts: OperationFacts) -> Iterator[tuple[str, str | int]]:
    """Yield all ids of an operation, its own first."""
    yield "id", facts.id
    yield from facts.scopes.items()


def sums(totals: Totals, spans: int | None = None) -> Iterator[str]:
    """Yield what several operations come to, and how far that is known."""
    if spans is not None:
        yield counted(spans, "step")
    yield counted(totals.operations, "operation")
    if totals.errors:
        yield f"{totals.errors:,} failed"
    if not totals.operations:
        return
    unknown = f" ({totals.tokens_unknown:,} unknown)" if totals.tokens_unknown else ""
    yield f"{number(totals.tokens)} tokens{unknown}"
    unpriced = f" ({totals.unpriced:,} without a price)" if totals.unpriced else ""
    yield dollars(totals.cost_usd, at_least=totals.is_lower_bound) + unpriced


def left_out(line: Line) -> str:
    """Return what a line stands for that counts steps."""
    return f"… {line.steps:,} more: {', '.join(sums(line.totals))}"


def quantities(node: Node) -> tuple[str, str, str]:
    """Return how long a step took, the tokens and the cost in and below it; nothing where no model was asked."""
    took = duration(node.duration_ms)
    if not node.totals.operations:
        return took, "", ""
    return took, bounded(node.totals.tokens, node.totals.tokens_unknown), amount(node.totals)


def bounded(tokens: int | None, unknown: int) -> str:
    """Return a sum of tokens; a bound where some of them are unknown."""
    return number(tokens) if tokens is None or not unknown else f"≥ {number(tokens)}"


def amount(totals: Totals) -> str:
    """Return a sum of costs without the sign of dollars; a bound where something has no price."""
    cost_usd: Decimal | None = totals.cost_usd
    return dollars(cost_usd, at_least=totals.is_lower_bound).replace("$", "")


def share(node: Node, whole_ms: float) -> tuple[float, float]:
    """Return where a step begins and how long it is, in shares of the whole."""
    if whole_ms <= 0:
        return 0.0, 1.0
    start = min(max(node.start_ms / whole_ms, 0.0), 1.0)
    return start, min((node.duration_ms or 0.0) / whole_ms, 1.0 - start)


def thought(part: Thinking) -> str:
    """Return how much a model thought."""
    return f"thinking, {counted(len(part.text), 'character')}" if part.text else "thinking, of which nothing is told"


def media(part: Media) -> str:
    """Return what an image, a sound or a file is, and how large."""
    known = size(part.size_bytes) if part.size_bytes is not None else part.url or "size unknown"
    return f"[{part.media_type}, {known}]"


def some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def cut(count: int) -> str:
    """Return that only so many were read."""
    return f"There are more than these {count:,}; filters of the readers show the rest."
