"""This module is where records that dead processes left are delivered by hand, with their progress shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aicore_obs.cli import screen
from aicore_obs.cli.orphans import Load, Plan, deliver, plan_for, plan_rescue, prepare_rescue
from aicore_obs.cli.places import (
    DEFAULT_SCHEMA,
    JournalOption,
    SchemaOption,
    StoresArgument,
    address,
    addresses,
    journal_directories,
)
from aicore_obs.cli.watch import watch as watching
from aicore_obs.errors import ConfigurationError
from aicore_obs.pipeline.stats import FlushResult, SinkStats
from aicore_obs.protocols import Address


def drain(  # noqa: PLR0913 - a command has the options that it has
    stores: StoresArgument = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="A journal's directory, whatever it was for.", show_default=False),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="With --from: where to deliver.", show_default=False)
    ] = None,
    patience_s: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0, help="Give up when nothing has moved for this many seconds."
        ),
    ] = 30.0,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before delivering elsewhere.")] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help='Go on, for living processes with writer="external" too, until SIGTERM or Ctrl-C; then the exit code '
            "is 0. A second one waits and takes over when the first has ended.",
        ),
    ] = False,
    unprocessed: Annotated[
        bool, typer.Option("--unprocessed", help="Also what an application's own processors have not seen.")
    ] = False,
    journal: JournalOption = None,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Deliver what dead processes left for a store; what living ones hold is theirs, but for --watch.

    May be killed and run again at any time: nothing is stored twice. Processors that an application passed to its
    collector cannot run here; its records are left alone unless --unprocessed. The exit code is 0 when nothing remains.
    """
    if watch:
        _watch(addresses(stores or [], db_schema), journal, unprocessed=unprocessed, elsewhere=bool(source or target))
        return
    if source or target:
        plan = _rescue(source, target, db_schema, yes=yes, unprocessed=unprocessed)
    else:
        places = addresses(stores or [], db_schema)
        plan = plan_for(journal_directories(places, journal), places, unprocessed=unprocessed)
    results = _deliver(plan, patience_s)
    _show(results)
    for words in plan.left:
        screen.complain(words)
    if plan.left or not all(_arrived(result) for result in results):
        raise typer.Exit(1)


def _watch(stores: Sequence[Address], journal: Path | None, *, unprocessed: bool, elsewhere: bool) -> None:
    if elsewhere:
        raise ConfigurationError(
            "--watch delivers to where records were accepted for; --from and --to are for the dead"
        )
    _show_sinks(watching(stores, journal=journal, unprocessed=unprocessed))


def _rescue(source: Path | None, target: str | None, db_schema: str, *, yes: bool, unprocessed: bool) -> Plan:
    if source is None or target is None:
        raise ConfigurationError("--from DIR and --to URL go together: records are delivered elsewhere only when asked")
    place = address(target, db_schema)
    plan = plan_rescue(journal_directories([place], source)[0], place, unprocessed=unprocessed)
    others = sorted({name for load in plan.loads for name in load.meant_for} - {place.name})
    if others and not yes:
        question = f"These records were accepted for {', '.join(others)}. Deliver them to {place.name} only?"
        typer.confirm(question, abort=True, err=True)
    for load in plan.loads:
        prepare_rescue(load)
    return plan


def _deliver(plan: Plan, patience_s: float) -> list[FlushResult]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen.err, disable=not screen.err.is_terminal) as progress:
        return [_deliver_one(load, patience_s, progress) for load in plan.loads]


def _deliver_one(load: Load, patience_s: float, progress: Progress) -> FlushResult:
    task = progress.add_task(screen.plain(load.directory), total=None)

    def tell(result: FlushResult) -> None:
        sinks = result.sinks.values()
        total, done = sum(one.adopted for one in sinks), sum(one.settled for one in sinks)
        progress.update(task, total=total, completed=done)

    return deliver(load, patience_s=patience_s, tell=tell)


def _arrived(result: FlushResult) -> bool:
    return result.pending == 0 and result.dead_lettered == 0


def _show(results: Sequence[FlushResult]) -> None:
    if not results:
        screen.say("Nothing was left by dead processes.")
        return
    _show_sinks([one for result in results for one in result.sinks.items()])


def _show_sinks(rows: Sequence[tuple[str, SinkStats]]) -> None:
    columns = ("sink", "stored", "pending", "dead-lettered", "dropped", "last error")
    screen.show(columns, [_row(name, sink) for name, sink in rows], numbers=columns[1:5])


def _row(name: str, sink: SinkStats) -> tuple[object, ...]:
    return (name, sink.stored, sink.pending, sink.dead_lettered, sum(sink.dropped.values()), sink.last_error)
