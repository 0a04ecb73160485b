"""This module is where scores are tested through the oplog door: given, asked for, exported, taken away."""

from __future__ import annotations

import asyncio
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aicore_obs import FilterError, export_operations
from aicore_obs.oplog import Tracer, export
from tests.oplog_stores import ODD, backend, sqlite_tracer, tracer

__all__ = ["backend", "sqlite_tracer", "tracer"]


def save(tracer: Tracer) -> str:
    """The id of a new operation."""
    saved = tracer.op("ask").input(q="?").output(a="!").save()
    assert saved is not None
    return saved


def test_scores_come_back_as_they_were_given(tracer: Tracer) -> None:
    """Numbers, bools and categories, exact, whatever their words; under one name the newest counts."""
    one, other = save(tracer), save(tracer)
    given: dict[str, Any] = {
        "helpful": True,
        "cost": 0.1 + 0.2,
        "big": 1e300,
        "none": 0,
        **dict(zip(ODD, ODD, strict=True)),
    }
    for name, value in given.items():
        tracer.db.score(one, name, "before")
        tracer.db.score(one, name, value, comment=f"as {name}")
    found, bare = tracer.db.get(one), tracer.db.get(other)
    assert found is not None
    assert bare is not None
    assert {name: score.value for name, score in found.scores.items()} == given
    assert found.scores["helpful"].value is True
    assert {score.comment for score in found.scores.values()} == {f"as {name}" for name in given}
    assert found.scores["big"].scored_at >= found.created_at
    assert bare.scores == {}


def test_scores_are_asked_for_and_taken_away(tracer: Tracer) -> None:
    """By name and by bounds; a bool counts as 1 or 0, a category is no number, what has no score never matches."""
    good, bad, _ = save(tracer), save(tracer), save(tracer)
    for saved, helpful, grade in ((good, True, 0.9), (bad, False, 0.25)):
        tracer.db.score(saved, "helpful", helpful)
        tracer.db.score(saved, "grade", grade)
    tracer.db.score(bad, "tone", "rude")

    def ids(**filters: Any) -> list[str]:
        return [one.id for one in tracer.db.query(order="asc", **filters)]

    assert ids(scored="grade") == ids(scored=["tone", "grade"]) == [good, bad]
    assert ids(min_score={"helpful": 1}) == ids(min_score={"helpful": 1, "grade": 0.9}) == [good]
    assert ids(max_score={"grade": 0.25}) == ids(scored="tone") == [bad]
    assert ids(min_score={"tone": -1e9}) == ids(min_score={"nobody": 0}) == ids(scored=[]) == []
    tracer.db.unscore(good, "helpful")
    tracer.db.unscore(good, "nobody")
    assert ids(scored="helpful") == [bad]
    asyncio.run(tracer.db.ascore(good, "helpful", value=True))
    assert ids(min_score={"helpful": 1}) == [good]
    asyncio.run(tracer.db.aunscore(good, "helpful"))
    assert ids(scored="helpful") == [bad]


def test_a_score_may_come_before_its_operation_is_stored(sqlite_tracer: Tracer) -> None:
    """An id that nobody has is kept and shown nowhere; a record says which one is meant as well as its id."""
    nobody = "01900000-0000-7000-8000-000000000000"
    sqlite_tracer.db.score(nobody, "helpful", value=True)
    sqlite_tracer.db.score(nobody, "part", Fraction(1, 2))  # type: ignore[arg-type]
    save(sqlite_tracer)
    [record] = sqlite_tracer.db.query()
    sqlite_tracer.db.score(
        record, "helpful", value=False, comment="key sk-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
    )
    [found] = sqlite_tracer.db.query(scored="helpful")
    assert found.scores["helpful"].value is False
    assert "sk-abc" not in str(found.scores["helpful"].comment)


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, None, "", [1], b"good"])
def test_a_score_says_what_it_is(sqlite_tracer: Tracer, value: Any) -> None:
    """Another value, no id and no name are refused at once."""
    saved = save(sqlite_tracer)
    with pytest.raises(ValueError, match="finite number"):
        sqlite_tracer.db.score(saved, "helpful", value)
    with pytest.raises(ValueError, match="no id"):
        sqlite_tracer.db.score("abc", "helpful", value=True)
    with pytest.raises(ValueError, match="say what is scored"):
        sqlite_tracer.db.unscore(saved, "")
    with pytest.raises(FilterError, match="a number is needed"):
        sqlite_tracer.db.query(min_score={"helpful": "much"})  # type: ignore[dict-item]
    with pytest.raises(FilterError, match="a mapping of scores' names"):
        sqlite_tracer.db.query(min_score=0.5)  # type: ignore[arg-type]


def test_scores_choose_and_fill_exports(tracer: Tracer, tmp_path: Path) -> None:
    """A training file of what was found good, and a column of each score."""
    good, bad = save(tracer), save(tracer)
    tracer.db.score(good, "grade", 0.75)
    tracer.db.score(bad, "grade", 0.5)
    wanted = tracer.db.stream(min_score={"grade": 0.6})
    manifest = export.to_jsonl(wanted, tmp_path / "a.jsonl", ["id", "scores.grade", "scores"])
    assert manifest == 1
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {
        "id": good,
        "scores.grade": 0.75,
        "scores": {"grade": 0.75},
    }
    assert export.to_parquet(wanted, tmp_path / "a.parquet", ["id", "scores"]).counts["written"] == 1


def test_frames_have_flags_and_scores_where_they_are_asked_for(tracer: Tracer, tmp_path: Path) -> None:
    """Lists of Structs, the scores that hold now; empty where there are none; lazily, eagerly, and in exports."""
    good, bare = save(tracer), save(tracer)
    for name, value in (("helpful", "before"), ("helpful", True), ("grade", 0.25), ("tone", 'a "b"'), ("gone", 1)):
        tracer.db.score(good, name, value, comment="é 😀" if name == "grade" else None)
    tracer.db.unscore(good, "gone")
    tracer.db.flag([good], reason="look", note="twice")
    collector = tracer.collector
    columns = ["operation_id", "scores", "flags"]
    frame = collector.polars_from_db(columns=columns)
    rows = {row["operation_id"]: row for row in frame.iter_rows(named=True)}
    assert [(one["name"], one["number"], one["value"]) for one in rows[good]["scores"]] == [
        ("helpful", 1.0, "true"),
        ("grade", 0.25, "0.25"),
        ("tone", None, 'a "b"'),
    ]
    assert [one["comment"] for one in rows[good]["scores"]] == [None, "é 😀", None]
    assert [(one["reason"], one["note"]) for one in rows[good]["flags"]] == [("look", "twice")]
    assert (rows[bare]["scores"], rows[bare]["flags"]) == ([], [])
    assert "scores" not in collector.polars_from_db().columns

    lazy = collector.scan_db(columns=columns)
    assert lazy.collect_schema() == frame.schema
    scored = lazy.filter(pl.col("scores").list.len() > 0, pl.col("scores").is_not_null()).collect()
    assert scored["operation_id"].to_list() == [good]
    means = lazy.explode("scores").select(pl.col("scores").struct.unnest()).group_by("name").agg(pl.mean("number"))
    assert dict(means.collect().drop_nulls().iter_rows()) == {"helpful": 1.0, "grade": 0.25}

    asked = {"columns": columns, "operation_id": good}
    export_operations(tmp_path / "all.jsonl", asked, store=collector.addresses[0])
    (line,) = (json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines())
    assert {one["name"] for one in line["scores"]} == {"helpful", "grade", "tone"}
    assert [one["reason"] for one in line["flags"]] == ["look"]
    export_operations(tmp_path / "all.parquet", asked, store=collector.addresses[0])
    assert len(json.loads(pl.read_parquet(tmp_path / "all.parquet")["scores"][0])) == 3


def test_a_tracer_that_is_off_scores_nothing(tmp_path: Path) -> None:
    """Nor does it make a store."""
    with Tracer("shop", f"sqlite:///{tmp_path}/traces.db", enabled=False) as off:
        off.db.score("01900000-0000-7000-8000-000000000000", "helpful", value=True)
    assert not (tmp_path / "traces.db").exists()
