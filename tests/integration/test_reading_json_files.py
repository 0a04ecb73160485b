"""This module is where reading JSON files is held: damage, foreign layouts, a writer beside the reader."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from filelock import FileLock

from aicore_obs.errors import StoreDamagedError, StoreNotFoundError
from aicore_obs.model import codec
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.query.reader import open_reader, read_frame
from aicore_obs.stores.json_elements import JsonElements
from tests.stored import OPTIONS, flag, operation, record_id, write_json

LINES = [codec.encode(operation(number, extras={"n": number}, response={"text": "x" * 99})) for number in range(5)]


def at(path: Path, content: bytes) -> Address:
    """A file with this content."""
    path.write_bytes(content)
    return Address(kind="json" if path.suffix == ".json" else "jsonl", name="a", path=path, options=OPTIONS)


def numbers(address: Address) -> list[int]:
    """Which operations are read."""
    frame = read_frame(address, {})
    assert frame.height == 0 or frame["extras"].struct.field("n").null_count() == 0
    ids = frame["operation_id"].to_list()
    return [number for number in range(5) if record_id(number) in ids]


def test_layouts_of_an_array(tmp_path: Path) -> None:
    """A valid array is read however its white space lies."""
    whole = b"[" + b",".join(LINES) + b"]"
    pretty = json.dumps(json.loads(whole), indent=2).encode()
    tabs = json.dumps(json.loads(whole), indent="\t").replace("\n", "\r\n").encode()
    two_a_line = b"[" + LINES[0] + b"," + LINES[1] + b",\n" + b",\n".join(LINES[2:]) + b"]"
    for content in (whole, pretty, tabs, two_a_line, b"\n [\n" + b"\n,\n".join(LINES) + b"]"):
        assert numbers(at(tmp_path / "a.json", content)) == [0, 1, 2, 3, 4]
    for content in (b"", b"[]", b"[\n]\n", b" \n"):
        assert numbers(at(tmp_path / "a.json", content)) == []


@pytest.mark.parametrize("layout", ["lines", "array", "one line", "pretty"])
def test_damage_costs_no_neighbour(tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged element is passed over, counted and logged once; the others are there."""
    good = [json.dumps(json.loads(line), indent=1).encode() if layout == "pretty" else line for line in LINES]
    torn = good[2][:-30].replace(b"\n", b" ")
    parts = [*good[:2], torn, *good[3:]]
    if layout == "lines":
        address = at(tmp_path / "a.jsonl", b"\n".join(parts))
    else:
        comma = b"," if layout == "one line" else b",\n"
        address = at(tmp_path / "a.json", b"[" + comma.join(parts) + b"]")
    with caplog.at_level(logging.WARNING, logger="aicore_obs"):
        # On one line nothing tells where a damaged element ends.
        assert numbers(address) == ([0, 1] if layout == "one line" else [0, 1, 3, 4])
    assert len(caplog.records) == 1
    assert "1 damaged" in caplog.text


def test_every_cut(tmp_path: Path) -> None:
    """Wherever a crash cuts the file, the whole elements before are read."""
    for name, content in (("a.json", b"[\n" + b",\n".join(LINES) + b"\n]\n"), ("a.jsonl", b"\n".join(LINES) + b"\n")):
        for cut in range(0, len(content), 41):
            whole = sum(line in content[:cut] for line in LINES)
            assert numbers(at(tmp_path / name, content[:cut])) == list(range(whole))


def test_every_flipped_byte(tmp_path: Path) -> None:
    """A flipped byte costs the record that it is in, at most."""
    content = bytearray(b"[\n" + b",\n".join(LINES) + b"\n]\n")
    third = content.index(LINES[2])
    for place in range(third, third + len(LINES[2]), 7):
        for byte in b'"\\{}[],\n\x00\xff':
            changed = content.copy()
            changed[place] = byte
            frame = read_frame(at(tmp_path / "a.json", bytes(changed)), {})
            assert {record_id(0), record_id(1), record_id(3), record_id(4)} <= set(frame["operation_id"])


def test_a_newer_record_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A record of a newer program is passed over in silence, not called damaged."""
    newer = b'{"kind":"hologram","v":99,"id":"x"}'
    assert numbers(at(tmp_path / "a.jsonl", LINES[0] + b"\n" + newer + b"\n")) == [0]
    assert numbers(at(tmp_path / "b.jsonl", newer + b"\n")) == []
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("a.json", content) for content in (b'{"a": 1}', b"\x89PNG\r\n\x1a\n\x00", b"[1, 2]\n", b'"text"')),
        *(("a.jsonl", content) for content in (b"SQLite format 3\x00\nmore\n", b"a,b\n1,2\n")),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that is something else is an error that names it."""
    with pytest.raises(StoreDamagedError, match=str(tmp_path / name)):
        read_frame(at(tmp_path / name, content), {})


def test_a_missing_file(tmp_path: Path) -> None:
    """A missing file is an error that names it, and nothing is created."""
    path = tmp_path / "no.json"
    with pytest.raises(StoreNotFoundError, match=str(path)):
        read_frame(Address(kind="json", name="a", path=path, options=OPTIONS), {})
    assert list(tmp_path.iterdir()) == []


def test_a_writer_goes_on_while_we_read(tmp_path: Path) -> None:
    """Between two batches the lock is free and the writer overwrites the bracket; the frame is that of its start."""
    address = write_json(tmp_path / "a.json", [operation(number) for number in range(5)])
    assert address.path is not None
    batches = open_reader(address).batches(Filter(), ["operation_id"], batch_rows=2)
    first = next(batches)
    with FileLock(f"{address.path}.lock", timeout=1), address.path.open("r+b") as file:
        file.seek(-3, 2)
        file.write(b",\n" + LINES[4].replace(b"0000-0000000", b"0000-1000000") + b"\n]\n")
    assert [first.height, *(batch.height for batch in batches)] == [2, 2, 1]


def test_an_ending_that_changes_while_we_read(tmp_path: Path) -> None:
    """The closing bracket that was there at the start counts, whatever the writer put in its place."""
    path = tmp_path / "a.json"
    at(path, b"[\n" + b",\n".join(LINES) + b"\n]\n")
    elements = JsonElements(path, lines_only=False)
    with elements.snapshot() as snapshot:
        content = path.read_bytes()
        path.write_bytes(content[:-3] + b",\n" + LINES[0][:20])
        assert len(list(elements.records(snapshot))) == 5
    assert elements.damaged == 0


def test_an_id_counts_once(tmp_path: Path) -> None:
    """A record that was written twice is one row."""
    address = write_json(tmp_path / "a.jsonl", [operation(1), operation(2), operation(1)])
    assert read_frame(address, {})["operation_id"].to_list() == [record_id(1), record_id(2)]


def test_flags_may_come_before_what_they_mark(tmp_path: Path) -> None:
    """The newest flag record counts, wherever it lies in the file."""
    records = [flag(12, 1, reason="bad", active=False), flag(11, 1, 2, reason="bad"), operation(1), operation(2)]
    address = write_json(tmp_path / "a.jsonl", records)
    assert read_frame(address, {"flagged_for": "bad"})["operation_id"].to_list() == [record_id(2)]
