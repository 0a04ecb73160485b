"""This module is where `aicore-obs drain --watch` finds what there is to deliver, and learns that it is to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aicore_obs import plugins
from aicore_obs.cli import screen
from aicore_obs.cli.orphans import steps
from aicore_obs.cli.places import beside, sink_address, state_journals
from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.pipeline.delivery import DeliveryOptions, SinkSpec
from aicore_obs.pipeline.drain import Drain, Shared
from aicore_obs.pipeline.others import journal_header
from aicore_obs.pipeline.owners import owner_folders
from aicore_obs.pipeline.segment import SegmentHeader
from aicore_obs.pipeline.stats import SinkStats
from aicore_obs.pipeline.writer import WriterOptions
from aicore_obs.protocols import Address

# How often a drain looks for workers that have come or gone.
LOOK_INTERVAL_S = 0.5


def watch(
    stores: Sequence[Address], *, journal: Path | None = None, unprocessed: bool = False
) -> list[tuple[str, SinkStats]]:
    """Deliver everything that comes for these stores until a signal says that it is enough; return the counts."""
    find = Finder(stores, journal=journal, unprocessed=unprocessed)
    screen.complain(f"watching for {', '.join(store.name for store in stores)}")
    with _signals() as stopped:
        return Drain(find, stopped=stopped, tell=screen.complain).run()


class Finder:
    """Finds the groups of journals that lead to some stores; says once why others are left."""

    def __init__(self, stores: Sequence[Address], *, journal: Path | None, unprocessed: bool) -> None:
        self._stores = list(stores)
        self._journal = journal
        self._unprocessed = unprocessed
        self._steps = steps()
        # Imported now, before there is a loop.
        self._sinks = {store.name: Shared(store.name, plugins.sink_builder(store)) for store in stores}
        self._headers: dict[Path, SegmentHeader] = {}
        self._told: set[str] = set()

    def __call__(self) -> list[WriterOptions]:
        """Return a writer's options for every group that is there now."""
        groups = {
            (directory, header.fingerprint): header
            for directory in self._directories()
            for header in self._headers_in(directory)
            if self._can_be_delivered(header)
        }
        return [self._options(directory, header) for (directory, _), header in groups.items()]

    def _directories(self) -> list[Path]:
        if self._journal is not None:
            return [self._journal.expanduser().absolute()]
        return [*beside(self._stores), *state_journals()]

    def _headers_in(self, directory: Path) -> Iterator[SegmentHeader]:
        for path in owner_folders(directory):
            header = self._headers.get(path) or journal_header(path)
            if header is not None:
                self._headers[path] = header
                yield header

    def _can_be_delivered(self, header: SegmentHeader) -> bool:
        wanted = {store.name for store in self._stores}
        if not wanted & set(header.sinks):
            return False
        missing = [name for name in header.sinks if sink_address(name, self._stores) is None]
        if missing:
            return self._leave(f"records for {', '.join(header.sinks)} wait; give the URL of {', '.join(missing)} too")
        if header.codec > CODEC_VERSION:
            return self._leave("records of a newer version of aicore-obs are left alone; update this one")
        if header.processors and not self._unprocessed:
            names = ", ".join(header.processors)
            return self._leave(
                f"records that their application runs {names} over are left to it; --unprocessed stores them without"
            )
        return True

    def _leave(self, why: str) -> bool:
        if why not in self._told:
            self._told.add(why)
            screen.complain(why)
        return False

    def _options(self, directory: Path, header: SegmentHeader) -> WriterOptions:
        return WriterOptions(
            directory=directory,
            fingerprint=header.fingerprint,
            sinks=[SinkSpec(name, lambda name=name: self._shared(name)) for name in header.sinks],  # type: ignore[misc]
            processors=self._steps,
            delivery=DeliveryOptions(),
            file_mode=self._stores[0].options.file_mode,
            gives_way=False,
            look_interval_s=LOOK_INTERVAL_S,
        )

    def _shared(self, name: str) -> Shared:
        address = sink_address(name, self._stores)
        if name not in self._sinks and address is not None:
            self._sinks[name] = Shared(name, plugins.sink_builder(address))
        return self._sinks[name]


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM and SIGINT while the block runs."""
    stopping = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stopping.set()) for number in numbers]
    try:
        yield stopping.is_set
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
