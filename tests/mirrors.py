"""This module is where tests look into the mirror of a database, and compare it with that."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from polars.testing import assert_frame_equal

from aicore_obs.model.cost import Cost
from aicore_obs.model.record import ErrorInfo, Record
from aicore_obs.protocols import Address
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from aicore_obs.settings import mirror_directory
from aicore_obs.stores.mirror.source import MIRRORED
from tests.stored import operation, revision

SECRET = "what was said"
OPERATIONS = [
    operation(
        number,
        session_id=f"s{number % 3}",
        model=f"m{number % 2}",
        latency_ms=float(number),
        total_tokens=number,
        labels={"app": f"a{number % 2}"},
        tags=["t"] if number % 2 else [],
        extras={"step": number},
        completion_args={"messages": [{"role": "user", "content": SECRET}]},
        response={"text": SECRET},
        error=ErrorInfo(type="Timeout", message=SECRET) if number % 5 == 0 else None,
        cost=Cost(total=Decimal(number), model="m"),
    )
    for number in range(30)
]
RECORDS: list[Record] = [
    *OPERATIONS,
    revision(100, 3, Cost(total=Decimal(9), model="m")),
    revision(101, 4, Cost(reason="unknown")),
]


def folder_of(address: Address) -> Path:
    return mirror_directory(address)


def parts_of(address: Address) -> list[Path]:
    return sorted(folder_of(address).glob("*.parquet"))


def compare(address: Address) -> None:
    """Compare everything that the mirror has with what the database has."""
    found = scan(address, {}, mirror=True).select(MIRRORED).collect()
    assert_frame_equal(found, read_frame(address, {"columns": MIRRORED}))
