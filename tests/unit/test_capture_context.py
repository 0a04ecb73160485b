"""This module is where it is checked what a record takes from the block it was made in."""

from __future__ import annotations

import asyncio
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aicore_obs import bind
from aicore_obs.capture.record import Capture
from aicore_obs.context import Context, current, is_suppressed, suppress
from aicore_obs.errors import UnknownParameterError
from tests.captures import capture, extras_of


def test_a_record_takes_what_the_block_is_bound_to() -> None:
    """Ids, labels, tags and extras come from the block; what the call says itself goes before."""
    with bind(
        session_id="s", run_id="r", experiment_id="e", trace_id="t", span_id="sp", workspace="w", user_id="u",
        project="p", labels={"a": "1", "b": "1"}, tags=["x"], extras={"k": 1, "l": 1},
    ):  # fmt: skip
        record = capture({}, session_id="mine", labels={"b": "2"}, tags=["y", "x"], extras={"l": 2})
    assert (record.session_id, record.run_id, record.experiment_id) == ("mine", "r", "e")
    assert (record.trace_id, record.span_id, record.workspace) == ("t", "sp", "w")
    assert (record.user_id, record.project) == ("u", "p")
    assert (record.labels, record.tags) == ({"a": "1", "b": "2"}, ("x", "y"))
    assert extras_of(record) == {"k": 1, "l": 2}


def test_blocks_nest() -> None:
    """Labels, tags and extras add up, ids replace, and the outer block is back afterwards."""
    with bind(session_id="outer", labels={"a": "1"}, tags=["x"], extras={"k": 1}):
        with bind(session_id="inner", run_id="r", labels={"b": "2"}, tags=["y"], extras={"l": 2}):
            inner = capture({})
        outer = capture({})
    assert (inner.session_id, inner.run_id, inner.labels) == ("inner", "r", {"a": "1", "b": "2"})
    assert (inner.tags, extras_of(inner)) == (("x", "y"), {"k": 1, "l": 2})
    assert (outer.session_id, outer.run_id, outer.labels, outer.tags) == ("outer", None, {"a": "1"}, ("x",))
    assert current() == Context()


def test_none_leaves_the_outer_value() -> None:
    """A value of None binds nothing."""
    with bind(session_id="outer"), bind(session_id=None, labels=None, tags=None, extras=None):
        assert capture({}).session_id == "outer"


def test_a_block_that_raises_is_left() -> None:
    """The outer context is back after an exception too."""
    with pytest.raises(KeyError), bind(session_id="s"):
        raise KeyError
    assert current() == Context()


def test_one_block_may_be_entered_again() -> None:
    """The same object works twice, also inside itself."""
    block = bind(session_id="s")
    with block, block:
        assert capture({}).session_id == "s"
    assert capture({}).session_id is None


def test_tasks_keep_their_own() -> None:
    """Interleaved tasks do not see each other's blocks; a task inherits the block in which it was started."""

    async def one(name: str, barrier: asyncio.Barrier) -> tuple[Any, ...]:
        async with bind(session_id=name):
            await barrier.wait()
            record = capture({})
            await barrier.wait()
            return record.session_id, record.run_id

    async def main() -> list[Any]:
        barrier = asyncio.Barrier(3)
        async with bind(run_id="all"):
            return await asyncio.gather(*(one(name, barrier) for name in "abc"))

    assert asyncio.run(main()) == [("a", "all"), ("b", "all"), ("c", "all")]


def test_threads_do_not_leak() -> None:
    """A thread starts without a block, and what it binds stays in it."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> tuple[Any, ...]:
        before = capture({}).session_id
        with bind(session_id="thread"):
            inside.set()
            leave.wait(10)
            return before, capture({}).session_id

    with ThreadPoolExecutor(1) as pool, bind(session_id="main"):
        result = pool.submit(work)
        assert inside.wait(10)
        assert capture({}).session_id == "main"
        leave.set()
        assert result.result() == (None, "thread")


def test_an_unknown_name_raises_and_lists_the_known_ones() -> None:
    """bind() says at once what it takes."""
    with pytest.raises(UnknownParameterError, match=r"'session'.*session_id.*labels"):
        bind(session="s")


def test_values_of_other_types_become_text() -> None:
    """An id may be a number or a UUID; no value of a block can spoil the records in it."""
    key = uuid.uuid4()
    with bind(session_id=5, run_id=key, user_id=object, labels={1: 2}, tags="one", extras=[1]):
        record = capture({})
    assert (record.session_id, record.run_id, record.user_id) == ("5", str(key), "<class 'object'>")
    assert (record.labels, record.tags, extras_of(record)) == ({"1": "2"}, ("one",), {"value": [1]})
    with bind(labels=7, tags=8):
        assert (capture({}).labels, capture({}).tags) == ({"value": "7"}, ("8",))


def test_a_block_keeps_no_hold_on_the_callers_objects() -> None:
    """What is changed later is not changed in the block."""
    labels, tags = {"a": "1"}, ["x"]
    with bind(labels=labels, tags=tags):
        labels["a"] = "2"
        tags.append("y")
        record = capture({})
    assert (record.labels, record.tags) == ({"a": "1"}, ("x",))


def test_secrets_of_a_block_stay_out() -> None:
    """Extras and labels of a block are cleaned as those of a call."""
    with bind(extras={"headers": {"Authorization": "Bearer abc"}}, labels={"api_key": "sk-1"}):
        record = capture({})
    assert extras_of(record) == {"headers": {"Authorization": "[redacted]"}}
    assert record.labels == {"api_key": "[redacted]"}


def test_the_project_of_the_collector_is_the_default() -> None:
    """A block may name another."""
    by = Capture(project="mine", derive=lambda _: None)
    assert capture({}, by=by).project == "mine"
    with bind(project="theirs"):
        assert capture({}, by=by).project == "theirs"


def test_suppress_holds_for_its_block() -> None:
    """Recording is off inside, and on again after."""
    with suppress():
        assert is_suppressed()
    assert not is_suppressed()
