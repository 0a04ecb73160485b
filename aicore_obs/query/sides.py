"""This module is where both sides of a reconciliation, operations and statement lines, get the same keys and sums.

A key is a request's id, or a day and a model, or (over the whole period) a model, or a day where the statement names
no model. What is no model's tokens (a fee) has a key of its own.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import msgspec
import polars as pl

from aicore_obs.errors import ConfigurationError, StatementError
from aicore_obs.query.statements.lines import MONEY, STATEMENT_SCHEMA
from aicore_obs.query.statements.names import model_name

REQUEST, DAY, PERIOD = "request", "day", "period"
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
KEYS = ("day", "model", "fee", "request_id")
UNNAMED = "unnamed"
# What a frame of ours must have, and what is taken as unknown where it has it not.
NEEDED = ("timestamp", "cost_usd")
OUR_COLUMNS: dict[str, pl.DataType] = {
    "timestamp": pl.Datetime("us", "UTC"),
    "cost_usd": MONEY,
    "input_cost_usd": MONEY,
    "output_cost_usd": MONEY,
    **dict.fromkeys((*TOKENS, "web_searches"), pl.Int64()),
    **dict.fromkeys(
        ("operation_id", "provider", "model", "response_model", "priced_model", "server_address", "status"), pl.String()
    ),
    **dict.fromkeys(("response_id", "cost_reason", "price_id"), pl.String()),
}
# The names that one biller has among applications, clouds and libraries.
_BILLERS = {
    "azure": ("azure", "microsoft"),
    "aws": ("aws", "amazon", "amazonaws", "bedrock"),
    "google": ("google", "googleapis", "gemini", "vertex", "vertexai", "gcp"),
    "openrouter": ("openrouter",),
    "anthropic": ("anthropic",),
    "openai": ("openai",),
}


class Unit(msgspec.Struct, frozen=True):
    """What is compared: by request, day or period; ``by_model`` unless no line of the statement names a model."""

    by: str
    by_model: bool
    # A fee that the statement lists by itself and our costs contain.
    fees: frozenset[str]

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns that are not always null."""
        return ("request_id",) if self.by == REQUEST else ("day", "model", "fee")


def unit_of(lines: pl.DataFrame, ours: pl.DataFrame, by: str | None) -> Unit:
    """Return what is compared.

    ``by`` None: requests where each line about a model has the id of one and we know some of them, else days, else,
    where lines are about more than a day, the period.

    Raises:
        ConfigurationError: ``by`` is none of the three, or the statement cannot be compared that way.
    """
    if by not in (None, REQUEST, DAY, PERIOD):
        raise ConfigurationError(f"by={by!r}: request, day or period is needed")
    charged = lines.filter(pl.col("amount_usd") != 0)
    of_models = charged.filter(pl.col("model_name").is_not_null() | pl.col("fee").is_null())
    if by == REQUEST and charged["request_id"].is_null().all():
        raise ConfigurationError("by='request': this statement has no ids of requests; compare by day or period")
    is_long = bool((of_models["end_day"] - of_models["day"] > timedelta(days=1)).any())
    if by == DAY and is_long:
        raise ConfigurationError("by='day': lines of this statement are about more than a day; compare by period")
    has_ids = of_models.height > 0 and of_models["request_id"].is_not_null().all()
    by_request = has_ids and ours.select(_known_id(of_models).is_not_null().any()).item()
    by_model = charged["model_name"].is_not_null().any() or charged["fee"].is_not_null().any()
    return Unit(
        by=by or (REQUEST if by_request else PERIOD if is_long else DAY),
        by_model=bool(by_model),
        fees=frozenset(charged.filter(pl.col("model_name").is_null())["fee"].drop_nulls().to_list()),
    )


def _known_id(lines: pl.DataFrame) -> pl.Expr:
    """Return the id by which the statement knows an operation of ours, null where it does not."""
    known = lines["request_id"].drop_nulls().unique().implode()
    return pl.coalesce(
        pl.when(pl.col(name).is_in(known)).then(pl.col(name)) for name in ("response_id", "operation_id")
    )


def checked_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Return a normal frame of statement lines; columns that are missing are null.

    Raises:
        StatementError: it has no amounts.
    """
    if not {"day", "amount_usd"} <= set(lines.columns):
        raise StatementError("a frame of statement lines needs the columns day and amount_usd; see read_statement")
    added = [
        pl.lit(None, dtype=kind).alias(name) for name, kind in STATEMENT_SCHEMA.items() if name not in lines.columns
    ]
    whole = lines.with_columns(added).select(list(STATEMENT_SCHEMA))
    day_after = pl.col("day").dt.offset_by("1d")
    named = pl.col("model_name").fill_null(pl.col("model").replace_strict(_names(whole["model"]), default=None))
    whole = whole.with_columns(pl.col("end_day").fill_null(day_after), named.alias("model_name"))
    if whole.height and whole["amount_usd"].is_null().all():
        raise StatementError("the statement has tokens and no amounts: give the export of costs beside that of usage")
    return whole.cast({name: STATEMENT_SCHEMA[name] for name in ("amount_usd", "day", "end_day")})


def period_of(lines: pl.DataFrame) -> tuple[date | None, date | None]:
    """Return the first day that a statement is about, and the day after its last one."""
    first: Any = lines["day"].min()
    last: Any = lines["end_day"].max()
    return first, last


def _names(models: pl.Series) -> dict[str, str | None]:
    return {one: model_name(one) for one in models.drop_nulls().unique().to_list()}


def checked_ours(frame: pl.DataFrame) -> pl.DataFrame:
    """Return our operations with all columns of :data:`OUR_COLUMNS`; those that are missing are null.

    Raises:
        ConfigurationError: a needed column is missing, or costs are no decimals.
    """
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise ConfigurationError(f"the frame has no column {', '.join(missing)}; give a frame of operations")
    if not isinstance(frame.schema["cost_usd"], pl.Decimal | pl.Null):
        raise ConfigurationError(f"cost_usd is {frame.schema['cost_usd']}: exact costs are needed, as Decimal")
    added = [pl.lit(None, dtype=kind).alias(name) for name, kind in OUR_COLUMNS.items() if name not in frame.columns]
    return frame.with_columns(added).select(list(OUR_COLUMNS)).cast(OUR_COLUMNS)  # type: ignore[arg-type]


def of_billers(ours: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return the operations that the providers of the statement may have billed, and those whose ids it has.

    All, where the statement names no provider or none of ours is of it: then the names tell nothing.
    """
    billers = {biller_of(one, None) for one in lines["provider"].drop_nulls().unique().to_list()}
    pairs = ours.select("provider", "server_address").unique()
    wanted = [pair for pair in pairs.iter_rows() if biller_of(*pair) in billers]
    if not wanted:
        return ours
    unknown = [pair for pair in pairs.iter_rows() if pair == (None, None)]
    rows = [(*pair, True) for pair in wanted + unknown]
    kept = pl.DataFrame(rows, schema={**pairs.schema, "billed": pl.Boolean()}, orient="row")
    told = ours.join(kept, on=list(pairs.columns), how="left", nulls_equal=True, maintain_order="left")
    return told.filter(pl.col("billed") | _known_id(lines).is_not_null()).drop("billed")


def biller_of(provider: str | None, host: str | None) -> str | None:
    """Return who bills, by the server's address and else by the provider's name."""
    for text in (host, provider):
        words = set(re.split(r"[^a-z0-9]+", (text or "").lower()))
        found = next((name for name, aliases in _BILLERS.items() if words.intersection(aliases)), None)
        if found is not None:
            return found
    return None if provider is None else provider.lower()


def our_groups(ours: pl.DataFrame, lines: pl.DataFrame, unit: Unit) -> pl.DataFrame:
    """Return the sums of our operations per key."""
    keyed = _with_keys(ours, lines, unit)
    repeated = pl.col("response_id").is_not_null() & ~pl.col("response_id").is_first_distinct()
    untold = pl.col("cost_usd").is_null() & pl.col("counts") & ~_failed()
    # An amount beside a reason is a lower bound: something that was used has no price.
    partly = pl.col("cost_usd").is_not_null() & pl.col("cost_reason").is_not_null() & pl.col("counts")
    sums = [_sum(name) for name in TOKENS]
    return (
        keyed.with_columns(repeated.alias("repeated"), untold.alias("unpriced"), partly.alias("partly_priced"))
        .group_by(KEYS)
        .agg(
            _sum("cost_usd").alias("ours_usd"),
            pl.col("counts").sum().cast(pl.Int64).alias("operations"),
            pl.col("unpriced", "partly_priced").sum().cast(pl.Int64),
            pl.col("cost_reason")
            .filter(pl.col("unpriced") | pl.col("partly_priced"))
            .drop_nulls()
            .unique()
            .sort()
            .alias("reasons"),
            pl.col("price_id").drop_nulls().unique().sort().alias("price_ids"),
            pl.col("repeated").sum().cast(pl.Int64),
            _sum("cost_usd", pl.col("repeated")).alias("repeated_usd"),
            *sums,
            pl.col("our_model").drop_nulls().unique().sort().alias("our_models"),
            pl.col("timestamp").min().dt.date().alias("our_day"),
            pl.col("model_name").drop_nulls().first().alias("our_name"),
        )
    )


def _failed() -> pl.Expr:
    """A call that failed and used nothing that was counted owes nothing."""
    nothing = pl.all_horizontal(pl.col(name).fill_null(0) == 0 for name in ("input_tokens", "output_tokens"))
    return (pl.col("status") == "error").fill_null(value=False) & nothing


def _with_keys(ours: pl.DataFrame, lines: pl.DataFrame, unit: Unit) -> pl.DataFrame:
    named = _with_models(ours, lines).with_columns(pl.lit(value=True).alias("counts"))
    if unit.by == REQUEST:
        # Without an id in the statement each operation is a key of its own.
        key = pl.coalesce(_known_id(lines), "response_id", "operation_id")
        return named.with_columns(
            _no_day(),
            pl.lit(None, pl.String).alias("model"),
            pl.lit(None, pl.String).alias("fee"),
            key.alias("request_id"),
        )
    day = _no_day() if unit.by == PERIOD else pl.col("timestamp").dt.date().alias("day")
    model = pl.col("model_name").fill_null(UNNAMED) if unit.by_model else pl.lit(None, pl.String)
    keyed = named.with_columns(
        day, model.alias("model"), pl.lit(None, pl.String).alias("fee"), pl.lit(None, pl.String).alias("request_id")
    )
    return _split_searches(keyed) if "web_search" in unit.fees else keyed


def _no_day() -> pl.Expr:
    return pl.lit(None, pl.Date).alias("day")


def _split_searches(keyed: pl.DataFrame) -> pl.DataFrame:
    """Return rows in which what searches cost stands by itself, as in the statement: neither input nor output."""
    other = pl.col("cost_usd") - pl.col("input_cost_usd") - pl.col("output_cost_usd")
    searched = keyed.filter((pl.col("web_searches") > 0) & (other > 0))
    fees = searched.with_columns(
        other.alias("cost_usd"),
        pl.lit("web_search").alias("fee"),
        pl.lit(None, pl.String).alias("model"),
        pl.lit(value=False).alias("counts"),
        *(pl.lit(None, pl.Int64).alias(name) for name in TOKENS),
        pl.lit(None, pl.String).alias("response_id"),
    )
    rest = pl.when((pl.col("web_searches") > 0) & (other > 0)).then(pl.col("cost_usd") - other)
    return pl.concat([keyed.with_columns(rest.otherwise(pl.col("cost_usd")).alias("cost_usd")), fees])


def _with_models(ours: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return our rows with the name by which the statement knows the model: of the names we have, the first it has."""
    columns = ["response_model", "priced_model", "model"]
    known = set(lines["model_name"].drop_nulls().to_list())
    rows = [(*names, *_chosen(names, known)) for names in ours.select(columns).unique().iter_rows()]
    schema = {**dict.fromkeys(columns, pl.String()), "our_model": pl.String(), "model_name": pl.String()}
    return ours.join(pl.DataFrame(rows, schema=schema, orient="row"), on=columns, how="left", nulls_equal=True)


def _chosen(names: tuple[str | None, ...], known: set[str]) -> tuple[str | None, str | None]:
    pairs = [(one, model_name(one)) for one in names if one]
    if not pairs:
        return None, None
    return next((pair for pair in pairs if pair[1] in known), pairs[0])


def line_groups(lines: pl.DataFrame, unit: Unit) -> pl.DataFrame:
    """Return the sums of the statement's lines per key; tokens of the usage export where there is one."""
    keyed = _lines_with_keys(lines.with_row_index("number").with_columns(pl.col("day").alias("line_day")), unit)
    charged = pl.col("amount_usd").is_not_null()
    # One kind of tokens without a quantity: then the sum of the others is no count of all.
    unknown = (charged & pl.col("kind").is_not_null() & pl.col("quantity").is_null()).any()
    counts = [
        pl.coalesce(_sum(name, ~charged), pl.when(~unknown).then(_sum(name, charged))).alias(f"provider_{name}")
        for name in TOKENS
    ]
    text = pl.col("line_item").filter(charged).drop_nulls().unique(maintain_order=True)
    groups = keyed.group_by(KEYS, maintain_order=True).agg(
        _sum("amount_usd").alias("provider_usd"),
        charged.sum().cast(pl.Int64).alias("lines"),
        *counts,
        text.alias("line_items"),
        pl.col("kind").drop_nulls().unique(maintain_order=True).alias("kinds"),
        pl.col("tier").drop_nulls().unique(maintain_order=True).alias("tiers"),
        pl.col("row").filter(charged).alias("rows"),
        pl.col("number").filter(charged).alias("numbers"),
        pl.col("line_day").min(),
        pl.col("model_name").drop_nulls().first().alias("line_name"),
    )
    return groups.filter(pl.col("lines") > 0)


def _lines_with_keys(lines: pl.DataFrame, unit: Unit) -> pl.DataFrame:
    # A line of nothing says that the statement covers a day.
    blank = (pl.col("amount_usd") == 0) & pl.col("model_name").is_null() & pl.col("request_id").is_null()
    kept = lines.filter(~blank.fill_null(value=False))
    nothing = pl.lit(None, pl.String)
    if unit.by == REQUEST:
        # A line without an id is no request: a fee, or a sum of others.
        fee = pl.when(pl.col("request_id").is_null()).then(pl.coalesce("fee", "model_name", pl.lit(UNNAMED)))
        return kept.with_columns(_no_day(), nothing.alias("model"), fee.alias("fee"))
    day = _no_day() if unit.by == PERIOD else pl.col("day")
    if not unit.by_model:
        return kept.with_columns(day, *(nothing.alias(name) for name in ("model", "fee", "request_id")))
    fee = pl.when(pl.col("model_name").is_null()).then(pl.col("fee").fill_null(UNNAMED))
    return kept.with_columns(day, pl.col("model_name").alias("model"), fee.alias("fee"), nothing.alias("request_id"))


def _sum(name: str, where: pl.Expr | None = None) -> pl.Expr:
    """Sum what is known; of nothing known the sum is unknown."""
    column = pl.col(name) if where is None else pl.col(name).filter(where)
    return pl.when(column.is_not_null().any()).then(column.sum()).alias(name)
