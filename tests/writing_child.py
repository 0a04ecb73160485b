"""This module is where a child process writes into a store: ``python -m tests.writing_child KIND PLACE BATCHES SIZE``.

It prints the id of every record whose batch was stored.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aicore_obs.protocols import Address, Sink, StoreOptions
from tests import records


def _main(kind: str, place: str, batches: int, size: int) -> None:
    path = None if kind == "postgresql" else Path(place)
    url = place if path is None else None

    async def work(sink: Sink) -> None:
        for _ in range(batches):
            given = records.operations(size)
            await sink.write(records.batch(given))
            print(*(one.id for one in given), flush=True)

    records.with_sink(Address(kind=kind, name=kind, path=path, url=url, options=StoreOptions()), work)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
