"""This module is where one sink's place in one journal is kept, and the batch that is on its way from there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from aicore_obs.guard import log_window
from aicore_obs.pipeline.chunk import Source
from aicore_obs.pipeline.owners import Position, SinkPosition
from aicore_obs.pipeline.ready import Ready


class Cursor:
    """One sink's place in one source.

    ``save`` keeps the positions of all sinks and may raise OSError; ``passed`` is called after every step forward.
    """

    def __init__(
        self,
        source: Source,
        position: SinkPosition,
        *,
        ours: bool,
        save: Callable[[], None],
        passed: Callable[[], None] = lambda: None,
    ) -> None:
        self.source = source
        self.position = position
        self.ours = ours
        self._save = save
        self._passed = passed
        # What a crash may have left half-written is looked for until all has been delivered that was there then: the
        # whole journal, or what a journal that grows held when we came.
        self._keep_note = position.noted is not None and not ours
        self.noted_until: Position | None = None
        self.held = False
        # No further batch is taken from here; ``busy`` while one is on its way.
        self.retired = False
        self.busy = False
        self.ready: Ready | None = None
        self.ahead: Ready | None = None

    @property
    def at(self) -> Position:
        """Return the position after the last record that is settled."""
        return self.position.at

    def has_more(self) -> bool:
        """Return whether records wait."""
        return not (self.held or self.retired) and self.position.at < self.source.end()

    def note(self, value: int) -> None:
        """Keep a sink's note of where it begins to write; the first one of an unsettled batch counts."""
        if self.position.noted is None:
            self.position.noted = value
            try:
                self._save()
            except OSError:
                # What a sink writes on the word of a note that is not kept would be written twice after a crash.
                self.position.noted = None
                raise

    def advance(self, at: Position) -> None:
        """Everything before ``at`` is settled."""
        self.position.at = at
        if self.noted_until is not None and at >= self.noted_until:
            self._keep_note = False
        if not self._keep_note:
            self.position.noted = None
        try:
            self._save()
        except OSError as error:
            # The old ones stay, and the next start delivers a little again.
            log_window.warn("positions", f"positions of the journal cannot be kept: {error}")
        self._passed()

    def tell(self, error: str | None) -> None:
        """Keep why the sink takes nothing, for whoever looks at the journal from outside."""
        if self.position.error != error:
            self.position.error = error
            with suppress(OSError):
                self._save()
