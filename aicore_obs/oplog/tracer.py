"""This module is where a tracer is: a project, a store, and a collector that carries what is saved there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, Unpack

import msgspec

from aicore_obs.assembly import DoorOptions
from aicore_obs.capture.plain import printable
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.errors import JournalFull
from aicore_obs.guard import attempt, log_window
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.record import FIRST_VERSION
from aicore_obs.model.scope import Scope
from aicore_obs.oplog.builder import Operation
from aicore_obs.oplog.database import Database
from aicore_obs.oplog.mapping import quantities_of, request_of
from aicore_obs.oplog.runs import Run, current_run
from aicore_obs.pipeline.stats import FlushResult, Stats
from aicore_obs.settings import from_environment

# How long entering a run waits for records of its own that may still be on their way.
_ENTRY_FLUSH_S = 2.0


class Tracer:
    """Traces operations of one project into one store.

    Args:
        project: kept with every operation; what ``db`` asks about when nothing else is said.
        backend: ``sqlite:///file``, ``postgresql://user:password@host/database``, or the path of a ``.json``,
            ``.jsonl`` or SQLite file; a missing file and its folders are made. None: as for a collector
            (``AICORE_OBS_DB_URL``, else ``aicore_obs.db``).
        options: those of :class:`~aicore_obs.collector.LlmOperationCollector`.

    Tracers do not know each other: a run of one has no part in the operations of another.
    """

    def __init__(
        self,
        project: str | None = None,
        backend: str | Path | None = None,
        **options: Unpack[DoorOptions],
    ) -> None:
        if backend is not None:
            options = {**options, "sinks": [backend, *options.get("sinks", ())]}
        self.project = project
        self.collector = LlmOperationCollector(project=project, **options)
        self.db = Database(lambda: self)
        self._may_wait = options.get("overflow") == "block"
        enabled = options.get("enabled")
        self.is_on = from_environment().enabled if enabled is None else enabled

    def op(self, operation: str) -> Operation:
        """Start to describe an operation; its type is free text."""
        return Operation(self, operation)

    def run(self, run_id: str | None = None, **metadata: Any) -> Run:
        """Return a run, for ``with`` or ``async with``: what is saved in the block belongs to it.

        Args:
            run_id: None: one is made. A run that is known already goes on with its numbering.
            metadata: becomes part of the meta of each operation, whose own values go first.
        """
        return Run(self, run_id, metadata)

    # -- for operations and runs -----------------------------------------------------------------------------------

    def save(self, operation: Operation) -> str | None:
        """Record an operation as it is now, in the run that this task or thread is in."""
        request, options = self._described(operation)
        if self._may_wait and _on_a_loop():
            return self.collector.offer_completion(request, operation.operation, operation.provider_name, **options)
        return self.collector.record_completion(request, operation.operation, operation.provider_name, **options)

    async def asave(self, operation: Operation) -> str | None:
        """Do as :meth:`save`; where that one would wait, other tasks run."""
        request, options = self._described(operation)
        collector = self.collector
        return await collector.arecord_completion(request, operation.operation, operation.provider_name, **options)

    def _described(self, operation: Operation) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the request of an operation, and what else ``record_completion`` is told; the response among it."""
        meta = operation.metadata
        options: dict[str, Any] = quantities_of(meta) if meta else {}
        if operation.outputs:
            options["response"] = operation.outputs
        run = current_run(self)
        if run is not None:
            options["run_id"], options["seq"] = run.id, run.next_seq()
            meta = {**run.metadata, **meta} if run.metadata else meta
        if meta:
            options["extras"] = meta
        if operation.tag_names:
            options["tags"] = operation.tag_names
        if operation.failure is not None:
            options["error"] = operation.failure
        return request_of(operation.model_name, operation.inputs), options

    @property
    def place(self) -> tuple[str, ...]:
        """Where the operations go, with the project."""
        return (*(one.name for one in self.collector.addresses), self.project or "")

    def next_seq(self, run_id: str) -> int:
        """Return the number after the highest that the store has of a run; 0 where the store cannot be asked."""
        if not self.is_on:
            return 0
        self.collector.flush(timeout_s=_ENTRY_FLUSH_S)
        answer = attempt(self.db.highest_seq, run_id)
        if answer.error is not None:
            log_window.warn("run", f"a run is numbered from 0, since the store cannot be asked: {answer.error}")
        return 0 if answer.value is None else answer.value + 1

    def tell(self, run: Run, *, ended: bool, error: BaseException | None = None) -> None:
        """Record that a run was entered or left."""
        body: dict[str, Any] = {}
        if run.parent is not None:
            body["parent_run_id"] = printable(run.parent.id)
        if error is not None:
            body["error"] = type(error).__name__
        run_id = printable(run.id)
        scope = Scope(
            id=new_id(),
            timestamp=utc_now(),
            v=FIRST_VERSION,
            project=self.project,
            run_id=run_id,
            scope="run",
            change="ended" if ended else "opened",
            scope_id=run_id,
            body=msgspec.Raw(msgspec.json.encode(body)) if body else msgspec.UNSET,
        )
        with suppress(JournalFull):
            self.collector.record(scope)

    # -- flush, close ----------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 30) -> FlushResult:
        """Bring everything that was saved into the store, and return the truth about it in time."""
        return self.collector.flush(timeout_s)

    async def aflush(self, timeout_s: float = 30) -> FlushResult:
        """Do as :meth:`flush`; other tasks run meanwhile."""
        return await self.collector.aflush(timeout_s)

    def stats(self) -> Stats:
        """Return what became of everything that was saved."""
        return self.collector.stats()

    def close(self, timeout_s: float = 10) -> FlushResult:
        """Flush and end; harmless twice."""
        return self.collector.close(timeout_s)

    async def aclose(self, timeout_s: float = 10) -> FlushResult:
        """Do as :meth:`close`; other tasks run meanwhile."""
        return await self.collector.aclose(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
