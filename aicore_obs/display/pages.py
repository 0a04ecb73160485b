"""This module is where an operation, a conversation and a trace become HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aicore_obs.display import lists, page
from aicore_obs.display.facts import Conversation, Node, OperationFacts, Totals, TraceTree, Turn
from aicore_obs.display.tree import Line, lines_of
from aicore_obs.display.words import counted, duration, value_text, when
from aicore_obs.shapes.messages import Message
from aicore_obs.shapes.parts import Media, Part, Text, Thinking, ToolCall, ToolResult

_COLOURS = {"user": "blue", "assistant": "green", "tool": "violet", "system": "amber", "developer": "amber"}


def operation(facts: OperationFacts, *, full: bool = False) -> str:
    """Return one operation."""
    return page.fragment(
        "".join(
            (
                _head(facts),
                page.table((name, page.text(value)) for name, value in lists.measures(facts)),
                _error(facts),
                _request(facts),
                _messages(facts.request.messages, full=full),
                _answers(facts, full=full),
                _more(facts),
            )
        )
    )


def conversation(facts: Conversation, *, full: bool = False) -> str:
    """Return the talk of one scope, operation by operation."""
    title = page.span(f"Conversation of {lists.SCOPES[facts.scope]} {facts.id}", "title")
    turns = "".join(_turn(turn, full=full) for turn in facts.turns)
    cut = page.span(lists.cut(len(facts.turns)), "amber") if facts.is_cut else ""
    return page.fragment(f'<div class="ao-head">{title}</div>{_sums(facts.totals)}{turns}{cut}')


def trace(facts: TraceTree, *, full: bool = False) -> str:
    """Return trees of steps with a bar for each on one line of time."""
    title = page.span(f"Trace of {lists.SCOPES[facts.scope]} {facts.id}", "title")
    took = page.span(duration(facts.duration_ms), "dim")
    rows = "".join(_row(line, facts) for line in lines_of(facts, full=full))
    cut = page.span(lists.cut(facts.spans + facts.totals.operations), "amber") if facts.is_cut else ""
    heads = "".join(
        f'<th scope="col"{" class=ao-num" if place > 1 else ""} style="width:{width}">{name}</th>'
        for place, (name, width) in enumerate(
            (("step", "46%"), (page.text(f"time, {duration(facts.duration_ms)}"), "24%"), ("took", "9%"),
             ("tokens", "8%"), ("US$", "13%"))
        )
    )  # fmt: skip
    tree = f'<table class="ao-tree"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return page.fragment(f'<div class="ao-head">{title} {took}</div>{_sums(facts.totals, facts.spans)}{tree}{cut}')


def _head(facts: OperationFacts) -> str:
    words = [page.span(lists.title(facts), "title")]
    words += [page.span(one, "dim") for one in lists.subtitle(facts)]
    words.append(page.span(facts.status, "red" if facts.status == "error" else "green"))
    return f'<div class="ao-head">{" ".join(words)}</div>'


def _error(facts: OperationFacts) -> str:
    if facts.error is None:
        return ""
    said = page.pre(facts.error.message or "", "said") if facts.error.message else ""
    stack = page.details(page.span("stack", "dim"), page.pre(facts.error.stack)) if facts.error.stack else ""
    return f'<div class="ao-box">{page.span(facts.error.type or "Error", "red")}{said}{stack}</div>'


def _request(facts: OperationFacts) -> str:
    told = ""
    if facts.request.parameters:
        values = ((name, page.pre(value_text(value))) for name, value in facts.request.parameters.items())
        told += page.details(page.span(counted(len(facts.request.parameters), "parameter"), "dim"), page.table(values))
    if facts.request.tools:
        tools = ((one.name, page.text(one.description or "")) for one in facts.request.tools)
        names = lists.some([one.name for one in facts.request.tools])
        summary = page.span(f"{counted(len(facts.request.tools), 'tool')} offered: {names}", "dim")
        told += page.details(summary, page.table(tools))
    return told


def _messages(messages: Sequence[Message], *, full: bool) -> str:
    return "".join(_message(one, full=full) for one in messages)


def _answers(facts: OperationFacts, *, full: bool) -> str:
    several = len(facts.answers) > 1
    return "".join(
        _message(one, full=full, label=f"answer {place} of {len(facts.answers)}" if several else "answer")
        for place, one in enumerate(facts.answers, 1)
    )


def _message(message: Message, *, full: bool, label: str | None = None) -> str:
    role = f"{message.role} {message.name}" if message.name else message.role
    words = page.span(role, "role") + (f" {page.span(label, 'dim')}" if label else "")
    colour = _COLOURS.get(message.role, "none")
    parts = "".join(_part(part, full=full) for part in message.parts) or page.span("(empty)", "dim")
    return f'<div class="ao-message ao-by-{colour}">{words}{parts}</div>'


def _part(part: Part, *, full: bool) -> str:
    if isinstance(part, Text):
        return page.pre(part.text, "said", full=full)
    if isinstance(part, Thinking):
        return page.details(page.span(lists.thought(part), "dim"), page.pre(part.text, "said", full=full))
    if isinstance(part, Media):
        return f"<div>{page.span(lists.media(part), 'dim')}</div>"
    if isinstance(part, ToolCall):
        name = page.span(part.name or "(no name)", "mono")
        given = _value(part.arguments, full=full)
        return f'<div class="ao-box">{page.span("calls", "dim")} {name} {_id(part.id)}{given}</div>'
    if isinstance(part, ToolResult):
        failed = page.span("failed", "red") if part.is_error else ""
        name = page.span(part.name, "mono") if part.name else ""
        inner = "".join(_given(one, full=full) for one in part.parts)
        return f'<div class="ao-box">{page.span("gives", "dim")} {name} {_id(part.id)} {failed}{inner}</div>'
    return _value(part.value, full=full)


def _given(part: Part, *, full: bool) -> str:
    # What a tool gives is for a program to read as often as not.
    return page.pre(part.text, full=full) if isinstance(part, Text) else _part(part, full=full)


def _value(value: Any, *, full: bool) -> str:
    return page.pre(value_text(value), full=full)


def _id(value: str | None) -> str:
    return "" if value is None else page.span(value, "mono", "dim")


def _more(facts: OperationFacts) -> str:
    marks = [(name, page.text(value)) for name, value in lists.marks(facts)]
    scopes = [(name, f"<code>{page.text(str(value))}</code>") for name, value in lists.scopes(facts)]
    extras = [(name, page.pre(value_text(value))) for name, value in facts.extras.items()]
    told = page.table(marks)
    told += page.details(page.span("ids", "dim"), page.table(scopes))
    return told + (page.details(page.span("extras", "dim"), page.table(extras)) if extras else "")


def _sums(totals: Totals, spans: int | None = None) -> str:
    return f'<div class="ao-dim">{page.text(" · ".join(lists.sums(totals, spans)))}</div>'


def _turn(turn: Turn, *, full: bool) -> str:
    facts = turn.operation
    words = [page.span(when(facts.timestamp), "mono", "dim"), page.span(lists.title(facts))]
    words += [page.span(one, "dim") for one in lists.brief(facts)]
    if facts.status == "error":
        words.append(page.span("error", "red"))
    above = f"<div>{page.span(lists.repeated(turn), 'dim')}</div>" if turn.repeated else ""
    return (
        f'<div class="ao-turn ao-head" title="{page.text(facts.id)}">{" ".join(words)}</div>{above}'
        f"{_messages(turn.messages, full=full)}{_error(facts)}{_answers(facts, full=full)}"
    )


def _row(line: Line, tree: TraceTree) -> str:
    # Where a viewer takes the style away, spaces that do not break still keep the branches in their places.
    guides = f'<span class="ao-guides ao-mono">{page.text(line.guides).replace(" ", "&nbsp;")}</span>'
    if line.node is None:
        told = page.span(lists.left_out(line), "dim")
        return f'<tr><td class="ao-step" colspan="5">{guides}{told}</td></tr>'
    node = line.node
    cells = "".join(f'<td class="ao-num">{page.text(value)}</td>' for value in lists.quantities(node))
    step = f'<td class="ao-step"{_hint(node)}>{guides}{"".join(_step(node))}</td>'
    return f"<tr>{step}<td>{_bar(node, tree.duration_ms)}</td>{cells}</tr>"


def _step(node: Node) -> Iterator[str]:
    yield page.span(node.name, "blue" if node.is_operation else "plain")
    if node.model is not None:
        yield " " + page.span(node.model, "dim")
    if node.error is not None:
        yield " " + page.span(node.error, "red")


def _hint(node: Node) -> str:
    told = " ".join(filter(None, (node.name, node.model, node.error)))
    return f' title="{page.text(told[:500], lines=False)}"'


def _bar(node: Node, whole_ms: float) -> str:
    colour = "red" if node.error is not None else "blue" if node.is_operation else "plain"
    start, width = lists.share(node, whole_ms)
    style = f"margin-left:{start * 100:.2f}%;width:{width * 100:.2f}%"
    return f'<div class="ao-lane"><div class="ao-bar ao-{colour}" style="{style}"></div></div>'
