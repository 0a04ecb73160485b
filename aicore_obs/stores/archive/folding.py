"""This module is where it is folded what was said of archived operations: in the archive, and in the store since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.filter import COST_RANGES, SCORE_FILTERS, Filter
from aicore_obs.model.record import Record
from aicore_obs.stores.archive.columns import COSTS, recorded_cost, records_in, replaced
from aicore_obs.stores.json_found import columns_of
from aicore_obs.stores.matching import FoldedFlags, FoldedScores, cost_matcher, is_seen, storable
from aicore_obs.stores.said import spoken_of

_OPINIONS = ("flags", "scores")
_labels = msgspec.json.Decoder(dict[str, Any])
# Operation → what is said of it.
Said = Mapping[str, Sequence[Record]]


def by_operation(records: Iterable[Record]) -> Said:
    """Return records by the operations that they speak of."""
    found: dict[str, list[Record]] = {}
    for record in records:
        for operation_id in spoken_of(record):
            found.setdefault(operation_id, []).append(record)
    return found


class Folding:
    """What of one question is answered by what was said, and not by the columns of a file alone.

    ``needed`` are the columns of a raw frame that are asked for.
    """

    def __init__(self, query: Filter, needed: Sequence[str]) -> None:
        self._query = query
        asks_costs = any(getattr(query, name) is not None for name in COST_RANGES)
        asks_costs = asks_costs or not set(COSTS).isdisjoint(needed)
        self._asks_opinions = query.flagged_for is not None or any(getattr(query, name) for name in SCORE_FILTERS)
        self.opinions = self._asks_opinions or not set(_OPINIONS).isdisjoint(needed)
        # Without either, an archived operation shows what its file says.
        self.asks_store = asks_costs or self.opinions

    def columns(self, *, with_said: bool) -> tuple[str, ...]:
        """Return the columns of a file that this needs; ``with_said``: the store has something to say."""
        query = self._query
        needed = ["operation_id", "timestamp"]
        if self.opinions or with_said or query.cost_as_of is not None:
            needed.append("records")
        if with_said or query.cost_as_of is not None:
            needed.append("recorded_cost")
        if any(getattr(query, name) is not None for name in COST_RANGES):
            needed.append("cost_usd")
        return (*needed, "labels") if query.labels else tuple(needed)

    def folded(self, frame: pl.DataFrame, said: Said) -> pl.DataFrame:
        """Return the rows of a file that match, with what is shown of them; ``said`` is what the store has to say."""
        if "records" in frame.columns:
            # Without a question about opinions or earlier costs a file is right, but for what the store speaks of.
            folded = _Folded(frame, said, all_rows=self.opinions or self._query.cost_as_of is not None)
            if "recorded_cost" in frame.columns:
                frame = replaced(frame, folded.costs(self._query))
            if self.opinions:
                frame = frame.with_columns(folded.column(name) for name in _OPINIONS)
            if self._asks_opinions:
                frame = frame.filter(folded.match(self._query))
        asks_cost = any(getattr(self._query, name) is not None for name in COST_RANGES)
        if not (self._query.labels or asks_cost):
            return frame
        return frame.filter(pl.Series(list(self._rest_matches(frame)), dtype=pl.Boolean))

    def _rest_matches(self, frame: pl.DataFrame) -> Iterator[bool]:
        labels, cost = self._query.labels, cost_matcher(self._query)
        wanted = {storable(key): storable(value) for key, value in labels.items()}
        texts = frame["labels"] if wanted else [None] * frame.height
        amounts = frame["cost_usd"] if cost is not None else [None] * frame.height
        for text, amount in zip(texts, amounts, strict=True):
            held = _labels.decode(text) if text else {}
            yield all(held.get(key) == value for key, value in wanted.items()) and (cost is None or cost(amount))


class _Folded:
    """What is said of the operations of one frame: of all, or of those only of which the store has something to say."""

    def __init__(self, frame: pl.DataFrame, said: Said, *, all_rows: bool) -> None:
        self._frame = frame
        self._ids: list[str] = frame["operation_id"].to_list()
        self._flags, self._scores = FoldedFlags(), FoldedScores()
        # Row → the revisions of its cost.
        self._revisions: dict[int, list[CostRevision]] = {}
        for index, (operation_id, text) in enumerate(zip(self._ids, frame["records"], strict=True)):
            if all_rows or operation_id in said:
                for record in (*records_in(text), *said.get(operation_id, ())):
                    self._add(index, record)

    def _add(self, index: int, record: Record) -> None:
        if isinstance(record, Flag):
            self._flags.add(record)
        elif isinstance(record, Score):
            self._scores.add(record)
        elif isinstance(record, CostRevision):
            self._revisions.setdefault(index, []).append(record)

    def costs(self, query: Filter) -> dict[int, tuple[Any, ...]]:
        """Return the costs that are shown, of the rows that were costed again."""
        recorded = self._frame["recorded_cost"]
        found: dict[int, tuple[Any, ...]] = {}
        for index, revisions in self._revisions.items():
            seen = [one for one in revisions if is_seen(one, query)]
            newest = max(seen, key=lambda one: one.id, default=None)
            if newest is not None:
                found[index] = columns_of(newest.cost)
            elif recorded[index] is not None:
                found[index] = recorded_cost(recorded[index])
        return found

    def column(self, name: str) -> pl.Series:
        """Return the marks or the scores of each operation, as the databases do."""
        of: Callable[[str], str | None] = self._flags.of if name == "flags" else self._scores.of
        return pl.Series(name, [of(one) for one in self._ids], dtype=pl.String)

    def match(self, query: Filter) -> pl.Series:
        """Return which operations have the marks and the scores that a filter asks for."""
        reasons = query.flagged_for
        return pl.Series(
            [
                (reasons is None or self._flags.any_of(one, reasons)) and self._scores.match(one, query)
                for one in self._ids
            ],
            dtype=pl.Boolean,
        )
