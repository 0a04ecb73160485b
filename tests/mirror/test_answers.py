"""This module is where a mirror answers in the place of its database."""

from __future__ import annotations

import shutil
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock
from polars.testing import assert_frame_equal

from aicore_obs import LlmOperationCollector, prune, reports
from aicore_obs.addresses import address_of
from aicore_obs.errors import ConfigurationError, StoreNotFoundError
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from aicore_obs.stores.mirror import mirror
from aicore_obs.stores.mirror.folder import Folder
from aicore_obs.stores.mirror.source import MIRRORED, STORED
from tests.databases import Database
from tests.mirrors import OPERATIONS, SECRET, compare, folder_of, parts_of
from tests.stored import write_json

FROM_MIRROR: list[dict[str, Any]] = [
    {},
    {"order": "desc"},
    {"columns": ["labels", "extras", "tags", "cost_usd", "cost_reason", "priced_model"]},
    {"session_id": ["s1", "s2"], "model": "m1"},
    {"start_date": "2026-01-01T00:00:03Z", "end_date": "2026-01-01T00:00:20Z"},
    {"tags": ["t"], "min_latency": 4, "max_tokens": 20},
    {"labels": {"app": "a1"}, "order": "desc"},
    {"provider": "nobody"},
]
FROM_DATABASE: list[dict[str, Any]] = [
    {"limit": 3},
    {"offset": 3},
    {"operation_id": OPERATIONS[2].id},
    {"min_cost": 5},
    {"max_cost": "1e40"},
    {"flagged_for": "x"},
    {"scored": "x"},
    {"min_score": {"x": 1}},
    {"cost_as_of": "2020-01-01"},
    {"labels": {"no such": "a"}},
    {"session_id": "\ud800"},
    {"min_tokens": 2**70},
]


@pytest.mark.parametrize("is_mirrored", [True, False])
def test_filters(address: Address, asked: list[str], is_mirrored: bool) -> None:
    """Every filter gives what the database gives; some are the database's business."""
    for filters in FROM_MIRROR if is_mirrored else FROM_DATABASE:
        asked.clear()
        filters = {"columns": MIRRORED, **filters}
        assert_frame_equal(scan(address, filters, mirror=True).collect(), read_frame(address, filters))
        assert bool(asked) != is_mirrored, filters


@pytest.mark.parametrize(
    "step",
    [
        lambda lazy: lazy.filter(pl.col("latency_ms") > 10).select("operation_id"),
        lambda lazy: lazy.filter(pl.col("labels").struct.field("app") == "a1", pl.col("total_tokens") < 20),
        lambda lazy: lazy.filter(pl.col("extras").struct.field("step") > 4).select("cost_usd"),
        lambda lazy: lazy.filter(pl.col("cost_usd") >= Decimal(9), pl.col("model").str.starts_with("m")),
        lambda lazy: lazy.filter(pl.col("latency_ms") > 10).head(4),
        lambda lazy: lazy.sort("latency_ms", descending=True).head(3),
        lambda lazy: lazy.tail(3),
        lambda lazy: lazy.select(pl.len()),
        lambda lazy: lazy.group_by("session_id").agg(pl.col("latency_ms").sum()).sort("session_id"),
        lambda lazy: lazy.with_columns(twice=pl.col("latency_ms") * 2).select("twice"),
    ],
)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_steps_on_top(file: Address, asked: list[str], small_parts: None, step: Any, engine: Any) -> None:
    """Filters, projections and sums over a lazy frame give what they give over an eager one, out of the mirror."""
    columns = {"columns": MIRRORED}
    found = step(scan(file, columns, mirror=True)).collect(engine=engine)
    assert_frame_equal(found, step(read_frame(file, columns).lazy()).collect())
    assert asked == []


def test_content_is_read_from_the_database(address: Address, asked: list[str]) -> None:
    """The whole frame is the same, and nothing that was said is in the mirror."""
    assert_frame_equal(scan(address, {}, mirror=True).collect(), read_frame(address, {}))
    assert len(asked) == 1
    compare(address)
    kept = pl.read_parquet(parts_of(address))
    assert kept.columns == list(STORED)
    assert kept["error_type"].count() == 6
    assert not any(SECRET in str(row) for row in kept.rows())


def test_nobody_else_may_read_it(file: Address) -> None:
    """The folder and its files are their owner's."""
    compare(file)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder_of(file).iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert stat.S_IMODE(folder_of(file).stat().st_mode) == 0o700


def test_a_second_look_writes_nothing(address: Address) -> None:
    """Where nothing came, the parts stay as they are."""
    compare(address)
    before = {path: path.stat().st_mtime_ns for path in folder_of(address).iterdir()}
    compare(address)
    after = {path: path.stat().st_mtime_ns for path in folder_of(address).iterdir()}
    assert {path.name for path in before} == {path.name for path in after}
    assert [before[path] for path in parts_of(address)] == [after[path] for path in parts_of(address)]


def test_what_is_deleted_leaves_the_mirror(address: Address) -> None:
    """After a deletion the mirror has nothing of it, read or not; one that cannot be reached is named."""
    compare(address)
    receipt = prune(store=address, session_id="s1")
    assert receipt.operations == 10
    assert "mirror" not in str(receipt.notes)
    assert pl.read_parquet(parts_of(address))["session_id"].unique().sort().to_list() == ["s0", "s2"]
    with FileLock(folder_of(address) / "lock"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "WAIT_S", 0.01)
        patch.setattr(Folder, "remove", lambda _: False)
        assert f"{folder_of(address)} may still have" in str(prune(store=address, session_id="s2").notes)
    compare(address)


def test_reports_come_out_of_the_mirror(address: Address, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of a lazy frame, or of the store under the setting, is what it is without."""
    lazy = scan(address, {}, mirror=True)
    direct = reports.cost(address, by=["model", "labels.app"])
    assert_frame_equal(reports.cost(lazy, by=["model", "labels.app"]), direct)
    assert asked == []
    latency, errors = reports.latency(address, by="session_id"), reports.errors(address)
    monkeypatch.setenv("AICORE_OBS_MIRROR", "1")
    assert_frame_equal(reports.latency(address, by="session_id"), latency)
    assert asked == []
    # It shows a message, which the mirror does not have.
    assert_frame_equal(reports.errors(address), errors)
    assert len(asked) == 1


def test_a_collector_reads_its_own_writes(tmp_path: Path, asked: list[str]) -> None:
    """What was recorded just now is in the frame; before the first record it is empty."""
    with LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/a.db") as collector:
        lazy = collector.scan_db(mirror=True).select("operation_id")
        assert lazy.collect().height == 0
        for expected in (1, 2):
            collector.record_completion({"model": "m"}, provider="openai", response={"text": "a"})
            assert lazy.collect().height == expected
    assert asked == ["SqliteSource"]


def test_the_setting(file: Address, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says it for databases; what is said in code counts more."""
    monkeypatch.setenv("AICORE_OBS_MIRROR", "1")
    url = f"sqlite:///{file.path}"
    assert LlmOperationCollector.scan_db(url).select("model").collect().height == 30
    assert (asked, folder_of(file).is_dir()) == ([], True)
    shutil.rmtree(folder_of(file))
    assert LlmOperationCollector.scan_db(url, mirror=False).select("model").collect().height == 30
    assert not folder_of(file).exists()
    json = write_json(tmp_path / "a.json", OPERATIONS)
    assert scan(json, {}).select("model").collect().height == 30
    with pytest.raises(ConfigurationError, match="only SQLite and PostgreSQL have a mirror"):
        scan(json, {}, mirror=True)
    with pytest.raises(ConfigurationError, match="mirror='yes': it is True or False"):
        LlmOperationCollector.scan_db(url, mirror="yes")  # type: ignore[arg-type]


def test_reading_makes_no_database(tmp_path: Path, file: Address) -> None:
    """Neither a database nor a mirror comes from reading one that is not there, or is there no more."""
    missing = address_of(f"sqlite:///{tmp_path}/no.db", StoreOptions())
    with pytest.raises(StoreNotFoundError):
        scan(missing, {}, mirror=True)
    lazy = scan(file, {}, mirror=True).select("model")
    assert file.path is not None
    file.path.unlink()
    with pytest.raises(StoreNotFoundError):
        lazy.collect()
    assert not list(tmp_path.glob("no.db*"))
    assert not folder_of(file).exists()


def test_a_schema_of_an_older_version(tmp_path: Path) -> None:
    """A file without costs has a mirror; when it gets them, the mirror is another one."""
    database = Database(str(tmp_path / "a.db"))
    database.ensure(program=1)
    database.execute(*(f"INSERT INTO aicore_obs_operations (id, timestamp) VALUES ('{n}', {n})" for n in range(9)))
    old = address_of(f"sqlite:///{tmp_path}/a.db", StoreOptions())
    compare(old)
    before = parts_of(old)
    database.ensure()
    compare(old)
    assert before != parts_of(old)
