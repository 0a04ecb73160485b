"""This module is where the small differences between SQLite and PostgreSQL are kept, as column types.

Rows are written by the drivers themselves (see the stores); these types declare the columns and bind the values of
queries.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Dialect, Float, Integer, Numeric, Text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB, TIMESTAMP, UUID
from sqlalchemy.types import TypeDecorator, TypeEngine

from aicore_obs.model.cost import from_quanta, to_quanta
from aicore_obs.model.ids import from_microseconds, to_microseconds


class UtcMicroseconds(TypeDecorator[datetime]):
    """An aware UTC time: ``timestamptz`` in PostgreSQL, whole microseconds since 1970 in SQLite."""

    impl = Integer
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Integer()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else to_microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return value if value is None or dialect.name == "postgresql" else from_microseconds(value)


class Money(TypeDecorator[Decimal]):
    """An amount in US dollars with twelve places: ``numeric(38, 12)`` in PostgreSQL, whole 1e-12 USD in SQLite."""

    impl = Integer
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = Numeric(38, 12) if dialect.name == "postgresql" else Integer()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else to_quanta(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        return value if value is None or dialect.name == "postgresql" else from_quanta(value)


def record_id() -> TypeEngine[str]:
    """Return the type of ids: ``uuid`` in PostgreSQL, 36 characters of text in SQLite."""
    return Text().with_variant(UUID(as_uuid=False), "postgresql")


def json_text() -> TypeEngine[Any]:
    """Return the type of JSON that queries look into: ``jsonb`` in PostgreSQL, text in SQLite."""
    return Text().with_variant(JSONB(), "postgresql")


def number() -> TypeEngine[float]:
    """Return the type of measured quantities: 64-bit floats in both."""
    return Float().with_variant(DOUBLE_PRECISION(), "postgresql")


def count() -> TypeEngine[int]:
    """Return the type of counts: 64-bit integers in both."""
    return Integer().with_variant(BigInteger(), "postgresql")
