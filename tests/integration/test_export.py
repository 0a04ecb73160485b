"""This module is where exports are tested: exact in every format, from every store, whole or not at all."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from typer.testing import CliRunner, Result

import aicore_obs
from aicore_obs.cli.app import app
from aicore_obs.errors import ConfigurationError, FilterError, StoreNotFoundError
from aicore_obs.model.cost import Cost
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.protocols import Address
from aicore_obs.query.export import EXPORT_ROWS
from tests import records

COST = Cost(total=Decimal("0.000000000001"), input=Decimal("12345.678901234567"), source="rows")
ODD = {"completion_args": {"a": 'é\u2028,\n"q"'}, "response": {"text": "x\ry", "n": 12345678901234567890}}


def costed(**fields: Any) -> Operation:
    """Return an operation with a cost of many places."""
    return msgspec.structs.replace(records.operation(**fields), derived=Derived(model="small", cost=COST))


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A store with an operation of odd texts and one of hardly anything."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    place = records.address(request.param, tmp_path, url)
    odd = costed(**ODD, extras={"none": None, "deep": {"x": [1]}}, labels={"team": "a,b"}, tags=("t,1", "é"))
    records.write(place, [odd, records.operation(provider="acme")])
    return place


def test_json_lines_are_exact(place: Address, tmp_path: Path) -> None:
    """Amounts are text with all their places; payloads, labels and extras are JSON, nulls in them included."""
    file = tmp_path / "out" / "calls.jsonl"
    done = aicore_obs.export_operations(file, store=place)
    first, second = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    assert (done.operations, done.size_bytes) == (2, file.stat().st_size)
    assert (first["cost_usd"], first["input_cost_usd"]) == ("0.000000000001", "12345.678901234567")
    assert (first["completion_args"], first["response"]) == (ODD["completion_args"], ODD["response"])
    assert first["extras"] == {"none": None, "deep": {"x": [1]}}
    assert (first["labels"], first["tags"], first["timestamp"]) == (
        {"team": "a,b"},
        ["t,1", "é"],
        "2026-01-31T12:00:00Z",
    )
    assert (second["extras"], second["cost_usd"], second["provider"]) == (None, None, "acme")


def test_parquet_is_exact(place: Address, tmp_path: Path) -> None:
    """Types are those of a frame, Decimal included; labels and extras are JSON text."""
    file = tmp_path / "calls.parquet"
    aicore_obs.export_operations(file, store=place)
    frame = pl.read_parquet(file)
    assert frame.schema["cost_usd"] == pl.Decimal(38, 12)
    assert frame["cost_usd"].to_list() == [COST.total, None]
    assert frame["timestamp"].to_list() == [records.WHEN, records.WHEN]
    assert frame["tags"].to_list()[0] == ["t,1", "é"]
    assert [text and json.loads(text) for text in frame["extras"]] == [{"none": None, "deep": {"x": [1]}}, None]


def test_csv_is_exact(place: Address, tmp_path: Path) -> None:
    """Every text comes back through a reader of CSV, line ends and commas included; amounts keep their places."""
    file = tmp_path / "calls.csv"
    aicore_obs.export_operations(file, store=place)
    frame = pl.read_csv(file, infer_schema=False)
    first = frame.row(0, named=True)
    assert (first["cost_usd"], first["timestamp"]) == ("0.000000000001", "2026-01-31T12:00:00.000000Z")
    assert json.loads(first["completion_args"]) == ODD["completion_args"]
    assert (json.loads(first["tags"]), json.loads(first["labels"])) == (["t,1", "é"], {"team": "a,b"})
    assert frame.columns == list(FRAME_COLUMNS)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_filters_columns_and_order_hold(place: Address, tmp_path: Path, ending: str) -> None:
    """What is exported is what a frame of the same filter has."""
    file = tmp_path / f"calls.{ending}"
    filters = {"provider": "acme", "columns": ["provider", "operation_id"], "limit": 5}
    assert aicore_obs.export_operations(file, filters, store=place).operations == 1
    read = {"jsonl": pl.read_ndjson, "csv": pl.read_csv, "parquet": pl.read_parquet}[ending]
    frame = read(file)  # type: ignore[operator]
    assert (frame.columns, frame.height) == (["provider", "operation_id"], 1)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_an_export_of_nothing_has_its_columns(tmp_path: Path, ending: str) -> None:
    """No row matches: there is a file, with a header where the format has one."""
    place = records.address("sqlite", tmp_path)
    records.write(place, records.operations(1))
    file = tmp_path / f"none.{ending}"
    assert aicore_obs.export_operations(file, {"provider": "nobody"}, store=place).operations == 0
    if ending == "parquet":
        assert "cost_usd" in pl.read_parquet(file).columns
    else:
        assert file.read_text(encoding="utf-8").startswith("operation_id," if ending == "csv" else "")


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_failure_leaves_no_file(tmp_path: Path, ending: str) -> None:
    """Whatever fails half-way is raised as it is, an older file stays as it was, and nothing lies beside it."""
    place = records.address("sqlite", tmp_path)
    records.write(place, records.operations(EXPORT_ROWS + 1))
    file = tmp_path / "out" / f"calls.{ending}"
    file.parent.mkdir()
    file.write_text("older", encoding="utf-8")

    def tell(done: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        aicore_obs.export_operations(file, store=place, overwrite=True, tell=tell)
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert file.read_text(encoding="utf-8") == "older"


def test_progress_is_told(tmp_path: Path) -> None:
    """``tell`` hears how many rows are done, batch by batch."""
    place = records.address("sqlite", tmp_path)
    records.write(place, records.operations(EXPORT_ROWS + 1))
    told: list[int] = []
    aicore_obs.export_operations(tmp_path / "calls.parquet", store=place, tell=told.append)
    assert told == [EXPORT_ROWS, EXPORT_ROWS + 1]


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    """A file that is there, no format, the store itself, a folder, a wrong filter, no store: nothing is made."""
    place = records.address("jsonl", tmp_path)
    records.write(place, records.operations(1))
    there = tmp_path / "there.csv"
    there.touch()
    wrong: list[tuple[Path, dict[str, Any], str]] = [
        (there, {}, "is there already"),
        (tmp_path / "calls.xlsx", {}, r"must end in \.jsonl"),
        (tmp_path / "calls.csv", {"format": "xml"}, "formats are jsonl, csv, parquet"),
        (tmp_path / "store.jsonl", {"overwrite": True}, "is the store itself"),
        (tmp_path, {"format": "csv"}, "is a folder"),
    ]
    for path, options, words in wrong:
        with pytest.raises(ConfigurationError, match=words):
            aicore_obs.export_operations(path, store=place, **options)
    with pytest.raises(FilterError, match="unknown filter"):
        aicore_obs.export_operations(tmp_path / "calls.csv", {"provder": "x"}, store=place)
    with pytest.raises(StoreNotFoundError):
        aicore_obs.export_operations(tmp_path / "calls.csv", store=tmp_path / "none.db")
    assert not (tmp_path / "calls.csv").exists()


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command_exports(tmp_path: Path) -> None:
    """It says what it wrote, takes filters and columns, and replaces a file only when it is told to."""
    place, file = records.address("sqlite", tmp_path), tmp_path / "calls.csv"
    records.write(place, [records.operation(provider="acme"), records.operation(provider="other")])
    store = f"sqlite:///{place.path}"
    result = _run(file, store, "-w", "provider=acme", "--columns", "provider,cost_usd")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("1 operation, ")
    assert file.read_text(encoding="utf-8") == "provider,cost_usd\nacme,\n"
    again = _run(file, store)
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)
    assert _run(file, store, "--overwrite", "-n", "1").stdout.startswith("1 operation, ")
    assert _run(tmp_path / "calls.xml", store).exit_code == 2
    assert _run(tmp_path / "new.csv", store, "--columns", "nonsense").exit_code == 2
    assert _run(tmp_path / "new.csv", store, "-w", "columns=model", "-n", "1").exit_code == 0
    assert (tmp_path / "new.csv").read_text(encoding="utf-8") == "model\n\n"
