"""This module is where copies of stores are tested: from any to any, all kinds, killed half-way, compared."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import aicore_obs
from aicore_obs import plugins
from aicore_obs.cli.app import app
from aicore_obs.errors import ConfigurationError, StoreError, StoreNotFoundError
from aicore_obs.model import codec
from aicore_obs.model.cost import Billing, Cost, CostLine
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import CODEC_VERSION, ErrorInfo, Record
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address
from aicore_obs.transfer.content import Contents
from aicore_obs.transfer.target import BATCH_RECORDS
from tests import records

ROOT = Path(__file__).parents[2]
LINE = CostLine(unit="input_mtok", amount=Decimal("0.25"), side="input", quantity=5, price=Decimal("1.5"))
COST = Cost(total=Decimal("1.000000000001"), input=Decimal(1), source="rows", price_id="p-1", book="b", lines=(LINE,))
FULL = Derived(
    model="small",
    response_model="small-1",
    response_id="r-1",
    server_address="api.example.com",
    finish_reason="stop",
    stream_state="whole",
    temperature=0.5,
    max_tokens=100,
    usage=Usage(input_tokens=5, output_tokens=7, total_tokens=12, audio_seconds=1.5),
    usage_source="openai",
    usage_raw=msgspec.Raw(b'{"prompt_tokens": 5}'),
    billing=Billing(conditions={"tier": "flex"}),
    cost=COST,
)


def everything() -> list[Record]:
    """Return records of every kind, with whatever a record can hold."""
    full = records.operation(
        project="p", session_id="s", run_id="r", experiment_id="e", trace_id="t", span_id="sp", parent_id="pa", seq=0,
        labels={"team": "a", "é": "\x00"}, tags=("x", "\x00"), extras={"n": 0.5, "none": None, "nul": "a\x00b"},
        odd={"latency_ms": "fast"}, operation_type="rerank", provider="openai", api="chat", latency_ms=1.0,
        time_to_first_token_ms=0.5, workspace="w", agent_id="a", action_id="ac", user_id="u",
        error=ErrorInfo(type="T", message="nul \x00", stack="s"),
        completion_args={"z": 1.50, "a": [1e2, -0.0, 10**20], "nul": "\x00\ue000"}, response={"text": "\ue0000"},
    )  # fmt: skip
    surrogate = records.captured({"messages": "lone \ud800 and \x00"}, {"text": "\ue000u1"})
    priced = msgspec.structs.replace(full, derived=FULL)
    bare = records.operation()
    failed = records.operation(error=ErrorInfo())
    others = [
        records.span(body=msgspec.Raw(b'{"a": "\\u0000"}'), parent_id="x", trace_id="t"),
        records.scope(),
        records.flag(priced, reason="good", note="n\x00"),
        records.flag(bare, active=False),
        records.score(bare, "quality\x00", "good\x00", comment="\x00"),
        records.score(priced, "helpful", 1e300),
        records.revision(priced, Cost(total=Decimal("2.5"), source="rows"), author="me"),
        records.revision(bare),
    ]
    return [priced, surrogate, bare, failed, *others]


def shown(place: Address) -> list[tuple[Any, ...]]:
    """Return the whole frame of a store; payloads as what they say, since PostgreSQL spells JSON in its own way."""
    rows = records.read(place, *FRAME_COLUMNS[1:])
    return [tuple(json.loads(one) if isinstance(one, str) and one[:1] in "{[" else one for one in row) for row in rows]


@pytest.mark.parametrize(("one", "other"), [*product(records.KINDS, repeat=2)])
def test_every_store_copies_into_every_other(
    one: str, other: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """All kinds arrive with their ids, readers show the same, and the checksums of both sides agree."""
    (tmp_path / "to").mkdir()
    url = request.getfixturevalue("postgres_url") if "postgresql" in (one, other) else None
    source = records.address(one, tmp_path, url)
    target = records.address(other, tmp_path / "to", url, db_schema="other")
    target = msgspec.structs.replace(target, name=f"{target.name}#other")
    written = everything()
    records.write(source, written)
    done = aicore_obs.copy_store(source, target)
    assert (done.source, done.left, done.rejected) == (done.target, {}, 0)
    assert done.ok
    assert done.source.counts == {"cost": 2, "flag": 2, "operation": 4, "scope": 1, "score": 2, "span": 1}
    assert records.kept_ids(source) == sorted(record.id for record in written)
    assert shown(target) == shown(source)
    assert records.read(target, flagged_for=["good"]) == records.read(source, flagged_for=["good"])
    assert ledger(target).drop("cost_lines").equals(ledger(source).drop("cost_lines"))
    again = aicore_obs.copy_store(source, target)
    assert (again.ok, again.others, again.target) == (True, 0, done.target)


def ledger(place: Address) -> Any:
    """Return the ledger of costs of a store."""
    return plugins.load("polars").concat(plugins.reader(place).costs(Filter.of(), batch_rows=100))


def test_the_checksum_is_of_what_records_say(tmp_path: Path) -> None:
    """One changed character of one payload changes it; the order of records does not."""
    first, second = records.operations(2, completion_args={"a": "x"})
    sums = []
    for number, kept in enumerate(([first, second], [second, first], [first, changed(second)])):
        place = records.address("jsonl", tmp_path / str(number))
        records.write(place, kept)
        sums.append(aicore_obs.copy_store(place, tmp_path / f"{number}.db").source.checksum)
    assert sums[0] == sums[1] != sums[2]


def changed(record: Operation) -> Operation:
    """Return the record with another request."""
    return msgspec.structs.replace(record, completion_args=msgspec.Raw(b'{"a":"y"}'))


def test_what_is_different_under_the_same_id_is_told(tmp_path: Path) -> None:
    """The target has an id with other words: it is left alone, and the sides do not agree; other records stay."""
    source, target = records.address("sqlite", tmp_path), records.address("jsonl", tmp_path)
    one, stranger = records.operation(completion_args={"a": "x"}), records.operation()
    records.write(source, [one])
    records.write(target, [changed(one), stranger])
    done = aicore_obs.copy_store(source, target)
    assert (done.ok, done.others, done.target.total) == (False, 1, 1)
    assert done.source.checksum != done.target.checksum
    assert records.kept_ids(target) == sorted([one.id, stranger.id])


def test_damaged_and_newer_records_are_counted(tmp_path: Path) -> None:
    """What cannot be read stays in the source, is counted, and costs no neighbour."""
    place = records.address("jsonl", tmp_path)
    lines = [codec.encode(one) for one in records.operations(2)]
    newer = lines[0].replace(b'"v":%d' % CODEC_VERSION, b'"v":99')
    assert place.path is not None
    place.path.write_bytes(b"\n".join([lines[0], b'{"kind": 1', newer, lines[1], lines[1], b""]))
    done = aicore_obs.copy_store(place, tmp_path / "to.db")
    assert (done.left, done.ok, done.target.total) == ({"damaged": 1, "newer": 1}, False, 2)


def test_a_row_that_the_target_refuses_costs_no_neighbour(tmp_path: Path) -> None:
    """An amount past what SQLite holds is refused there, told with its id, and everything else arrives."""
    place = records.address("jsonl", tmp_path)
    good = records.operations(5)
    rich = msgspec.structs.replace(records.operation(), derived=Derived(cost=Cost(total=Decimal(10) ** 9)))
    records.write(place, [*good[:3], rich, *good[3:]])
    done = aicore_obs.copy_store(place, tmp_path / "to.db")
    assert (done.ok, done.rejected, done.target.total, done.source.total) == (False, 1, 5, 6)
    assert done.problems[0].startswith(rich.id)


PROGRAM = """
import sys
import aicore_obs
done = aicore_obs.copy_store(sys.argv[1], sys.argv[2], tell=lambda words, done: (print(done, flush=True), input()))
"""


@pytest.mark.parametrize("kind", records.KINDS)
def test_a_killed_copy_goes_on(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """kill -9 after the second batch, and again: nothing is lost and nothing is there twice."""
    source = records.address("sqlite", tmp_path)
    written = records.operations(2 * BATCH_RECORDS + 1)
    records.write(source, [*written, records.flag(written[0], reason="good")])
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    target = records.address(kind, tmp_path / "to", url)
    command = [sys.executable, "-c", PROGRAM, str(source.path), str(target.path or url)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == f"{BATCH_RECORDS}\n"
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == f"{2 * BATCH_RECORDS}\n"
        child.send_signal(signal.SIGKILL)
    assert len(records.kept_ids(target)) == 2 * BATCH_RECORDS
    done = aicore_obs.copy_store(source, target)
    assert done.ok
    assert records.kept_ids(target) == records.kept_ids(source)


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    """No source, one store twice, a target that cannot be: an error, and nothing is made."""
    with pytest.raises(StoreNotFoundError):
        aicore_obs.copy_store(tmp_path / "none.db", tmp_path / "to.db")
    assert not (tmp_path / "to.db").exists()
    place = records.address("sqlite", tmp_path)
    records.write(place, records.operations(1))
    (tmp_path / "same.db").symlink_to(place.path or tmp_path)
    for same in (str(place.path), str(tmp_path / "same.db")):
        with pytest.raises(ConfigurationError, match="both source and target"):
            aicore_obs.copy_store(str(place.path), same)
    with pytest.raises(StoreError, match="postgresql"):
        aicore_obs.copy_store(place, "postgresql://nobody@localhost:1/none?connect_timeout=1")


def test_an_empty_store_is_copied(tmp_path: Path) -> None:
    """Nothing is copied as nothing, and the target is there."""
    place = records.address("sqlite", tmp_path)
    records.write(place)
    done = aicore_obs.copy_store(place, tmp_path / "to.jsonl")
    assert (done.ok, done.source, (tmp_path / "to.jsonl").exists()) == (True, Contents(), True)


def test_the_command_copies_and_compares(tmp_path: Path) -> None:
    """It shows counts and checksums of both sides; the exit code says whether they agree."""
    place = records.address("sqlite", tmp_path)
    one = records.operation()
    records.write(place, [one, records.span()])
    target = str(tmp_path / "to.jsonl")
    result = CliRunner().invoke(app, ["copy", str(place.path), target])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Both sides agree." in result.stdout
    lines = [line.split()[1] for line in result.stdout.splitlines() if line.startswith(("source:", "target:"))]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    data = json.loads(CliRunner().invoke(app, ["copy", str(place.path), target, "--json"]).stdout)
    assert (data["ok"], data["source"], data["target"]["counts"]) == (True, data["target"], {"operation": 1, "span": 1})
    other = records.address("jsonl", tmp_path)
    records.write(other, [changed(one)])
    differing = CliRunner().invoke(app, ["copy", str(place.path), str(other.path)])
    assert (differing.exit_code, "The sides differ." in differing.stdout) == (1, True)
    missing = CliRunner().invoke(app, ["copy", str(tmp_path / "none.db"), target])
    assert (missing.exit_code, "there is no database" in missing.stderr) == (2, True)
