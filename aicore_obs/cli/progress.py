"""This module is where long work shows how far it is: a bar on stderr, and only where somebody can see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aicore_obs.cli import screen

Tell = Callable[[int], object]


@contextmanager
def progress(words: str, total: Callable[[], int | None] = lambda: None) -> Iterator[Tell]:
    """Show a bar while the block runs; call what is given with the number that is done.

    ``total`` is asked only when the bar is shown: it may cost a look at the whole store.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen.err, disable=not screen.err.is_terminal) as bar:
        task = bar.add_task(screen.plain(words), total=None if bar.disable else total())
        yield lambda done: bar.update(task, completed=done)
