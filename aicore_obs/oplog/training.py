"""This module is where records become the rows of a training file: once each, without secrets, in splits, counted."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict

from aicore_obs.capture.redaction import without_secrets
from aicore_obs.capture.scrub import scrub
from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import attempt
from aicore_obs.oplog.fields import canonical, value_at
from aicore_obs.oplog.record import Record

Row = dict[str, Any]
Secrets = Literal["mask", "drop", "keep"]
SECRETS = ("mask", "drop", "keep")
_SPLIT_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TOLERANCE = 1e-9
_HASH_RANGE = 2**64


class TrainingOptions(TypedDict, total=False):
    """What becomes of rows on their way into a training file.

    ``split``: names with their shares, ``{"train": 0.9, "test": 0.1}``. Which one a row falls into is told by a hash of
    what was asked (``split_by``: of what stands at a dotted path), so that it stays there when others come, and the
    same question is never in two. ``deduplicate``: of equal rows only the first. ``secrets``: where something looks
    like a key or a password, ``"mask"`` it, ``"drop"`` the row, or ``"keep"`` it. ``redact``: called with each row;
    returns it, another one, or None to leave it out. ``tell``: called with the number of records looked at.
    """

    split: Mapping[str, float] | None
    split_by: str | None
    deduplicate: bool
    secrets: Secrets
    redact: Callable[[Row], Row | None] | None
    tell: Callable[[int], object] | None


class Training:
    """The rows of one export. ``counts`` says what became of every record; it is whole when all rows were taken."""

    def __init__(self, make: Callable[[Record], Row | str], options: Mapping[str, Any]) -> None:
        unknown = sorted(options.keys() - TrainingOptions.__annotations__.keys())
        if unknown:
            known = ", ".join(TrainingOptions.__annotations__)
            raise ConfigurationError(f"there is no option {', '.join(map(repr, unknown))}; options are: {known}")
        self._make = make
        self._split = _shares(options.get("split"))
        self._split_by = options.get("split_by")
        self._deduplicate = options.get("deduplicate", False)
        self._secrets = options.get("secrets", "keep")
        if self._secrets not in SECRETS:
            raise ConfigurationError(f"secrets={self._secrets!r}: one of {', '.join(SECRETS)} is needed")
        self._redact = options.get("redact")
        self._tell = options.get("tell")
        self._seen: set[bytes] = set()
        self.names: tuple[str | None, ...] = tuple(self._split) or (None,)
        self.counts: Counter[str] = Counter(read=0, written=0)
        self.since: datetime | None = None
        self.until: datetime | None = None

    def rows(self, records: Iterable[Record]) -> Iterator[tuple[str | None, Row]]:
        """Yield each row with the name of its split, in the order of the records."""
        for record in records:
            self.counts["read"] += 1
            if self._tell is not None:
                self._tell(self.counts["read"])
            row = self._row(record)
            if isinstance(row, str):
                self.counts[row] += 1
                continue
            self.counts["written"] += 1
            self._note(record)
            yield self._name(record, row), row

    def _row(self, record: Record) -> Row | str:
        """Return the row of a record, or the reason why it has none."""
        row = self._make(record)
        if isinstance(row, str):
            return row
        clean = row if self._secrets == "keep" else masked(row)
        if clean is not row and clean != row:
            if self._secrets == "drop":
                return "secrets_dropped"
            self.counts["secrets_masked"] += 1
            row = clean
        if self._redact is not None:
            redacted = self._redact(row)
            if redacted is None:
                return "redacted"
            row = redacted
        return "duplicates" if self._deduplicate and self._is_known(row) else row

    def _is_known(self, row: Row) -> bool:
        digest = hashlib.sha256(canonical(row)).digest()[:16]
        known = digest in self._seen
        self._seen.add(digest)
        return known

    def _name(self, record: Record, row: Row) -> str | None:
        if not self._split:
            return None
        key = _asked(record, row) if self._split_by is None else value_at(record, self._split_by)
        digest = hashlib.sha256(canonical(key)).digest()
        place = int.from_bytes(digest[:8], "big") / _HASH_RANGE
        names = list(self._split)
        return next((name for name in names if place < self._split[name]), names[-1])

    def _note(self, record: Record) -> None:
        when = record.created_at
        self.since = when if self.since is None else min(self.since, when)
        self.until = when if self.until is None else max(self.until, when)


def _asked(record: Record, row: Row) -> Any:
    """Return what was asked: the same conversation at another temperature is the same question."""
    messages = row.get("messages")
    return messages[:-1] if isinstance(messages, list) else record.inputs


def masked(value: Any) -> Any:
    """Return plain data without what looks like a secret, in what people say and models write, too."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [masked(one) for one in value]
    if isinstance(value, dict):
        # The telling names first, whose values need not look like anything.
        return {key: masked(one) for key, one in without_secrets(value).items()}
    return value


def _shares(split: Any) -> dict[str, float]:
    """Return each split with the upper end of its share.

    Raises:
        ConfigurationError: no names that a file could have, or shares that do not add up to 1.
    """
    if split is None:
        return {}
    shares = attempt(lambda: {name: float(share) for name, share in split.items()}).value
    named = shares and all(isinstance(name, str) and _SPLIT_NAME.fullmatch(name) for name in shares)
    if not shares or not named or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > _TOLERANCE:
        raise ConfigurationError(
            f"split={split!r}: names (letters, digits, _ and -) with shares that add up to 1 are needed, such as "
            "{'train': 0.9, 'test': 0.1}"
        )
    ends, end = {}, 0.0
    for name, share in shares.items():
        end += share
        ends[name] = end
    return ends
