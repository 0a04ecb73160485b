"""This module is where a statement line is defined: what every format is read into, and the frame of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import msgspec
import polars as pl

from aicore_obs.query.statements.files import Content
from aicore_obs.query.statements.names import Item
from aicore_obs.query.statements.rows import Row

MONEY = pl.Decimal(38, 12)
# Column → type. A line without an amount comes from an export of usage and only brings tokens.
STATEMENT_SCHEMA: dict[str, pl.DataType] = {
    # The UTC days that the line is about: from, and the day after the last one.
    "day": pl.Date(),
    "end_day": pl.Date(),
    "time": pl.Datetime("us", "UTC"),
    "provider": pl.String(),
    # The model as the provider writes it, and as it is compared.
    "model": pl.String(),
    "model_name": pl.String(),
    # What was charged where it was no model's tokens: "web_search", "storage", "tax", …
    "fee": pl.String(),
    # input, cache_read, cache_write, output; null where one line holds all of a model, or something else.
    "kind": pl.String(),
    "tier": pl.String(),
    "request_id": pl.String(),
    "quantity": MONEY,
    # Inclusive, as everywhere here: what was read from a cache is a part of the input.
    "input_tokens": pl.Int64(),
    "cache_read_tokens": pl.Int64(),
    "cache_write_tokens": pl.Int64(),
    "output_tokens": pl.Int64(),
    "amount_usd": MONEY,
    "project_id": pl.String(),
    "workspace_id": pl.String(),
    "api_key_id": pl.String(),
    "line_item": pl.String(),
    "file": pl.String(),
    "row": pl.Int64(),
}
_ONE_DAY = timedelta(days=1)


class Line(msgspec.Struct, kw_only=True, gc=False):
    """One line of a statement; the fields are the columns of :data:`STATEMENT_SCHEMA`."""

    day: date
    file: str
    row: int
    end_day: date
    time: datetime | None = None
    provider: str | None = None
    model: str | None = None
    model_name: str | None = None
    fee: str | None = None
    kind: str | None = None
    tier: str | None = None
    request_id: str | None = None
    quantity: Decimal | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    amount_usd: Decimal | None = None
    project_id: str | None = None
    workspace_id: str | None = None
    api_key_id: str | None = None
    line_item: str | None = None


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One format: its name, how it is told (in words), whether a file is one, and how it is read."""

    name: str
    told_by: str
    fits: Callable[[Content], bool]
    read: Callable[[Content, str | None], Iterator[Line]]


def line(row: Row, item: Item, *, start: datetime, end: datetime | None = None) -> Line:
    """Return the line of a row, about the days from ``start`` to ``end`` (exclusive; a day where it is not said)."""
    return Line(
        day=start.date(),
        end_day=end_day(start, end),
        file=row.file,
        row=row.number,
        model=item.model,
        model_name=item.model_name,
        fee=item.fee,
        kind=item.kind,
        tier=item.tier,
    )


def end_day(start: datetime, end: datetime | None) -> date:
    """Return the day after the last one that a period touches; the end of a period is exclusive."""
    if end is None or end <= start:
        return start.date() + _ONE_DAY
    return end.date() if end.time() == time() else end.date() + _ONE_DAY


def count_tokens(one: Line, tokens: int | None) -> None:
    """Set the token counts of a line about one kind of token."""
    if tokens is None:
        return
    if one.kind == "output":
        one.output_tokens = tokens
    elif one.kind is not None:
        one.input_tokens = tokens
        if one.kind == "cache_read":
            one.cache_read_tokens = tokens
        elif one.kind == "cache_write":
            one.cache_write_tokens = tokens


def frame_of(lines: Iterable[Line]) -> pl.DataFrame:
    """Return lines as a frame with the columns of :data:`STATEMENT_SCHEMA`."""
    kept = list(lines)
    return pl.DataFrame(
        [pl.Series(name, [getattr(one, name) for one in kept], dtype=kind) for name, kind in STATEMENT_SCHEMA.items()]
    )
