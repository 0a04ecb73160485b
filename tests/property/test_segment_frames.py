"""This module is where it is tested, for any records and any damage, that a segment loses no more than was hit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.pipeline.segment import FRAME_BYTES, frame, split

# What a journal holds is UTF-8.
lines = st.lists(st.text(max_size=200).map(lambda text: text.encode()), min_size=1, max_size=12)


@given(lines)
def test_frames_come_back_in_order(some: list[bytes]) -> None:
    """What was framed is split into the same texts, with their ends."""
    data = b"".join(map(frame, some))
    pieces = split(data, final=True)
    assert [piece.line for piece in pieces] == some
    assert pieces[-1].end == len(data)


@given(lines, st.data())
def test_a_damaged_byte_costs_at_most_the_frame_that_it_hits(some: list[bytes], data: st.DataObject) -> None:
    """Every other record comes back whole, and no record comes back changed."""
    frames = list(map(frame, some))
    damaged = bytearray(b"".join(frames))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    hit = next(index for index in range(len(frames)) if at < sum(map(len, frames[: index + 1])))
    found = [piece.line for piece in split(bytes(damaged), final=True) if piece.line is not None]
    assert found in (some[:hit] + some[hit + 1 :], some)


@given(lines, st.data())
def test_a_cut_costs_what_is_behind_it(some: list[bytes], data: st.DataObject) -> None:
    """Where the end is missing, every record before the cut comes back; while more may follow, the rest waits."""
    whole = b"".join(map(frame, some))
    cut = data.draw(st.integers(0, len(whole) - 1))
    before = [line for index, line in enumerate(some) if sum(len(frame(one)) for one in some[: index + 1]) <= cut]
    waiting = split(whole[:cut], final=False)
    assert [piece.line for piece in waiting] == before
    ended = split(whole[:cut], final=True)
    assert [piece.line for piece in ended if piece.line is not None] == before
    assert sum(len(piece.damaged) for piece in ended) == cut - (waiting[-1].end if waiting else 0)


@given(lines, st.binary(max_size=100), st.integers(0, 12))
def test_foreign_bytes_between_frames_cost_nothing(some: list[bytes], foreign: bytes, place: int) -> None:
    """Bytes of somebody else are set aside; the frames around them stay."""
    place = min(place, len(some))
    data = b"".join(map(frame, some[:place])) + foreign + b"".join(map(frame, some[place:]))
    pieces = split(data, final=True)
    found = [piece.line for piece in pieces if piece.line is not None]
    assert [line for line in found if line in some][: len(some)] == some
    assert sum(FRAME_BYTES + len(line) for line in found) + sum(len(one.damaged) for one in pieces) == len(data)
