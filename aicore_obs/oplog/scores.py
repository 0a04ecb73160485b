"""This module is where it is said what a score may be, and the record of one is made."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any

from aicore_obs.capture.plain import printable
from aicore_obs.capture.scrub import scrub
from aicore_obs.errors import ConfigurationError
from aicore_obs.model.events import Score
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.record import SCORE_VERSION
from aicore_obs.oplog.record import Record

Value = bool | float | str
_ID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def score_of(operation: str | Record, name: str, value: Value, *, comment: str | None, project: str | None) -> Score:
    """Return the record of a score.

    Raises:
        ConfigurationError: no id, no name, or what is neither a finite number, a bool nor a text; a ValueError, too.
    """
    return _record(operation, name, value=_checked(value), comment=comment, project=project)


def no_score_of(operation: str | Record, name: str, *, project: str | None) -> Score:
    """Return the record that takes a score away.

    Raises:
        ConfigurationError: no id or no name; a ValueError, too.
    """
    return _record(operation, name, value=None, comment=None, project=project)


def _record(operation: Any, name: Any, *, value: Value | None, comment: Any, project: str | None) -> Score:
    operation_id = operation.id if isinstance(operation, Record) else operation
    if not isinstance(operation_id, str) or not _ID.fullmatch(operation_id):
        raise ConfigurationError(f"{operation_id!r} is no id of an operation: give what save() returned, or a record")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"name={name!r}: say what is scored, such as 'helpful'")
    if comment is not None and not isinstance(comment, str):
        raise ConfigurationError(f"comment={comment!r}: a text is needed")
    return Score(
        id=new_id(),
        timestamp=utc_now(),
        v=SCORE_VERSION,
        project=project,
        operation_id=operation_id,
        name=printable(name),
        value=value,
        comment=comment and printable(scrub(comment)),
    )


def _checked(value: Any) -> Value:
    if isinstance(value, str) and value:
        return printable(scrub(value))
    if isinstance(value, bool):
        return value
    try:
        # NumPy's numbers are real ones, too.
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigurationError(
            f"value={value!r}: a finite number, True or False, or the text of a category is needed"
        )
    return number
