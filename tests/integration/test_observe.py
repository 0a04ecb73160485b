"""This module is where ``@observe`` is tested: every kind of function, unchanged, with or without a session."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import timeit
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import aicore_obs
from aicore_obs.context import current
from aicore_obs.observer import observe, observer
from tests.observed import exported, observing


@pytest.fixture(autouse=True)
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aicore_obs.LlmOperationCollector]:
    with observing(tmp_path, monkeypatch) as collector:
        yield collector


@pytest.fixture(params=[True, False], ids=["in a session", "without"])
def is_active(request: pytest.FixtureRequest) -> bool:
    if request.param:
        observer.observe()
    return bool(request.param)


class Thing:
    @observe
    def method(self, number: int) -> int:
        """Return twice the number."""
        return 2 * number

    @staticmethod
    @observe
    def static_below(number: int) -> int:
        return 2 * number

    @observe
    @staticmethod
    def static_above(number: int) -> int:
        return 2 * number

    @classmethod
    @observe
    def class_below(cls, number: int) -> int:
        return 2 * number

    @observe
    @classmethod
    def class_above(cls, number: int) -> int:
        return 2 * number


@observe
def counted(count: int) -> Iterator[int]:
    got = 0
    for number in range(count):
        got = (yield number + got) or 0
    return "done"  # type: ignore[return-value]


@observe
async def acounted(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@observe
async def fetched(url: str) -> dict[str, str]:
    return {"url": url}


@observe
def failing() -> None:
    raise LookupError("no such thing")


def test_kinds_of_functions_stay_what_they_are() -> None:
    """A framework that asks what it was given gets the answer that it would get of the function itself."""
    assert inspect.isgeneratorfunction(counted)
    assert inspect.isasyncgenfunction(acounted)
    assert inspect.iscoroutinefunction(fetched)
    assert Thing.method.__doc__ == "Return twice the number."
    assert str(inspect.signature(Thing.method)) == "(self, number: 'int') -> 'int'"
    assert isinstance(vars(Thing)["static_above"], staticmethod)
    assert isinstance(vars(Thing)["class_above"], classmethod)


@pytest.mark.parametrize("name", ["method", "static_below", "static_above", "class_below", "class_above"])
def test_methods(is_active: bool, name: str) -> None:
    """Methods of all kinds return what they return; the export has their arguments without self."""
    assert getattr(Thing(), name)(21) == 42
    assert getattr(Thing(), name)(number=21) == 42
    events = exported()["function_events"]
    assert [(one["args"], one["kwargs"], one["result"]) for one in events] == (
        [([21], {}, 42), ([], {"number": 21}, 42)] if is_active else []
    )


def test_generators(is_active: bool) -> None:
    """A generator gives, takes and returns what it would; it is timed to its end, with the items that it gave."""

    def whole(generator: Any) -> Any:
        return (yield from generator)

    outer = whole(counted(3))
    given = [next(outer), outer.send(10), outer.send(20)]
    with pytest.raises(StopIteration) as stop:
        next(outer)
    assert (given, stop.value.value) == ([0, 11, 22], "done")
    if is_active:
        (event,) = exported()["function_events"]
        assert (event["result"], event["items"], event["error"]) == ([0, 11, 22], 3, None)


def test_generators_that_are_given_up(is_active: bool) -> None:
    """Closing goes through to the generator; the event has what was given until then."""
    closed = []

    @observe
    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    generator = numbers()
    next(generator)
    generator.close()  # type: ignore[attr-defined]
    next(numbers())
    gc.collect()
    assert closed == [True, True]
    if is_active:
        events = exported()["function_events"]
        assert [(one["items"], one["stream_state"], one["error"]) for one in events] == [(1, "abandoned", None)] * 2


def test_what_is_thrown_into_a_generator_arrives(is_active: bool) -> None:
    """The generator may answer an exception that is thrown in; one that it lets through is the event's error."""

    @observe
    def patient() -> Iterator[str]:
        try:
            yield "first"
        except KeyError:
            yield "caught"

    generator: Any = patient()
    assert next(generator) == "first"
    assert generator.throw(KeyError("k")) == "caught"
    with pytest.raises(OSError, match="gone"):
        generator.throw(OSError("gone"))
    if is_active:
        assert exported()["function_events"][0]["error"] == "OSError: gone"


def test_the_span_of_a_generator_does_not_leak_to_its_reader() -> None:
    """Between two items the reader is in its own span; inside, calls are below the generator's."""

    @observe
    def leaf() -> None: ...

    @observe
    def reading() -> Iterator[int]:
        leaf()
        yield 1
        leaf()

    observer.observe()
    generator = reading()
    before = current()
    next(generator)
    assert current() is before
    leaf()
    assert next(generator, None) is None
    observer.end()
    tree = exported()["trace_tree"]
    assert [(root["name"], [child["name"] for child in root["children"]]) for root in tree] == [
        ("reading", ["leaf", "leaf"]),
        ("leaf", []),
    ]


def test_async_functions_and_generators(is_active: bool) -> None:
    """They return and give what they would, and are timed to their end."""

    async def main() -> None:
        assert await fetched("u") == {"url": "u"}
        assert [number async for number in acounted(3)] == [0, 1, 2]
        given_up = acounted(3)
        assert await anext(given_up) == 0
        await given_up.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    if is_active:
        events = exported()["function_events"]
        assert [(one["name"], one["result"], one.get("stream_state")) for one in events] == [
            ("fetched", {"url": "u"}, None),
            ("acounted", [0, 1, 2], None),
            ("acounted", [0], "abandoned"),
        ]


def test_cancellation_passes_and_is_the_error(is_active: bool) -> None:
    """A task that is cancelled inside a function is cancelled, and the event says so."""

    @observe
    async def forever(started: asyncio.Event) -> None:
        started.set()
        await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.ensure_future(forever(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    if is_active:
        assert exported()["function_events"][0]["error"].startswith("CancelledError")


def test_exceptions_pass_untouched(is_active: bool) -> None:
    """The same exception object, with no other one around it; the event has type and message."""
    with pytest.raises(LookupError) as raised:
        failing()
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None
    if is_active:
        (event,) = exported()["function_events"]
        assert event["error"] == "LookupError: no such thing"
        assert event["callsite"]["file"] == __file__
        assert event["callsite"]["function"] == "failing"


def test_arguments_are_kept_as_they_were() -> None:
    """What the function does to its arguments changes nothing in the event; secrets are told by name."""

    @observe
    def login(user: dict[str, str], password: str, token: str = "") -> None:
        user["name"] = "changed"

    observer.observe()
    login({"name": "ann"}, "hunter2", token="t")
    (event,) = exported()["function_events"]
    assert event["args"][0] == {"name": "ann"}
    assert "hunter2" not in str(event)
    assert event["kwargs"]["token"] != "t"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attribute")


def test_one_hostile_value_costs_nothing_else() -> None:
    """What cannot be read is marked; its neighbours are in the export."""

    @observe
    def take(value: Any) -> Any:
        return value

    observer.observe()
    hostile = Hostile()
    recursive: list[Any] = []
    recursive.append(recursive)
    for value in (hostile, recursive, float("nan"), "\ud800", b"\xff", {1, 2}, 10**400, object()):
        assert take(value) is value
    take("good")
    events = exported()["function_events"]
    assert len(events) == 9
    assert events[-1]["result"] == "good"


def test_deep_recursion_is_one_tree_that_can_be_written() -> None:
    """A function that calls itself 500 times is in the export, and the file is written."""

    @observe
    def down(depth: int) -> int:
        return depth if depth == 0 else down(depth - 1)

    observer.observe()
    # Each call takes a few frames of ours.
    assert down(150) == 0
    observer.end()
    assert observer.flush("deep.json") == "deep.json"


@pytest.mark.parametrize(
    "wrong", [{"auto_enhance_after": 0}, {"auto_enhance_after": "x"}, {"auto_enhance_after": True}]
)
def test_a_threshold_that_cannot_work(wrong: dict[str, Any]) -> None:
    """Said at once, where the function is decorated."""
    with pytest.raises(ValueError, match="positive number"):
        observe(enh_prompt=True, auto_enhance_after=wrong)
    with pytest.raises(ValueError, match="enh_prompt"):
        observe(auto_enhance_after=3)
    with pytest.raises(TypeError, match="called"):
        observe(7)  # type: ignore[call-overload]


def test_the_enhancer_runs_after_so_many_traces() -> None:
    """Sync and async enhancers get the traces, in the background; one that fails disturbs nobody."""
    got: list[list[Any]] = []
    came = threading.Event()

    @observe(enh_prompt=True, auto_enhance_after=3)
    def summarize(text: str) -> str:
        return text.upper()

    @observer.register_enhancer
    def enhance(traces: list[dict[str, Any]]) -> None:
        got.append([one["args"][0] for one in traces])
        came.set()
        raise RuntimeError("an enhancer's own fault")

    observer.observe()
    for text in "abcd":
        assert summarize(text) == text.upper()
    assert came.wait(10)
    assert got == [["a", "b", "c"]]

    async def aenhance(traces: list[dict[str, Any]]) -> None:
        await asyncio.sleep(0)
        got.append([one["result"] for one in traces])

    observer.register_enhancer(aenhance)
    summarize("e")
    summarize("f")
    export = exported()  # waits for enhancers
    assert got[1:] == [["D", "E", "F"]]
    assert len(set(export["enh_prompt_traces"])) == 6


def test_without_a_session_it_costs_under_two_microseconds() -> None:
    """The best of several rounds: what the decorator adds to a call while nothing is observed."""

    def plain(number: int) -> int:
        return number

    observed = observe(plain)
    rounds, calls = 7, 20_000
    ours = min(timeit.repeat(lambda: observed(1), number=calls, repeat=rounds))
    theirs = min(timeit.repeat(lambda: plain(1), number=calls, repeat=rounds))
    assert (ours - theirs) / calls < 2e-6
