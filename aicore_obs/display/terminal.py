"""This module is where an operation, a conversation and a trace are written to a terminal, with rich.

Texts are no markup, and what could move the cursor is replaced. Colours are rich's to leave out (``NO_COLOR``, a pipe).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text as Styled

from aicore_obs.display import lists
from aicore_obs.display.facts import Conversation, Node, OperationFacts, Totals, TraceTree, Turn
from aicore_obs.display.tree import Line, lines_of
from aicore_obs.display.words import Folded, duration, folded, harmless, value_text, when
from aicore_obs.shapes.messages import Message
from aicore_obs.shapes.parts import Media, Part, Text, Thinking, ToolCall, ToolResult

# Of one text so much is written, unless all is asked for.
SHOWN_CHARACTERS, SHOWN_LINES = 1_000, 12
# Those of a terminal's own sixteen that can be read on black and on white; instructions have none.
_COLOURS = {"user": "cyan", "assistant": "green", "tool": "magenta"}
# The lane of bars takes a share of the line, between these.
_NARROWEST, _WIDEST = 10, 40
# In a narrower terminal there are no bars: what the steps are called is worth more.
_FOR_BARS = 64
_ASCII = str.maketrans({"├": "|", "└": "`", "│": "|", "─": "-", "━": "="})


def operation(facts: OperationFacts, *, full: bool = False) -> RenderableType:
    """Return one operation."""
    head = _joined([_styled(lists.title(facts), "bold"), *(_styled(one, "dim") for one in lists.subtitle(facts))])
    head.append("  ").append_text(_status(facts))
    parts: list[RenderableType] = [head, _table([*lists.measures(facts), *_asked(facts), *lists.marks(facts)])]
    parts += _error(facts, full=full)
    parts += _messages(facts.request.messages, full=full)
    parts += _answers(facts, full=full)
    ids = _table((name, str(value)) for name, value in lists.scopes(facts))
    return Group(*parts, "", ids)


def conversation(facts: Conversation, *, full: bool = False) -> RenderableType:
    """Return the talk of one scope, operation by operation."""
    head = _styled(f"Conversation of {lists.SCOPES[facts.scope]} {facts.id}", "bold")
    turns = (part for turn in facts.turns for part in _turn(turn, full=full))
    cut = [_styled(lists.cut(len(facts.turns)), "bold")] if facts.is_cut else []
    return Group(head, _sums(facts.totals), *turns, *cut)


def trace(facts: TraceTree, *, full: bool = False) -> RenderableType:
    """Return trees of steps with a bar for each on one line of time."""
    head = _styled(f"Trace of {lists.SCOPES[facts.scope]} {facts.id}", "bold")
    took = _styled(duration(facts.duration_ms), "dim")
    cut = [_styled(lists.cut(facts.spans + facts.totals.operations), "bold")] if facts.is_cut else []
    return Group(_joined([head, took]), _sums(facts.totals, facts.spans), _Tree(facts, full=full), *cut)


class _Tree:
    """The lines of a trace, as wide as the terminal."""

    def __init__(self, facts: TraceTree, *, full: bool) -> None:
        self._facts = facts
        self._full = full

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        lane = max(_NARROWEST, min(_WIDEST, options.max_width // 6)) if options.max_width >= _FOR_BARS else 0
        table = Table(box=None, pad_edge=False, expand=True, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("step", ratio=1, no_wrap=True, overflow="ellipsis")
        if lane:
            table.add_column("time", width=lane, no_wrap=True)
        for name in ("took", "tokens", "US$"):
            table.add_column(name, justify="right", no_wrap=True)
        for line in lines_of(self._facts, full=self._full):
            table.add_row(*self._cells(line, lane, is_ascii=options.ascii_only))
        yield table

    def _cells(self, line: Line, lane: int, *, is_ascii: bool) -> Iterator[Styled]:
        guides = line.guides.translate(_ASCII) if is_ascii else line.guides
        if line.node is None:
            yield Styled(f"{guides}{lists.left_out(line)}", "dim")
            return
        node = line.node
        step = Styled().append(guides, "dim").append_text(_styled(node.name, "bold" if node.is_operation else ""))
        for word, style in ((node.model, "dim"), (node.error, "red")):
            if word is not None:
                step.append(" ").append_text(_styled(word, style))
        yield step
        if lane:
            yield _bar(node, self._facts.duration_ms, lane, "=" if is_ascii else "━")
        yield from map(Styled, lists.quantities(node))


def _bar(node: Node, whole_ms: float, lane: int, sign: str) -> Styled:
    start, width = lists.share(node, whole_ms)
    first = min(int(start * lane), lane - 1)
    cells = max(1, min(round(width * lane), lane - first))
    style = "red" if node.error is not None else "cyan" if node.is_operation else "dim"
    return Styled(" " * first).append(sign * cells, style)


def _turn(turn: Turn, *, full: bool) -> Iterator[RenderableType]:
    facts = turn.operation
    words = [_styled(when(facts.timestamp), "dim"), _styled(lists.title(facts), "bold")]
    words += [_styled(one, "dim") for one in lists.brief(facts)]
    if facts.status == "error":
        words.append(_status(facts))
    yield ""
    yield _joined(words)
    yield _styled(facts.id, "dim")
    if turn.repeated:
        yield _styled(lists.repeated(turn), "dim")
    yield from _messages(turn.messages, full=full)
    yield from _error(facts, full=full)
    yield from _answers(facts, full=full)


def _asked(facts: OperationFacts) -> Iterator[tuple[str, str]]:
    if facts.request.parameters:
        told = (f"{name}={value_text(value)}" for name, value in facts.request.parameters.items())
        yield "parameters", _shortened(", ".join(" ".join(one.split()) for one in told))
    if facts.request.tools:
        yield "tools offered", lists.some([one.name for one in facts.request.tools])
    if facts.extras:
        yield "extras", _shortened(" ".join(value_text(facts.extras).split()))


def _error(facts: OperationFacts, *, full: bool) -> Iterator[RenderableType]:
    if facts.error is not None:
        yield ""
        yield _styled(facts.error.type or "Error", "bold red")
        for told in (facts.error.message, facts.error.stack if full else None):
            if told:
                yield Padding(_text(told), (0, 0, 0, 2), expand=False)


def _messages(messages: Sequence[Message], *, full: bool) -> Iterator[RenderableType]:
    for message in messages:
        yield from _message(message, full=full)


def _answers(facts: OperationFacts, *, full: bool) -> Iterator[RenderableType]:
    several = len(facts.answers) > 1
    for place, message in enumerate(facts.answers, 1):
        label = f"answer {place} of {len(facts.answers)}" if several else "answer"
        yield from _message(message, full=full, label=label)


def _message(message: Message, *, full: bool, label: str | None = None) -> Iterator[RenderableType]:
    role = f"{message.role} {message.name}" if message.name else message.role
    words = [_styled(role, f"bold {_COLOURS.get(message.role, 'default')}")]
    yield ""
    yield _joined([*words, *([_styled(label, "dim")] if label else [])])
    for part in message.parts:
        for line in _part(part, full=full):
            yield Padding(line, (0, 0, 0, 2), expand=False)
    if not message.parts:
        yield Padding(_styled("(empty)", "dim"), (0, 0, 0, 2), expand=False)


def _part(part: Part, *, full: bool) -> Iterator[RenderableType]:
    if isinstance(part, Text):
        yield from _lines(part.text, full=full)
    elif isinstance(part, Thinking):
        yield _styled(lists.thought(part), "dim")
        if full:
            yield _text(part.text, "dim")
    elif isinstance(part, Media):
        yield _styled(lists.media(part), "dim")
    elif isinstance(part, ToolCall):
        yield _joined(
            [_styled("calls", "dim"), _styled(part.name or "(no name)", "bold"), _styled(part.id or "", "dim")]
        )
        yield from _inner(_lines(value_text(part.arguments), full=full))
    elif isinstance(part, ToolResult):
        words = [_styled("gives", "dim"), _styled(part.name or "", "bold"), _styled(part.id or "", "dim")]
        yield _joined([*words, _styled("failed" if part.is_error else "", "red")])
        for one in part.parts:
            yield from _inner(_part(one, full=full))
    else:
        yield from _lines(value_text(part.value), full=full)


def _inner(lines: Iterable[RenderableType]) -> Iterator[RenderableType]:
    return (Padding(line, (0, 0, 0, 2), expand=False) for line in lines)


def _lines(value: str, *, full: bool) -> Iterator[RenderableType]:
    part = Folded(value) if full else folded(value, characters=SHOWN_CHARACTERS, lines=SHOWN_LINES)
    yield _text(part.shown)
    if part.characters:
        yield _styled(f"… {part.told} (full shows them)", "dim")


def _shortened(value: str) -> str:
    part = folded(value, characters=SHOWN_CHARACTERS // 4, lines=SHOWN_LINES)
    return f"{part.shown}… {part.told}" if part.characters else value


def _status(facts: OperationFacts) -> Styled:
    return _styled(facts.status, "bold red" if facts.status == "error" else "green")


def _sums(totals: Totals, spans: int | None = None) -> Styled:
    return _styled(" · ".join(lists.sums(totals, spans)), "dim")


def _table(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, _styled(value))
    return table


def _joined(words: Iterable[Styled]) -> Styled:
    return Styled("  ").join(word for word in words if word.plain)


def _styled(value: str, style: str = "") -> Styled:
    """Return one line."""
    return Styled(harmless(value, lines=False), style)


def _text(value: str, style: str = "") -> Styled:
    """Return several lines."""
    return Styled(harmless(value), style, overflow="fold")
