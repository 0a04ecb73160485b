"""This module is where what is shown is put together: trees of steps, conversations, words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.display.facts import CostFacts, Node, OperationFacts, Totals, TraceTree, totals_of
from aicore_obs.display.talk import conversation_of
from aicore_obs.display.tree import (
    MAX_DEPTH,
    MOST_CHILDREN,
    MOST_DEPTH,
    MOST_ERRORS,
    MOST_LINES,
    Step,
    lines_of,
    tree_of,
)
from aicore_obs.display.words import dollars, duration, folded, harmless, number, value_text
from aicore_obs.shapes.messages import Message, Request
from aicore_obs.shapes.parts import Text, Thinking, ToolCall, ToolResult

START = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Totals(operations=1, tokens=10, cost_usd=Decimal("0.5"))


def step(name: str, parent: str | None = None, *, at: int = 0, **fields: Any) -> Step:
    """Return a span of this name, which is its id as well."""
    settings: dict[str, Any] = {
        "is_operation": False,
        "span_id": name,
        "parent_id": parent,
        "duration_ms": 5.0,
        **fields,
    }
    return Step(id=name, name=name, started_at=START + timedelta(milliseconds=at), **settings)


def tree(*steps: Step) -> TraceTree:
    """Return the tree of steps."""
    return tree_of("trace_id", "t", steps, is_cut=False)


def drawn(*steps: Step, full: bool = False) -> list[str]:
    """Return the lines of a tree as text."""
    return [
        f"{line.guides}{line.node.name if line.node is not None else f'+{line.steps}'}"
        for line in lines_of(tree(*steps), full=full)
    ]


def test_steps_stand_below_what_called_them() -> None:
    """In the order of their start; one whose parent nobody recorded is a root."""
    steps = [step("b", "a", at=2), step("c", "b", at=3), step("a", at=1), step("d", "a", at=4), step("e", "gone", at=5)]
    assert drawn(*steps) == ["a", "├─ b", "│  └─ c", "└─ d", "e"]


def test_sums_are_of_everything_below() -> None:
    """Tokens and costs add up; what is unknown is counted and not taken for 0."""
    unknown = totals_of(tokens=None, cost=CostFacts(reason="no price"), is_error=True)
    steps = [
        step("a"),
        step("b", "a", is_operation=True, totals=ONE),
        step("c", "a", is_operation=True, totals=unknown),
    ]
    found = tree(*steps).roots[0].totals
    assert found == Totals(
        operations=2, errors=1, tokens=10, tokens_unknown=1, cost_usd=Decimal("0.5"), unpriced=1, partly_priced=0
    )
    assert found.is_lower_bound


def test_an_operation_with_its_spans_own_id_stands_inside() -> None:
    """So it is recorded inside a span by a call that makes none of its own; several do not take each other for it."""
    ops = [step(name, "x", is_operation=True, span_id="a", at=at) for at, name in enumerate(("o1", "o2"))]
    assert drawn(step("a"), *ops) == ["a", "├─ o1", "└─ o2"]
    assert drawn(*ops) == ["o1", "o2"]


def test_times_are_of_the_whole_trace() -> None:
    """From the first start to the last end that is known."""
    found = tree(step("a", at=10, duration_ms=None), step("b", "a", at=20, duration_ms=30.0))
    assert found.duration_ms == 40.0
    assert [found.roots[0].start_ms, found.roots[0].children[0].start_ms] == [0.0, 10.0]
    assert tree().duration_ms == 0.0


def test_wide_trees_are_counted_and_errors_stay() -> None:
    """Of many siblings the first are shown, then some that failed, then how many more there are and what they cost."""
    wide = [
        step(f"s{number}", "a", at=number, error="E" if number % 100 == 99 else None, is_operation=True, totals=ONE)
        for number in range(2000)
    ]
    lines = lines_of(tree(step("a"), *wide))
    assert len(lines) == 1 + MOST_CHILDREN + MOST_ERRORS + 1
    assert lines[-1].steps == 2000 - MOST_CHILDREN - MOST_ERRORS
    assert lines[-1].totals.cost_usd == Decimal("0.5") * lines[-1].steps
    assert lines[-1].guides == "└─ "
    assert len(lines_of(tree(step("a"), *wide), full=True)) == 2001


def test_deep_trees_are_counted() -> None:
    """Below a depth nothing is drawn but counted."""
    deep = [step("0"), *(step(str(number), str(number - 1), at=number) for number in range(1, 50))]
    lines = drawn(*deep)
    assert len(lines) == MOST_DEPTH + 1
    assert lines[-1].endswith(f"+{50 - MOST_DEPTH}")
    assert len(drawn(*deep, full=True)) == 50


def test_large_trees_end() -> None:
    """No more lines than anybody reads; the last one counts what is left."""
    steps = [
        *(step(f"{a}", at=a * 400) for a in range(20)),
        *(step(f"{a}.{b}", f"{a}", at=a * 400 + b * 20) for a in range(20) for b in range(20)),
        *(
            step(f"{a}.{b}.{c}", f"{a}.{b}", at=a * 400 + b * 20)
            for a in range(20)
            for b in range(20)
            for c in range(9)
        ),
    ]
    shown = lines_of(tree(*steps))
    assert len(shown) == MOST_LINES + 1
    assert sum(line.steps or 1 for line in shown) == len(steps)


def test_a_chain_without_end_is_cut() -> None:
    """Deeper steps stand beside each other, so that it can be encoded."""
    chain = [step("0"), *(step(str(number), str(number - 1), at=number) for number in range(1, 3000))]
    assert _depth(tree(*chain).roots[0]) == MAX_DEPTH + 1
    assert len(drawn(*chain, full=True)) == 3000


def _depth(node: Node) -> int:
    depth, level = 0, [node]
    while level:
        depth, level = depth + 1, [child for one in level for child in one.children]
    return depth


NAMES = st.sampled_from("abcdefgh")


@given(st.dictionaries(NAMES, st.tuples(NAMES | st.none(), st.integers(0, 5)), max_size=8))
def test_every_step_is_drawn_once(parents: dict[str, tuple[str | None, int]]) -> None:
    """Whatever is said of parents, circles too, no step is lost and none is doubled."""
    steps = [step(name, parent, at=at) for name, (parent, at) in parents.items()]
    assert sorted(line.node.name for line in lines_of(tree(*steps)) if line.node is not None) == sorted(parents)


# -- conversations -----------------------------------------------------------------------------------------------------


def said(role: str, text: str) -> Message:
    """Return a message of one text."""
    return Message(role, (Text(text),))


def asked(number: int, *messages: Message, answer: Message | None = None) -> OperationFacts:
    """Return operation ``number`` that asks this and is answered that."""
    return OperationFacts(
        id=str(number),
        timestamp=START,
        operation_type="completion",
        status="ok",
        request=Request(messages=messages),
        answers=() if answer is None else (answer,),
    )


def new_of(*operations: OperationFacts) -> list[tuple[int, list[str]]]:
    """Return of each turn how many messages are left out, and the texts of the others."""
    turns = conversation_of("session_id", "s", operations, is_cut=False).turns
    texts = [
        ["".join(part.text for part in one.parts if isinstance(part, Text)) for one in turn.messages] for turn in turns
    ]
    return [(turn.repeated, text) for turn, text in zip(turns, texts, strict=True)]


SYSTEM, HI, MORE = said("system", "S"), said("user", "Hi"), said("user", "More")
YES, WELL = said("assistant", "Yes?"), said("assistant", "Well.")


def test_history_is_said_once() -> None:
    """Each request repeats all that was said, the answer before included."""
    assert new_of(
        asked(1, SYSTEM, HI, answer=YES),
        asked(2, SYSTEM, HI, YES, MORE, answer=WELL),
        asked(3, SYSTEM, HI, YES, MORE, WELL, said("user", "End")),
    ) == [(0, ["S", "Hi"]), (3, ["More"]), (5, ["End"])]


def test_talks_side_by_side_stay_whole() -> None:
    """Two agents in one session, whose talks alternate: what stands in the other one is said again."""
    other = said("system", "O")
    assert new_of(
        asked(1, SYSTEM, HI, answer=YES),
        asked(2, other, HI, answer=WELL),
        asked(3, SYSTEM, HI, YES, MORE),
        asked(4, other, HI, WELL, MORE),
    ) == [(0, ["S", "Hi"]), (0, ["O", "Hi"]), (3, ["More"]), (3, ["More"])]


def test_a_history_that_is_cut_off_at_the_front() -> None:
    """A program that sends the last messages only: what overlaps the end of the talk is left out."""
    assert new_of(
        asked(1, SYSTEM, HI, answer=YES),
        asked(2, SYSTEM, HI, YES, MORE, answer=WELL),
        asked(3, SYSTEM, MORE, WELL, said("user", "End")),
    )[-1] == (3, ["End"])


def test_the_same_question_again_is_shown_again() -> None:
    """A request that only begins like another one is not its continuation; what was asked twice is asked twice."""
    assert new_of(asked(1, SYSTEM, HI, answer=YES), asked(2, SYSTEM, HI, answer=WELL)) == [
        (0, ["S", "Hi"]),
        (1, ["Hi"]),
    ]


def test_what_is_sent_back_may_be_spelled_otherwise() -> None:
    """Thoughts are not sent back, and arguments come in another order."""
    call = ToolCall(name="f", arguments={"a": 1, "b": 2}, id="c")
    back = ToolCall(name="f", arguments={"b": 2, "a": 1}, id="c")
    result = Message("tool", (ToolResult(parts=(Text("r"),), id="c"),))
    first = asked(1, HI, answer=Message("assistant", (Thinking("hm"), Text("Let me see. "), call)))
    again = asked(2, HI, Message("assistant", (Text("Let me see."), back)), result)
    assert [turn.repeated for turn in conversation_of("session_id", "s", [first, again], is_cut=False).turns] == [0, 2]


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (0, "0.0 ms"), (9.96, "10 ms"), (412.4, "412 ms"), (999.9, "1.00 s"), (59_990, "59.99 s"),
     (59_999, "1 min 00 s"), (60_000, "1 min 00 s"), (3_725_000, "1 h 02 min")],
)  # fmt: skip
def test_durations(value: float | None, text: str) -> None:
    """In the unit that is read at a glance; unknown is no 0."""
    assert duration(value) == text


def test_unknown_is_a_dash_and_zero_is_zero() -> None:
    """Of counts and amounts alike."""
    assert [number(None), number(0), number(1234567)] == ["—", "0", "1,234,567"]
    assert [dollars(None), dollars(Decimal(0)), dollars(Decimal("1.239"), at_least=True)] == ["—", "$0.00", "≥ $1.23"]


@given(st.text())
def test_harmless_text_moves_nothing(text: str) -> None:
    """No control character, no change of direction; and of text that has none, nothing is changed."""
    shown = harmless(text)
    assert all(one.isprintable() or one in "\n\u200c\u200d" for one in shown)
    assert harmless(text, lines=False).count("\n") == 0
    if text.isprintable():
        assert shown == text


def test_harmless_text_keeps_signs_of_several() -> None:
    """Families and flags stay what they are."""
    assert harmless("👩‍👩‍👧 a\tb\r\nc\x1b[31m\u202ed") == "👩‍👩‍👧 a    b\nc�[31m�d"


@given(st.text(max_size=300), st.integers(1, 50), st.integers(1, 5))
def test_nothing_of_a_folded_text_is_uncounted(text: str, characters: int, lines: int) -> None:
    """What is shown is its beginning, and the rest is counted."""
    part = folded(text, characters=characters, lines=lines)
    assert text.startswith(part.shown)
    assert len(part.shown) + part.characters == len(text)


def test_values_are_json() -> None:
    """Short ones on one line, long ones on several, text as it is."""
    assert value_text({"a": "ä"}) == '{"a": "ä"}'
    assert value_text("text") == "text"
    assert value_text({"a": "x" * 100}).startswith("{\n")
