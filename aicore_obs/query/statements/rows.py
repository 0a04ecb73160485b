"""This module is where one row of a statement is read, value by value, with errors that say where it stands.

Amounts become :class:`~decimal.Decimal` from their text: no value passes through a binary float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from aicore_obs.errors import StatementError
from aicore_obs.model.cost import EXACT, money

# What a Decimal(38, 12) column holds.
_MAX_AMOUNT = Decimal(10) ** 25
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_UNIX = re.compile(r"\d{9,13}(\.\d+)?")
_MILLISECONDS_FROM = 10**11
_MAX_COUNT = 2**62


class Row:
    """One row: its number as a spreadsheet shows it (the header is row 1) and its values by column.

    The names of a CSV file's columns are lower case with ``_`` for spaces. An empty text counts as no value.
    """

    def __init__(self, file: str, number: int, values: Mapping[str, Any]) -> None:
        self.file = file
        self.number = number
        self.values = values

    def text(self, *columns: str) -> str | None:
        """Return the first of these columns that has a value, as text."""
        for column in columns:
            value = self.values.get(column)
            if value is not None and str(value).strip():
                return str(value).strip()
        return None

    def amount(self, column: str) -> Decimal | None:
        """Return an amount as it is written, not rounded.

        Raises:
            StatementError: there is a value and it is no finite number.
        """
        text = self.text(column)
        if text is None:
            return None
        plain = text.removeprefix("$")
        plain = plain.replace(",", "") if _GROUPED.fullmatch(plain) else plain
        try:
            amount = Decimal(plain)
        except InvalidOperation as error:
            raise self.error(column, text, "an amount") from error
        if isinstance(self.values.get(column), bool) or not amount.is_finite() or amount.copy_abs() > _MAX_AMOUNT:
            raise self.error(column, text, "an amount")
        return amount

    def money(self, column: str, *, minor_units: int = 1) -> Decimal | None:
        """Return an amount in US dollars with twelve places; ``minor_units`` of the column make a dollar."""
        amount = self.amount(column)
        return None if amount is None else money(EXACT.divide(amount, Decimal(minor_units)))

    def needed_money(self, column: str, *, minor_units: int = 1) -> Decimal:
        """Do as :meth:`money`; a row without an amount is an error, since unknown is not zero."""
        money = self.money(column, minor_units=minor_units)
        if money is None:
            raise self.error(column, self.values.get(column), "an amount")
        return money

    def count(self, *columns: str) -> int | None:
        """Return the first of these columns that has a value, as a whole number.

        Raises:
            StatementError: the value is no whole number of 0 or more.
        """
        column = next((one for one in columns if self.text(one) is not None), None)
        number = None if column is None else self.amount(column)
        if column is None or number is None:
            return None
        if number != number.to_integral_value() or not 0 <= number < _MAX_COUNT:
            raise self.error(column, self.values[column], "a whole number of 0 or more")
        return int(number)

    def time(self, *columns: str) -> datetime | None:
        """Return the first of these columns that has a value, as a time in UTC; a time without a zone is UTC.

        Raises:
            StatementError: the value is neither seconds since 1970 nor an ISO 8601 date or time.
        """
        column = next((one for one in columns if self.text(one) is not None), None)
        if column is None:
            return None
        text = str(self.text(column))
        try:
            return _time(text)
        except (ValueError, OverflowError, OSError) as error:
            raise self.error(column, text, "a date or time such as 2026-01-31T00:00:00Z") from error

    def needed_time(self, *columns: str) -> datetime:
        """Do as :meth:`time`; a row without one is an error."""
        time = self.time(*columns)
        if time is None:
            raise self.error(columns[0], None, "a date or time such as 2026-01-31T00:00:00Z")
        return time

    def check_currency(self, column: str) -> None:
        """Raise unless the currency is the US dollar, or is not said.

        Raises:
            StatementError: another currency.
        """
        currency = self.text(column)
        if currency is not None and currency.upper() != "USD":
            raise StatementError(
                f"{self.file}, row {self.number}, column {column}: the currency is {currency}; costs are kept in USD, "
                "so export the statement in USD"
            )

    def error(self, column: str, value: object, needed: str) -> StatementError:
        """Return the error for a value that cannot be read."""
        return StatementError(f"{self.file}, row {self.number}, column {column}: {value!r}: {needed} is needed")


def _time(text: str) -> datetime:
    if _UNIX.fullmatch(text):
        seconds = Decimal(text)
        seconds = seconds / 1000 if seconds >= _MILLISECONDS_FROM else seconds
        return datetime.fromtimestamp(float(seconds), UTC)
    time = datetime.fromisoformat(text.removesuffix(" UTC"))
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
