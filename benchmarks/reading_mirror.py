"""This module is where reading a database through its mirror is measured, beside reading it directly and bare Parquet.

    python -m benchmarks.reading_mirror [--rows 1000000] [--postgres postgresql://user@host/database]

A file of narrow rows is made (or a schema, which must be empty), as a store's own writer makes it. Every reading has a
process of its own; a line says the best seconds of its rounds and the peak of the process's memory. The figures are in
docs/decisions/0012-mirror.md.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl

from aicore_obs import plugins
from aicore_obs.addresses import address_of
from aicore_obs.model import codec
from aicore_obs.model.cost import Cost
from aicore_obs.model.ids import new_id
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address, Batch, StoreOptions
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from aicore_obs.settings import mirror_directory
from benchmarks.reading import NARROW

START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 2_000
NEW = 1_000


def directly(address: Address) -> pl.DataFrame:
    return read_frame(address, {"columns": NARROW})


def mirrored(address: Address) -> pl.DataFrame:
    return scan(address, {"columns": NARROW}, mirror=True).collect()


def bare(address: Address) -> pl.DataFrame:
    return _parquet(address).select(NARROW).collect()


def _sums(lazy: pl.LazyFrame) -> pl.DataFrame:
    found = lazy.filter(pl.col("provider") == "openai").group_by("session_id")
    return found.agg(pl.len(), pl.col("total_tokens").sum(), pl.col("cost_usd").sum()).collect(engine="streaming")


def sums_directly(address: Address) -> pl.DataFrame:
    return _sums(scan(address, {}))


def sums_mirrored(address: Address) -> pl.DataFrame:
    return _sums(scan(address, {}, mirror=True))


def sums_bare(address: Address) -> pl.DataFrame:
    return _sums(_parquet(address))


def _parquet(address: Address) -> pl.LazyFrame:
    return pl.scan_parquet(sorted(mirror_directory(address).glob("*.parquet")))


Reading = Callable[[Address], pl.DataFrame]
# Name, reading, rounds in one process, new rows before each.
READINGS: Sequence[tuple[str, Reading, int, int]] = (
    ("27 columns, directly", directly, 3, 0),
    ("27 columns, mirror made first", mirrored, 1, 0),
    ("27 columns, mirror, nothing new", mirrored, 5, 0),
    (f"27 columns, mirror, {NEW:,} new", mirrored, 3, NEW),
    ("27 columns, bare Parquet", bare, 5, 0),
    ("filter and sums, directly", sums_directly, 3, 0),
    ("filter and sums, mirror, nothing new", sums_mirrored, 5, 0),
    (f"filter and sums, mirror, {NEW:,} new", sums_mirrored, 3, NEW),
    ("filter and sums, bare Parquet", sums_bare, 5, 0),
)


def fill(address: Address, rows: int, first: int = 0) -> None:
    """Store so many operations without texts, one second apart."""
    # No secret: the same values each time.
    chance = random.Random(first)

    async def write() -> None:
        store = plugins.sink(address)
        await store.open()
        for start in range(first, first + rows, BATCH):
            made = [_operation(number, chance) for number in range(start, min(start + BATCH, first + rows))]
            lines = [codec.encode(one) for one in made]
            await store.write(Batch(records=made, lines=lines, note=lambda _: None))
        await store.aclose()

    asyncio.run(write())


def _operation(number: int, chance: random.Random) -> Operation:
    tokens = chance.randrange(20, 5_000)
    return Operation(
        id=new_id(),
        v=1,
        timestamp=START + timedelta(seconds=number),
        provider="openai" if number % 2 else "azure",
        api="chat.completions",
        session_id=f"session-{number % 1000}",
        trace_id=f"{chance.getrandbits(128):032x}",
        user_id=f"user-{chance.randrange(5_000)}",
        latency_ms=chance.random() * 5_000,
        labels={"app": f"app-{number % 7}"},
        derived=Derived(
            model="gpt-4o",
            response_model="gpt-4o-2024-08-06",
            response_id=f"chatcmpl-{chance.getrandbits(100):x}",
            finish_reason="stop",
            temperature=0.7,
            usage=Usage(input_tokens=tokens, output_tokens=number % 800, total_tokens=tokens + number % 800),
            usage_source="openai",
            cost=Cost(total=Decimal(chance.randrange(10**8)).scaleb(-9), model="gpt-4o", source="genai-prices"),
        ),
    )


def _measured(address: Address, reading: Reading, rounds: int, new: int, first: int) -> tuple[float, float]:
    # What is imported for the first reading is measured elsewhere.
    scan(address, {"limit": 1}).collect()
    best = float("inf")
    for number in range(rounds):
        if new:
            fill(address, new, first + number * new)
        start = time.perf_counter()
        reading(address)
        best = min(best, time.perf_counter() - start)
    unit = 1024**3 if sys.platform == "darwin" else 1024**2
    return best, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--postgres")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.postgres or f"sqlite:///{Path(folder) / 'a.db'}"
        address = address_of(place, StoreOptions())
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            pool.apply(fill, (address, given.rows))
        for index, (name, reading, rounds, new) in enumerate(READINGS):
            first = given.rows + index * 100 * NEW
            with context.Pool(1) as pool:
                seconds, peak = pool.apply(_measured, (address, reading, rounds, new, first))
            print(f"{name:45} {seconds:8.2f} s {peak:6.2f} GiB", flush=True)
        size = sum(path.stat().st_size for path in mirror_directory(address).iterdir())
        print(f"the mirror takes {size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
