"""This module is where sinks are made that are slow, sick, or picky, each in one way."""

from __future__ import annotations

from collections.abc import Collection

import anyio

from aicore_obs.errors import SinkRejected, SinkUnavailable
from aicore_obs.protocols import Batch


class Healthy:
    """Keeps ids in memory, in the order of their arrival."""

    def __init__(self, name: str = "healthy:sink") -> None:
        self.name = name
        self.ids: list[str] = []

    async def open(self) -> None:
        """Nothing to open."""

    async def write(self, batch: Batch) -> None:
        """Keep the ids."""
        self.ids += [record.id for record in batch.records]

    async def aclose(self) -> None:
        """Nothing to close."""


class Slow(Healthy):
    """Takes its time over every batch."""

    def __init__(self, seconds: float) -> None:
        super().__init__("slow:sink")
        self._seconds = seconds

    async def write(self, batch: Batch) -> None:
        await anyio.sleep(self._seconds)
        await super().write(batch)


class Down(Healthy):
    """Takes nothing while ``is_down``."""

    def __init__(self) -> None:
        super().__init__("down:sink")
        self.is_down = True

    async def write(self, batch: Batch) -> None:
        if self.is_down:
            raise SinkUnavailable("down for the test")
        await super().write(batch)


class Hanging(Healthy):
    """Never answers while ``hangs``."""

    def __init__(self) -> None:
        super().__init__("hanging:sink")
        self.hangs = True

    async def write(self, batch: Batch) -> None:
        if self.hangs:
            await anyio.sleep_forever()
        await super().write(batch)


class Picky(Healthy):
    """Rejects a batch that holds one of certain session ids."""

    def __init__(self, poison: Collection[str]) -> None:
        super().__init__("picky:sink")
        self._poison = frozenset(poison)

    async def write(self, batch: Batch) -> None:
        if any(record.session_id in self._poison for record in batch.records):
            raise SinkRejected("poison")
        await super().write(batch)


class Raising(Healthy):
    """Raises the same thing at every write while ``error`` is set."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("raising:sink")
        self.error: BaseException | None = error

    async def write(self, batch: Batch) -> None:
        if self.error is not None:
            raise self.error
        await super().write(batch)
