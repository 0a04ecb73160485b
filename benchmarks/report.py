"""This module is where figures become a table: in the terminal, and as a page with its raw numbers beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.goals import goal_of
from benchmarks.peers.side_by_side import Survival
from benchmarks.peers.watching import Watched

HEAD = ("what", "figure", "unit", "min", "median", "max", "floor", "of the floor", "goal")
LEFT = 3
GROUPS = {
    "caller": "What a record costs its caller",
    "loop": "How late an event loop gets",
    "end-to-end": "From `record_completion` to the store",
    "memory": "Memory over many records",
    "import": "Import and a first record",
    "replay": "Replay after a crash",
    "reading": "Reading",
    "observing": "What watching OpenAI's SDK and `@observe` add: CPU of the caller, the provider is a function",
    "watching": "What watchers add to a call of OpenAI's SDK over HTTP on this machine",
    "peers": "The same record by others: what it costs its caller",
}
SURVIVAL = "The same record by others: what survives"
SURVIVAL_HEAD = (
    *("what", "version", "burst: offered", "stored", "%", "kill -9: accepted before", "stored in the end", "%"),
    *("what was counted", "note"),
)

WATCHED = "What the watchers have kept of these calls"
WATCHED_HEAD = ("what", "version", "calls", "requests found", "answers found", "how it delivers", "note")
# Which columns are numbers, where the table is not one of figures.
NUMERIC = {SURVIVAL: range(2, 8), WATCHED: range(2, 5)}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All of one run."""

    machine: dict[str, str]
    figures: list[Figure]
    survival: list[Survival] = []
    watched: list[Watched] = []


def show(run: Run) -> None:
    """Print the table."""
    console = Console(width=None if Console().is_terminal else 160)
    for name, words in run.machine.items():
        console.print(f"{name}: {words}", highlight=False)
    for title, lines in _tables(run):
        head, *rows = lines
        table = Table(title=title.replace("`", ""), title_justify="left", box=None, pad_edge=False)
        numeric = NUMERIC.get(title, range(LEFT, LEFT + 5))
        for index, column in enumerate(head):
            table.add_column(column, justify="right" if index in numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)


def write(run: Run, page: Path) -> None:
    """Write the page, and ``results.json`` beside it."""
    plot = page.with_name("results.svg")
    parts = ["# Results", "", "Made by `python -m benchmarks --out`; raw numbers are in `results.json`.", ""]
    parts += [f"- {name}: {words}" for name, words in run.machine.items()]
    parts += ["", *_EXPLAINED, ""]
    if plot.exists():
        parts += [f"![Ratios to the floors, and others beside ours]({plot.name})", ""]
    for title, (head, *rows) in _tables(run):
        parts += [f"## {title}", "", _line(head), _line(["---"] * len(head)), *map(_line, rows), ""]
    page.write_text("\n".join(parts), encoding="utf-8")
    page.with_name("results.json").write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


_EXPLAINED = (
    "Every figure is the minimum, median and maximum over rounds. Each turn is a process of its own, right beside its"
    " floor; “of the floor” is the median of the ratios of these pairs. A floor is what nobody can do without."
    " What watching adds is what a call takes above the floor. Watchers and calls that nobody watches take turns block"
    " by block. Each block is delivered before the next; the clock and the caller's CPU stop before that, so that of"
    " delivery they have only what went on beside the calls, as ours does. The process's CPU has all of it.",
)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _tables(run: Run) -> Iterator[tuple[str, list[list[str]]]]:
    for group, title in GROUPS.items():
        figures = [one for one in run.figures if one.group == group]
        if figures:
            yield title, [list(HEAD), *map(_row, figures)]
    if run.watched:
        yield WATCHED, [list(WATCHED_HEAD), *map(_watched_row, run.watched)]
    if run.survival:
        yield SURVIVAL, [list(SURVIVAL_HEAD), *map(_survival_row, run.survival)]


def _row(figure: Figure) -> list[str]:
    floor, ratio = figure.floor, figure.ratio
    return [
        figure.case,
        figure.what,
        figure.unit,
        *(number(value) for value in (min(figure.values), figure.median, max(figure.values))),
        f"{number(floor)} ({figure.floor_is})" if floor is not None else "",
        f"{ratio:.2f}" if ratio is not None else "",
        goal_of(figure),
    ]


def _survival_row(one: Survival) -> list[str]:
    if one.version is None:
        return [one.name, "not installed", *[""] * (len(SURVIVAL_HEAD) - 2)]
    burst = (f"{one.offered:,}", f"{one.stored:,}", percent(one.stored, one.offered))
    kill = (one.accepted_before_kill, one.stored_after_kill)
    return [
        one.name,
        one.version,
        *burst,
        *(f"{count:,}" for count in kill),
        percent(*reversed(kill)),
        one.counted,
        one.note,
    ]


def _watched_row(one: Watched) -> list[str]:
    if one.version is None:
        return [one.name, "not installed", *[""] * (len(WATCHED_HEAD) - 2)]
    counts = (f"{count:,}" for count in (one.calls, one.requests, one.answers))
    return [one.name, one.version, *counts, one.how, one.note]


def percent(part: int, whole: int) -> str:
    """Return a share in words; 100 only when nothing is missing."""
    if not whole:
        return ""
    return "100" if part == whole else f"{min(99.9, part / whole * 100):.1f}"


def number(value: float) -> str:
    """Return a number with the digits that mean something."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
