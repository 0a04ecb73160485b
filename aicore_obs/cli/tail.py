"""This module is where the newest operations of a store are shown, and the next ones as they come."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.errors import FilterError
from aicore_obs.model.filter import SCORE_RANGES, Filter
from aicore_obs.protocols import Address
from aicore_obs.query.reader import read_frame

COLUMNS = {
    "time": "timestamp",
    "type": "operation_type",
    "provider": "provider",
    "model": "model",
    "status": "status",
    "latency_ms": "latency_ms",
    "tokens": "total_tokens",
    "session": "session_id",
    "id": "operation_id",
}
FOLLOW_INTERVAL_S = 1.0
# A record is stored some time after its timestamp: how far behind the newest one a late one is still looked for.
LATE = timedelta(seconds=60)
_WHOLE = frozenset({"min_tokens", "max_tokens"})
_FRACTIONS = frozenset({"min_latency", "max_latency"})
# What is given a member at a time: labels.KEY=…
_MEMBERS = frozenset({"labels", *SCORE_RANGES})
_LISTS = frozenset({"tags", "flagged_for", "scored"})


def tail(
    store: StoreArgument = None,
    count: Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="How many operations.")] = 20,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "-w",
            "--where",
            metavar="NAME=VALUE",
            help="A filter of the readers: provider=openai, model=gpt-4o, status=error, session_id=…, start_date=…, "
            "min_latency=500, tags=…, labels.KEY=… The same name twice: one of the values.",
            show_default=False,
        ),
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new ones come; Ctrl-C ends.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show the newest operations of a store."""
    place = address(store, db_schema)
    filters = filters_of(where or [])
    if filters.keys() & {"limit", "order", "columns"}:
        raise FilterError("--where takes no limit, order or columns: `-n` says how many, and the newest come")
    rows = _newest(place, {**filters, "limit": count, "order": "desc"})
    _show(rows)
    if follow:
        _follow(place, filters, rows, all_shown=len(rows) < count)


def filters_of(words: Sequence[str]) -> dict[str, Any]:
    """Return the readers' filters for words such as ``provider=openai`` and ``labels.team=search``.

    Raises:
        FilterError: a word that is no filter, or a value that is no number where one is needed.
    """
    filters: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise FilterError(f"--where {word!r}: NAME=VALUE is needed, such as provider=openai")
        field, dot, key = name.partition(".")
        if dot and field in _MEMBERS:
            filters.setdefault(field, {})[key] = value
        elif name in filters or name in _LISTS:
            before = filters.get(name, [])
            filters[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            filters[name] = _value(name, value)
    return filters


def _value(name: str, value: str) -> Any:
    try:
        if name in _WHOLE:
            return int(value)
        return float(value) if name in _FRACTIONS else value
    except ValueError as error:
        raise FilterError(f"{name}={value!r}: a number is needed") from error


def _newest(place: Address, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the matching operations, oldest first."""
    frame = read_frame(place, {**filters, "columns": list(COLUMNS.values())})
    return sorted(frame.to_dicts(), key=_order)


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["timestamp"], row["operation_id"]


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = ([_cell(row[name]) for name in COLUMNS.values()] for row in rows)
    screen.show(list(COLUMNS), cells, numbers=("latency_ms", "tokens"))


def _cell(value: Any) -> Any:
    return f"{value:.0f}" if isinstance(value, float) else value


def _follow(place: Address, filters: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, all_shown: bool) -> None:
    """Look again and again; ended by Ctrl-C, which is no error."""
    shown = {row["operation_id"]: row["timestamp"] for row in rows}
    asked = Filter.of(**filters).start
    # What is older than the oldest that was shown was left out on purpose, if there was more than was asked for.
    floor = asked if all_shown else max(filter(None, (asked, rows[0]["timestamp"])))
    pause = threading.Event()
    try:
        while not pause.wait(FOLLOW_INTERVAL_S):
            recent = max(shown.values()) - LATE if shown else None
            start = max(filter(None, (floor, recent)), default=None)
            since = {} if start is None else {"start_date": start}
            new = [row for row in _newest(place, {**filters, **since}) if row["operation_id"] not in shown]
            if new:
                _show(new)
            shown |= {row["operation_id"]: row["timestamp"] for row in new}
            # Following for days holds no more ids than may be read again.
            shown = {one: when for one, when in shown.items() if start is None or when >= start}
    except KeyboardInterrupt:
        return
