"""This module is where facts get a face: HTML in notebooks, colours in terminals, text and JSON for everything else."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rich.console import Console, RenderableType

from aicore_obs.display import page, pages, terminal
from aicore_obs.display.facts import Conversation, Facts, OperationFacts, TraceTree, to_dict

_HTML: dict[type, Callable[..., str]] = {
    OperationFacts: pages.operation,
    Conversation: pages.conversation,
    TraceTree: pages.trace,
}
_TERMINAL: dict[type, Callable[..., RenderableType]] = {
    OperationFacts: terminal.operation,
    Conversation: terminal.conversation,
    TraceTree: terminal.trace,
}
F = TypeVar("F", bound=Facts)
# Lines of text that nobody's terminal gives a width are so wide, at most.
_WIDEST = 120


class Shown(Generic[F]):
    """An operation, a conversation or a trace that shows itself.

    The last expression of a notebook's cell is shown as HTML, ``rich.print(…)`` writes it in colours, ``print(…)``
    without. ``facts`` has everything as attributes, :meth:`to_dict` and :meth:`to_json` as plain data. ``full`` says
    that long texts and large trees are shown whole.
    """

    def __init__(self, facts: F, *, full: bool = False) -> None:
        self.facts = facts
        self.full = full

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as what JSON has; amounts are text, times ISO 8601, unknown is None."""
        return to_dict(self.facts)

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return the facts as JSON."""
        return json.dumps(self.to_dict(), indent=indent, default=str)

    def to_html(self) -> str:
        """Return a whole page of HTML, which runs and loads nothing."""
        return page.document(f"{type(self.facts).__struct_config__.tag} {self.facts.id}", self._repr_html_())

    def _repr_html_(self) -> str:
        return _HTML[type(self.facts)](self.facts, full=self.full)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def __rich__(self) -> RenderableType:
        return _TERMINAL[type(self.facts)](self.facts, full=self.full)

    def __repr__(self) -> str:
        text = io.StringIO()
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        Console(file=text, width=width, color_system=None, highlight=False, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
