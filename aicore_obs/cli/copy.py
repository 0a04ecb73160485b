"""This module is where a store is copied into another, and where both sides are shown beside each other."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, address
from aicore_obs.exchange import copy_store
from aicore_obs.protocols import Address
from aicore_obs.query.costs import sum_costs
from aicore_obs.transfer.copy import COPYING, VERIFYING, Copied


def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A URL, or the path of a store; never changed.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="The same; made where there is none.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Copy every record of a store into another: all kinds, same ids; then count and compare both sides.

    May be killed and run again at any time: nothing is lost, nothing is stored twice. What DST has beside it stays. The
    exit code is 0 when both sides agree.
    """
    places = address(source, db_schema), address(target, db_schema)
    done = _copied(*places)
    if as_json:
        screen.say_json(_as_data(done))
    else:
        _show(done, *places)
    if not done.ok:
        raise typer.Exit(1)


def _copied(source: Address, target: Address) -> Copied:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen.err, disable=not screen.err.is_terminal) as bar:
        total = None if bar.disable else _operations_in(source)
        tasks = {words: bar.add_task(words, total=total) for words in (COPYING, VERIFYING)}
        return copy_store(source, target, tell=lambda words, done: bar.update(tasks[words], completed=done))


def _operations_in(source: Address) -> int:
    found = sum_costs(source, {})
    return found.priced + found.unpriced


def _show(done: Copied, source: Address, target: Address) -> None:
    kinds = sorted({*done.source.counts, *done.target.counts})
    rows = [(kind, done.source.counts.get(kind, 0), done.target.counts.get(kind, 0)) for kind in kinds]
    rows.append(("all", done.source.total, done.target.total))
    columns = ("kind", "source", "target")
    screen.show(columns, rows, numbers=columns[1:])
    screen.say("")
    screen.say(f"source: {done.source.checksum}  {source.name}")
    screen.say(f"target: {done.target.checksum}  {target.name}")
    if done.others:
        screen.say(f"The target has {screen.counted(done.others, 'record')} beside these.")
    screen.say(
        "Both sides agree." if done.ok else "The sides differ." if done.source != done.target else "Not all came."
    )
    _complain(done)


def _complain(done: Copied) -> None:
    for reason, count in done.left.items():
        screen.complain(f"Left in the source, {reason}: {screen.counted(count, 'record')}")
    if done.rejected:
        screen.complain(f"Refused by the target: {screen.counted(done.rejected, 'record')}")
    for problem in done.problems:
        screen.complain(screen.plain(f"  {problem}"))


def _as_data(done: Copied) -> dict[str, Any]:
    sides = {name: {"counts": one.counts, "checksum": one.checksum}
             for name, one in (("source", done.source), ("target", done.target))}  # fmt: skip
    left = {"others": done.others, "left": done.left, "rejected": done.rejected, "problems": done.problems}
    return {"ok": done.ok, **sides, **left}
