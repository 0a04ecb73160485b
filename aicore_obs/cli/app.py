"""This module is where the `aicore-obs` command is put together, and where errors become one line and an exit code."""

from __future__ import annotations

import sys
from importlib.metadata import version as distribution_version
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from aicore_obs.cli import (
    archive,
    copy,
    dead_letters,
    demo,
    doctor,
    drain,
    export,
    export_chat,
    flag,
    imports,
    migrate,
    prices,
    prune,
    reconcile,
    recost,
    reports,
    score,
    screen,
    show,
    sql,
    stats,
    tail,
)
from aicore_obs.errors import AicoreObsError
from aicore_obs.model.record import CODEC_VERSION

# 1 is an answer ("something remains", "something is wrong"); 2 is a question that could not be answered.
CANNOT_ANSWER = 2


class Commands(TyperGroup):
    """The commands; an error that a user can meet is told in one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read the answer has seen enough (`| head`).
            raise
        except (AicoreObsError, OSError) as error:
            screen.complain(f"aicore-obs: {error}")
            raise typer.Exit(CANNOT_ANSWER) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    # A traceback that shows local variables would show passwords.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Look after what aicore-obs keeps: stores, and journals in which records wait for them.",
)
app.command("tail")(tail.tail)
app.command("show")(show.show)
app.command("conversation")(show.conversation)
app.command("trace")(show.trace)
app.command("stats")(stats.stats)
app.command("sql")(sql.sql)
for report in (
    *(reports.cost, reports.latency, reports.errors, reports.usage, reports.sessions),
    *(reports.top, reports.compare, reports.unpriced),
):
    app.command(report.__name__)(report)
app.command("reconcile")(reconcile.reconcile)
app.command("recost")(recost.recost)
app.command("export")(export.export)
app.command("copy")(copy.copy)
app.command("import")(imports.import_)
app.command("flag")(flag.flag)
app.command("unflag")(flag.unflag)
app.command("score")(score.score)
app.command("unscore")(score.unscore)
app.command("export-chat")(export_chat.export_chat)
app.add_typer(prices.app, name="prices")
app.add_typer(dead_letters.app, name="dead-letters")
app.command("prune")(prune.prune)
app.command("archive")(archive.archive)
app.command("migrate")(migrate.migrate)
app.command("drain")(drain.drain)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


@app.command("version")
def version() -> None:
    """Show the version of this program."""
    python = ".".join(map(str, sys.version_info[:3]))
    screen.say(f"aicore-obs {distribution_version('aicore-obs')} (record version {CODEC_VERSION}, Python {python})")


def main() -> None:
    """Run the command; the entry point."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Not every console has every sign, and a record may hold any.
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
