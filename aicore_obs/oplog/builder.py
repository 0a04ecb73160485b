"""This module is where one operation is put together, piece by piece, until it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self


class Saves(Protocol):
    """Who takes an operation that is described: a tracer."""

    def save(self, operation: Operation, /) -> str | None: ...

    async def asave(self, operation: Operation, /) -> str | None: ...


# Never changed, only replaced: most operations have some of it only.
_NOTHING: dict[str, Any] = {}


class Operation:
    """An operation that is being described; made by ``op()``, and nothing is recorded before :meth:`save`."""

    # What was not said stays with the class: making an operation is on every caller's path.
    model_name: str | None = None
    provider_name: str | None = None
    failure: BaseException | str | Mapping[str, Any] | None = None
    inputs: dict[str, Any] = _NOTHING
    outputs: dict[str, Any] = _NOTHING
    metadata: dict[str, Any] = _NOTHING
    tag_names: tuple[str, ...] = ()

    def __init__(self, tracer: Saves, operation: str) -> None:
        self._tracer = tracer
        self.operation = operation

    def model(self, name: str) -> Self:
        """Say which model did it."""
        self.model_name = name
        return self

    def provider(self, name: str) -> Self:
        """Say whose model it is, so that usage is read and priced by the provider's own rules."""
        self.provider_name = name
        return self

    def input(self, **inputs: Any) -> Self:
        """Add what went in; may be called again."""
        self.inputs = {**self.inputs, **inputs} if self.inputs else inputs
        return self

    def output(self, **outputs: Any) -> Self:
        """Add what came out; may be called again."""
        self.outputs = {**self.outputs, **outputs} if self.outputs else outputs
        return self

    def meta(self, **meta: Any) -> Self:
        """Add anything else; ``latency_ms`` and ``time_to_first_token_ms`` are the collector's columns, too."""
        self.metadata = {**self.metadata, **meta} if self.metadata else meta
        return self

    def tags(self, *tags: str) -> Self:
        """Add words to find it by."""
        self.tag_names += tags
        return self

    def error(self, error: BaseException | str | Mapping[str, Any]) -> Self:
        """Say that it failed: an exception keeps its type, message and stack."""
        self.failure = error
        return self

    def save(self) -> str | None:
        """Record it and return its id; None when it was refused at the journal's cap, or nothing is recorded at all.

        Needs no database, and waits for none: what has an id outlives this process. Under ``overflow="block"`` it may
        wait for room, but never on an event loop; :meth:`asave` does there.
        """
        return self._tracer.save(self)

    async def asave(self) -> str | None:
        """Do as :meth:`save`; where that one would wait, other tasks run."""
        return await self._tracer.asave(self)
