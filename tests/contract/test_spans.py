"""This module is where the duties of a reader of spans are checked, once, on every store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from aicore_obs import plugins
from aicore_obs.errors import StoreError
from aicore_obs.model.events import Span
from aicore_obs.protocols import Address, Spans
from tests import records


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a store that does not exist yet, one of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


def found(place: Address, scope: str, value: str, limit: int = 100) -> list[Span]:
    """Return what the store's reader finds."""
    reader = plugins.reader(place)
    assert isinstance(reader, Spans)
    return list(reader.spans(scope, value, limit=limit))


def test_a_scope_is_found_in_the_order_of_time(place: Address) -> None:
    """Of a trace, a session or a run come its spans and nothing else, whole, earliest first, no more than asked for."""
    late = records.span(trace_id="t-1", session_id="s-1", timestamp=records.WHEN + timedelta(seconds=1))
    early = records.span(trace_id="t-1", session_id="s-2", run_id="r-1", span_id="a", parent_id="b")
    records.write(place, [late, records.operation(trace_id="t-1"), early, records.span(trace_id="t-2")])

    assert found(place, "trace_id", "t-1") == [early, late]
    assert found(place, "trace_id", "t-1", limit=1) == [early]
    assert found(place, "session_id", "s-1") == [late]
    assert found(place, "run_id", "r-1") == [early]
    assert found(place, "run_id", "t-1") == []


def test_odd_ids_are_found_as_they_were_given(place: Address) -> None:
    """Whatever text an application takes for an id: quotes, percent signs, what a database cannot hold."""
    for odd in ("it's 100 %(a)s", "nul\x00", "\ue000", "lone \ud800"):
        kept = records.span(session_id=odd.encode("utf-8", "backslashreplace").decode())
        records.write(place, [kept])
        assert found(place, "session_id", odd) == [kept]


def test_what_a_newer_program_wrote_is_passed_over(place: Address) -> None:
    """A span that this program cannot read costs nothing but itself."""
    one = records.span(trace_id="t-1")
    records.write(place, [records.span(trace_id="t-1", v=99), one])
    assert found(place, "trace_id", "t-1") == [one]


def test_no_store_is_an_error(tmp_path: Path) -> None:
    """Where there is no store there are no spans, and that is said."""
    for kind in ("json", "sqlite"):
        with pytest.raises(StoreError, match="there is no"):
            found(records.address(kind, tmp_path), "trace_id", "t-1")
