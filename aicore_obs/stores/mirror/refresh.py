"""This module is where a mirror becomes equal to one moment of its database: by what came since, or from the start.

When all that was inserted since is in, the mirror has every row of the database, and maybe some that are gone. So equal
numbers of rows mean equal rows, of the whole and of each span of time; a span with another number is read again.
"""

from __future__ import annotations

from contextlib import closing

import polars as pl

from aicore_obs.stores.frame import REVISION
from aicore_obs.stores.mirror.folder import Damaged, Folder, Listed, Part, Refused
from aicore_obs.stores.mirror.parts import Parts, TooLarge
from aicore_obs.stores.mirror.source import KEY, STORED, Frames, Moment, Unfit

# What is in a part, how, and what a mark looks like: a mirror of another layout is written anew.
LAYOUT = f"1 {' '.join(STORED)}"
# A mirror that was too large is tried again when so much of the database is gone.
_SHRUNK = 0.9


def is_equal(listed: Listed | None, moment: Moment) -> bool:
    """Return whether a mirror has what the database has, so that nothing is to be done."""
    if not _is_of(listed, moment) or listed is None or listed.refused or not moment.follows():
        return False
    is_as_many = (listed.rows, listed.revisions) == (moment.operations, moment.revisions)
    return is_as_many and not moment.news and not moment.recosted()


def is_refused(listed: Listed | None, moment: Moment, max_bytes: int) -> bool:
    """Return whether a mirror was too large, and would be again."""
    if listed is None or listed.refused is None or not _is_of(listed, moment):
        return False
    refused = listed.refused
    return max_bytes <= refused.max_bytes and moment.operations >= refused.operations * _SHRUNK


def refreshed(folder: Folder, listed: Listed | None, moment: Moment, *, max_bytes: int) -> Listed:
    """Make the mirror equal to the moment, and return its new list, which is in its place.

    Raises:
        TooLarge: it does not fit; that is on the list, too.
        Unfit: the database cannot be mirrored.
        Unwritable: the files cannot be written.
    """
    try:
        parts = _followed(folder, listed, moment, max_bytes) or _built(folder, moment, max_bytes)
    except TooLarge:
        refused = Refused(operations=moment.operations, max_bytes=max_bytes)
        _put_on_list(folder, moment, (), refused)
        raise
    return _put_on_list(folder, moment, parts.listed, None)


def _put_on_list(folder: Folder, moment: Moment, parts: tuple[Part, ...], refused: Refused | None) -> Listed:
    listed = Listed(
        layout=LAYOUT,
        identity=moment.identity,
        mark=moment.mark,
        revisions=moment.revisions,
        parts=parts,
        refused=refused,
    )
    folder.put_on_list(listed)
    folder.sweep(parts)
    return listed


def _is_of(listed: Listed | None, moment: Moment) -> bool:
    return listed is not None and listed.identity == moment.identity


def _built(folder: Folder, moment: Moment, max_bytes: int) -> Parts:
    parts = Parts(folder, max_bytes=max_bytes)
    with closing(_fit(moment.between((None, None)))) as frames:
        parts.add(frames)
    return parts


def _followed(folder: Folder, listed: Listed | None, moment: Moment, max_bytes: int) -> Parts | None:
    """Return the parts as they become by what came since; None when only a new start is sure."""
    if not _is_of(listed, moment) or listed is None or listed.refused or not moment.follows():
        return None
    parts = Parts(folder, listed.parts, max_bytes=max_bytes)
    recosted = moment.recosted()
    try:
        _put_all(parts, moment.came())
        _put_all(parts, moment.of(sorted(set(recosted))))
        if parts.rows != moment.operations:
            _leave_out(parts, moment)
        if listed.revisions + len(recosted) != moment.revisions:
            _put_all(parts, moment.of(_shown_otherwise(parts, moment)))
        parts.tidy()
    except Damaged:
        return None
    return parts if parts.rows == moment.operations else None


def _put_all(parts: Parts, found: Frames) -> None:
    with closing(_fit(found)) as frames:
        for frame in frames:
            parts.put(frame)


def _leave_out(parts: Parts, moment: Moment) -> None:
    """Read those spans again that have rows which the database has no more."""
    spans = parts.spans
    pairs = list(zip(parts.listed, moment.counts(spans), strict=True))
    for number, (part, count) in reversed(list(enumerate(pairs))):
        if part.rows != count:
            with closing(_fit(moment.between(spans[number]))) as frames:
                parts.instead(number, frames)


def _shown_otherwise(parts: Parts, moment: Moment) -> list[str]:
    """Return the operations whose newest revision is not the one that the mirror shows."""
    newest = moment.newest_revisions().rename({REVISION: "newest"})
    others: list[str] = []
    for frame in parts.revisions():
        both = frame.join(newest, on="operation_id", how="left")
        others.extend(both.filter(pl.col(REVISION).ne_missing(pl.col("newest")))["operation_id"])
    return others


def _fit(found: Frames) -> Frames:
    with closing(found):
        for frame in found:
            # A SQLite file that somebody else wrote into may have such rows.
            if any(frame[name].null_count() for name in KEY):
                raise Unfit("it has rows without a time or an id")
            if frame.height:
                yield frame
