"""This module is where exports of the oplog door are tested: files and frames of plain records."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest

from aicore_obs.oplog import Mark, Record, Tracer, export
from aicore_obs.oplog.record import FIELDS
from tests.oplog_stores import ODD, sqlite_tracer

__all__ = ["sqlite_tracer"]
WHEN = datetime(2026, 1, 31, 12, 30, 0, 5, tzinfo=UTC)
PATHS = [
    "id",
    "inputs.query",
    "outputs.items.1.a",
    "outputs.a.b",
    "meta.nothing",
    "inputs.query.deep",
    "outputs.items.9",
]


def record(number: int = 0, **fields: Any) -> Record:
    """Return record ``number``."""
    given: dict[str, Any] = {
        "id": f"id-{number}",
        "project": "shop",
        "operation": "rank",
        "model": None,
        "inputs": {},
        "outputs": {},
        "meta": {},
        "tags": [],
        "run_id": None,
        "seq": None,
        "created_at": WHEN,
        "flags": [],
    }
    return Record(**{**given, **fields})


RECORDS = [
    record(1, inputs={"query": 'a, "b"\nc é 😀'}, outputs={"items": [{"a": 1}, {"a": 2}], "a.b": 5, "score": 0.5}),
    record(2, inputs={"query": None}, tags=list(ODD), seq=0, run_id="r", meta={"x": True}),
    record(3, outputs={"text": "\ud800", "n": 2**70}, flags=[Mark("training", note="n", flagged_at=WHEN)]),
]


def test_jsonl(tmp_path: Path) -> None:
    """Each record is a line with all its fields; the folder is made."""
    assert export.to_jsonl(RECORDS, tmp_path / "deep" / "out.jsonl") == 3
    lines = (tmp_path / "deep" / "out.jsonl").read_bytes().decode().splitlines()
    first, second, third = map(json.loads, lines)
    assert list(first) == list(FIELDS)
    assert (first["inputs"], first["outputs"]) == (RECORDS[0].inputs, RECORDS[0].outputs)
    assert (second["tags"], second["created_at"], second["seq"]) == (list(ODD), "2026-01-31T12:30:00.000005Z", 0)
    assert third["outputs"] == RECORDS[2].outputs
    assert third["flags"] == [{"reason": "training", "note": "n", "flagged_at": third["created_at"]}]


def test_fields_by_dotted_paths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They keep the dotted name, go into lists and keys with dots, and are null where nothing is there."""
    export.to_jsonl(RECORDS[:2], tmp_path / "out.jsonl", fields=[*PATHS, "nobody.has"])
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines())
    assert list(first) == [*PATHS, "nobody.has"]
    assert list(first.values()) == ["id-1", RECORDS[0].inputs["query"], 2, 5, None, None, None, None]
    assert list(second.values()) == ["id-2", *[None] * 7]
    assert "nobody.has" in caplog.text


@pytest.mark.parametrize("wrong", ["id", [], ["id", "id"], [1]])
def test_fields_that_are_no_list_are_refused(tmp_path: Path, wrong: Any) -> None:
    """Before a file is made."""
    with pytest.raises(ValueError, match="a list of different fields"):
        export.to_csv(RECORDS, tmp_path / "out.csv", fields=wrong)
    assert list(tmp_path.iterdir()) == []


def test_csv(tmp_path: Path) -> None:
    """Text stays as it is, whatever is in it; objects and lists are JSON; nothing is empty."""
    assert export.to_csv(RECORDS, tmp_path / "out.csv", fields=["id", "inputs.query", "tags", "meta.x", "outputs"]) == 3
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "inputs.query", "tags", "meta.x", "outputs"]
    assert rows[1][:4] == ["id-1", RECORDS[0].inputs["query"], "[]", ""]
    assert json.loads(rows[2][2]) == list(ODD)
    assert rows[2][3] == "true"
    assert json.loads(rows[3][4]) == RECORDS[2].outputs


def test_nothing_has_a_header(tmp_path: Path) -> None:
    """An empty export has its columns, in every format."""
    assert export.to_csv([], tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_bytes().decode() == ",".join(FIELDS) + "\r\n"
    assert export.to_jsonl([], tmp_path / "out.jsonl") == (tmp_path / "out.jsonl").stat().st_size == 0
    assert list(export.to_dataframe([], fields=PATHS).columns) == PATHS
    assert export.to_dataset([]).column_names == list(FIELDS)
    assert export.to_parquet([], tmp_path / "out.parquet").counts["read"] == 0
    assert pl.read_parquet(tmp_path / "out.parquet").columns == list(FIELDS)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there stays when the records break off."""

    def broken() -> Any:
        yield RECORDS[0]
        raise OSError("gone")

    (tmp_path / "out.jsonl").write_text("before", encoding="utf-8")
    with pytest.raises(OSError, match="gone"):
        export.to_jsonl(broken(), tmp_path / "out.jsonl")
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("out.jsonl", "before")]


def test_dataframe() -> None:
    """Objects and lists stay what they are; a missing field is missing in pandas' own way."""
    frame = export.to_dataframe(RECORDS, fields=["id", "inputs.query", "tags", "outputs.score"])
    assert frame["tags"].tolist()[1] == list(ODD)
    assert frame["outputs.score"].isna().tolist() == [False, True, True]
    assert export.to_dataframe(RECORDS).shape == (3, 12)


def test_dataset() -> None:
    """Values of different types in one field are JSON text, in all rows; others stay what they are."""
    mixed = [record(number, inputs={"q": "a"}, outputs={"x": value}) for number, value in enumerate([1, "one", [1]])]
    found = export.to_dataset(mixed)
    assert isinstance(found, datasets.Dataset)
    assert found[0]["inputs"] == {"q": "a"}
    assert [json.loads(one)["x"] for one in found["outputs"]] == [1, "one", [1]]
    assert json.loads(found.info.description)["counts"] == {"read": 3, "written": 3}
    assert export.to_dataset(RECORDS).num_rows == 3


def test_parquet(tmp_path: Path) -> None:
    """Numbers, switches and times have their types; what has several is text."""
    mixed = [record(number, outputs={"x": value, "n": number}) for number, value in enumerate([1, "one", None])]
    fields = ["created_at", "seq", "outputs", "outputs.x", "outputs.n"]
    manifest = export.to_parquet(mixed, tmp_path / "out.parquet", fields=fields)
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert frame.schema == {
        "created_at": pl.Datetime("us", "UTC"),
        "seq": pl.String(),
        "outputs": pl.String(),
        "outputs.x": pl.String(),
        "outputs.n": pl.Int64(),
    }
    assert frame["outputs.x"].to_list() == ["1", "one", None]
    assert (manifest.form, manifest.files[0].rows, manifest.filters) == ("records", 3, None)
    assert json.loads((tmp_path / "out.parquet.manifest.json").read_bytes())["files"][0]["rows"] == 3


def test_splits_of_plain_records(sqlite_tracer: Tracer, tmp_path: Path) -> None:
    """A Parquet file for each split, a dataset for each split, the same rows in both."""
    for number in range(40):
        sqlite_tracer.op("a").input(n=number).save()
    shares = {"train": 0.5, "test": 0.5}
    export.to_parquet(sqlite_tracer.db.query(), tmp_path / "o.parquet", fields=["id"], split=shares)
    found = export.to_dataset(sqlite_tracer.db.query(), fields=["id"], split=shares)
    assert sum(part.num_rows for part in found.values()) == 40
    for name in shares:
        assert pl.read_parquet(tmp_path / f"o.{name}.parquet")["id"].to_list() == list(found[name]["id"])


@pytest.mark.parametrize(("package", "verb"), [("pandas", "to_dataframe"), ("datasets", "to_dataset")])
def test_a_missing_package_names_what_to_type(package: str, verb: str) -> None:
    """An ImportError with the command; everything else works without."""
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from aicore_obs.oplog import export\n"
        f"try: export.{verb}([])\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.startswith(f"MissingExtraError {package} is needed")
    assert done.stdout.strip().endswith("pip install 'aicore-obs[export]'")


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    """Before anything is there: what is no record, and what no conversation takes."""
    with pytest.raises(ValueError, match=r"\{'a': 1\} is no record"):
        export.to_csv([{"a": 1}], tmp_path / "out.csv")  # type: ignore[list-item]
    for wrong in ({"sys": "be brief"}, "yes", None):
        with pytest.raises(ValueError, match="system, prompt or answer"):
            export.to_dataset(RECORDS, chat=wrong)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
