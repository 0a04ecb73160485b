"""This module is where the JSON files of the sinks are checked: valid after every write, repaired, never taken over."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest

from aicore_obs.errors import SinkUnavailable
from aicore_obs.protocols import Address, Sink
from tests import records


@pytest.fixture(params=records.FILES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a file that does not exist yet, one of each form."""
    return records.address(request.param, tmp_path)


@pytest.fixture
def array(tmp_path: Path) -> Address:
    """The address of an array that does not exist yet."""
    return records.address("json", tmp_path)


def file_of(place: Address) -> Path:
    """Return the path of a file."""
    assert place.path is not None
    return place.path


def torn(place: Address) -> bytes:
    """Return what was kept beside."""
    beside = Path(f"{place.path}.torn")
    return beside.read_bytes() if beside.exists() else b""


def held(place: Address) -> list[Any]:
    """Return the elements of a file, ids in place of our own records."""
    return [element.get("id", element) if isinstance(element, dict) else element for element in records.elements(place)]


def test_it_is_valid_after_every_write(place: Address) -> None:
    """From the opening on, the whole file is JSON after each batch."""
    states: list[int] = []

    async def work(sink: Sink) -> None:
        states.append(len(records.elements(place)))
        for size in (1, 3, 0, 2):
            await sink.write(records.batch(records.operations(size)))
            states.append(len(records.elements(place)))

    records.with_sink(place, work)
    assert states == [0, 1, 4, 4, 6]


@pytest.mark.parametrize("text", ["", "\n", "[]", "[ ]\n", "[\n]", "\n\n  []", " [\n\n] \n\n"])
def test_an_empty_array_is_appended_to(array: Address, text: str) -> None:
    """An array without elements, or a file without anything, takes records, however it is spaced."""
    file_of(array).write_text(text)
    given = records.operations(2)
    records.write(array, given[:1], given[1:])
    assert held(array) == [one.id for one in given]
    assert torn(array) == b""


THEIRS: list[Any] = [{"note": 1, "deep": {"list": [{}, [], {"a": "]"}]}}, ["x"], "text]", 7, None, {"id": "theirs"}]
SHAPES = {
    "pretty": json.dumps(THEIRS, indent=2),
    "pretty, a line at the end": json.dumps(THEIRS, indent=4) + "\n",
    "indent 0": json.dumps(THEIRS, indent=0),
    "compact": json.dumps(THEIRS, separators=(",", ":")),
    "one a line": "[" + ",\n".join(map(json.dumps, THEIRS)) + "]",
    "spaced": "\n[ " + " , ".join(map(json.dumps, THEIRS)) + " ]   \n\n",
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_an_array_of_others_is_appended_to(array: Address, text: str) -> None:
    """An array that another program has written, in whatever layout, keeps its elements and takes ours."""
    file_of(array).write_text(text)
    given = records.operations(3)
    records.write(array, given[:1], given[1:])
    kept = records.elements(array)
    assert kept[: len(THEIRS)] == THEIRS
    assert [element["id"] for element in kept[len(THEIRS) :]] == [one.id for one in given]


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_a_torn_array_of_others_loses_nothing(array: Address, text: str) -> None:
    """Cut anywhere, an array of others keeps its whole elements; the torn bytes lie beside it."""
    whole = text.encode()
    end_of_last = len(whole.rstrip().removesuffix(b"]").rstrip())
    for cut in range(text.index("[") + 1, end_of_last + 1):
        file_of(array).write_bytes(whole[:cut])
        Path(f"{array.path}.torn").unlink(missing_ok=True)
        given = records.operations(1)
        records.write(array, given)
        *theirs, ours = records.elements(array)
        assert ours["id"] == given[0].id
        # A number or a word at the cut may have lost its end.
        assert theirs == THEIRS[: whole_elements(whole[:cut].decode().rstrip(string.ascii_lowercase + string.digits))]
        assert whole[:cut].endswith(torn(array).removesuffix(b"\n"))


def whole_elements(text: str) -> int:
    """Return how many elements of a torn array are whole, in the slow and sure way."""
    count = 0
    for end in range(len(text) + 1):
        try:
            count = max(count, len(json.loads(text[:end].rstrip().removesuffix(",") + "]")))
        except ValueError:
            continue
    return count


def test_a_torn_tail_is_repaired(place: Address) -> None:
    """Cut at every byte of the last record, the file is whole at the next open, and nothing is lost."""
    given = [records.operation(response={"text": text}) for text in ("one", "two]", "three\n]")]
    records.write(place, given)
    whole = file_of(place).read_bytes()
    last = whole.rindex(b'{"kind"')
    for cut in range(last, len(whole)):
        file_of(place).write_bytes(whole[:cut])
        Path(f"{place.path}.torn").unlink(missing_ok=True)
        records.write(place)
        neighbours = [one.id for one in given[:2]]
        kept = held(place)
        assert kept[:2] == neighbours
        if len(kept) == 2:
            assert whole[last:cut] in torn(place)
        records.write(place, given[2:])
        assert len(records.elements(place)) == len(kept) + 1


def test_a_first_record_that_is_torn(place: Address) -> None:
    """A file whose only record is torn is empty again, with the torn bytes beside it."""
    records.write(place, records.operations(1))
    text = file_of(place).read_bytes()[:40]
    file_of(place).write_bytes(text)
    given = records.operations(1)
    records.write(place, given)
    assert held(place) == [given[0].id]
    assert text.removeprefix(b"[\n") in torn(place)


def test_torn_tails_add_up(place: Address) -> None:
    """What was kept beside stays when another tail is torn."""
    for number in range(2):
        records.write(place, [records.operation(session_id=f"torn-{number}")])
        whole = file_of(place).read_bytes()
        file_of(place).write_bytes(whole[: whole.index(b"torn-") + 6])
    records.write(place)
    assert [torn(place).count(b"torn-%d" % number) for number in range(2)] == [1, 1]


@pytest.mark.parametrize("text", ['{"a": [1]}', "hello", '"text"', "  {}"])
def test_a_file_that_holds_no_array_is_refused(array: Address, text: str) -> None:
    """A .json file of another shape is not touched."""
    file_of(array).write_text(text)
    with pytest.raises(SinkUnavailable, match="no JSON array"):
        records.write(array, records.operations(1))
    assert file_of(array).read_text() == text


def test_a_file_that_is_taken_away_is_made_again(place: Address) -> None:
    """The file is opened anew for every batch."""
    given = records.operations(2)

    async def work(sink: Sink) -> None:
        await sink.write(records.batch(given[:1]))
        file_of(place).unlink()
        await sink.write(records.batch(given[1:]))

    records.with_sink(place, work)
    assert held(place) == [given[1].id]


def test_a_note_past_the_end_means_the_whole_file(place: Address) -> None:
    """A file that was made anew since the note is searched from its beginning."""
    given = records.operations(2)

    async def work(sink: Sink) -> None:
        await sink.write(records.batch(given))
        await sink.write(records.batch(given, noted=10**9))

    records.with_sink(place, work)
    assert held(place) == [one.id for one in given]
