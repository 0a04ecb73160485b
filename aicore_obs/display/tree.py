"""This module is where spans and operations become trees of what called what, and a tree becomes lines to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from aicore_obs.display.facts import NOTHING, Node, Totals, TraceTree, total_of

# Of one step's children so many are shown, and so many more that went wrong; the rest is counted.
MOST_CHILDREN = 20
MOST_ERRORS = 10
# Steps deeper than this are counted, and lines beyond this many.
MOST_DEPTH = 12
MOST_LINES = 400
# Deeper steps stand beside each other: encoders and viewers give up on trees without an end.
MAX_DEPTH = 200


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A span or an operation before it has its place; ``totals`` are its own."""

    id: str
    is_operation: bool
    name: str
    started_at: datetime
    duration_ms: float | None = None
    model: str | None = None
    error: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    trace_id: str | None = None
    totals: Totals = NOTHING


def tree_of(scope: str, value: str, steps: Sequence[Step], *, is_cut: bool) -> TraceTree:
    """Return the trees of steps. One whose parent is not among them is a root; so is one of a circle of parents."""
    ordered = sorted(steps, key=lambda step: (step.started_at, step.is_operation, step.id))
    start = ordered[0].started_at if ordered else None
    parents = _parents(ordered)
    children: dict[str | None, list[Step]] = {}
    for step in ordered:
        children.setdefault(parents[step.id], []).append(step)
    roots = tuple(_built(children, start)) if start is not None else ()
    ends = [step.started_at + timedelta(milliseconds=step.duration_ms or 0.0) for step in ordered]
    return TraceTree(
        scope=scope,
        id=value,
        roots=roots,
        totals=total_of(root.totals for root in roots),
        spans=sum(not step.is_operation for step in ordered),
        started_at=start,
        duration_ms=0.0 if start is None else (max(ends) - start).total_seconds() * 1000,
        is_cut=is_cut,
    )


def _parents(steps: Sequence[Step]) -> dict[str, str | None]:
    """Return the id of each step's parent, without circles, and nobody deeper than :data:`MAX_DEPTH`."""
    spans = {step.span_id: step.id for step in steps if step.span_id is not None and not step.is_operation}
    owners = {step.span_id: step.id for step in steps if step.span_id is not None} | spans
    parents = {step.id: _parent(step, spans, owners) for step in steps}
    depths: dict[str, int] = {}
    for step in steps:
        path = dict[str, None]()
        at: str | None = step.id
        while at is not None and at not in depths and at not in path:
            path[at] = None
            at = parents[at]
        if at is not None and at in path:  # a circle, which is cut where it was entered
            parents[at] = None
        for one in reversed(path):
            parent = parents[one]
            while parent is not None and depths.get(parent, 0) >= MAX_DEPTH:
                parent = parents[parent]
            parents[one] = parent
            depths[one] = 0 if parent is None else depths.get(parent, 0) + 1
    return parents


def _parent(step: Step, spans: Mapping[str, str], owners: Mapping[str, str]) -> str | None:
    # An operation that was recorded inside a span without one of its own carries that span's id.
    inside = spans.get(step.span_id or "") if step.is_operation else None
    found = inside if inside is not None else owners.get(step.parent_id or "")
    return found if found != step.id else None


def _built(children: dict[str | None, list[Step]], start: datetime) -> Iterator[Node]:
    """Yield the roots with all below them; without recursion, since a tree may be as deep as it likes."""
    order: list[Step] = []
    waiting = list(children.get(None, []))
    while waiting:
        step = waiting.pop()
        order.append(step)
        waiting += children.get(step.id, [])
    nodes: dict[str, Node] = {}
    for step in reversed(order):
        below = tuple(nodes[child.id] for child in children.get(step.id, []))
        nodes[step.id] = Node(
            id=step.id,
            is_operation=step.is_operation,
            name=step.name,
            started_at=step.started_at,
            start_ms=(step.started_at - start).total_seconds() * 1000,
            duration_ms=step.duration_ms,
            model=step.model,
            error=step.error,
            span_id=step.span_id,
            totals=total_of([step.totals, *(child.totals for child in below)]),
            children=below,
        )
    for step in children.get(None, []):
        yield nodes[step.id]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a shown tree: ``guides`` draw the branches; without a node it counts ``steps`` left out."""

    guides: str
    node: Node | None = None
    steps: int = 0
    totals: Totals = NOTHING


def lines_of(tree: TraceTree, *, full: bool = False) -> list[Line]:
    """Return the lines of a tree, top down; ``full``: all of them."""
    lines: list[Line] = []
    # guides of the line, guides below it, depth
    waiting: list[tuple[Node | Line, str, str, int]] = [
        (one, "", "", 0) for one in reversed(_shown(tree.roots, full=full))
    ]
    while waiting:
        one, guides, below, depth = waiting.pop()
        if not full and len(lines) >= MOST_LINES:
            left = [one, *(more for more, *_ in waiting)]
            steps = sum(_size(more) if isinstance(more, Node) else more.steps for more in left)
            lines.append(Line(guides="", steps=steps, totals=total_of(more.totals for more in left)))
            break
        if isinstance(one, Line):
            lines.append(msgspec.structs.replace(one, guides=guides))
            continue
        lines.append(Line(guides=guides, node=one))
        shown = _shown(one.children, full=full, is_deep=depth + 1 >= MOST_DEPTH)
        for place, child in reversed(list(enumerate(shown))):
            is_last = place == len(shown) - 1
            waiting.append(
                (child, below + ("└─ " if is_last else "├─ "), below + ("   " if is_last else "│  "), depth + 1)
            )
    return lines


def _shown(nodes: Sequence[Node], *, full: bool, is_deep: bool = False) -> list[Node | Line]:
    """Return those of some siblings that are shown, and a line that counts the others."""
    if full or (len(nodes) <= MOST_CHILDREN and not is_deep) or not nodes:
        return list(nodes)
    first = () if is_deep else nodes[:MOST_CHILDREN]
    rest = nodes[len(first) :]
    wrong = [] if is_deep else [one for one in rest if one.totals.errors or one.error is not None][:MOST_ERRORS]
    ids = {one.id for one in wrong}
    left = [one for one in rest if one.id not in ids]
    counted = Line(guides="", steps=sum(map(_size, left)), totals=total_of(one.totals for one in left))
    return [*first, *wrong, *([counted] if left else [])]


def _size(node: Node) -> int:
    count, waiting = 0, [node]
    while waiting:
        one = waiting.pop()
        count += 1
        waiting += one.children
    return count
