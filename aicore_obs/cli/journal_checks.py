"""This module is where `doctor` examines a journal's directory: orphans, strangers, dead letters, how full it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aicore_obs.cli.findings import Finding, finding
from aicore_obs.cli.screen import counted, size
from aicore_obs.cli.store_checks import check_modes
from aicore_obs.pipeline.dead_letters import DeadLetters
from aicore_obs.pipeline.survey import OwnerLook, foreign_files, look_at, survey

FULL_SHARE = 0.8
# A drain that is being restarted is back by then.
NO_DRAIN_S = 30.0


def check_journal(directory: Path, file_mode: int) -> Iterator[Finding]:
    """Yield what is wrong in one journal's directory."""
    looks = survey(directory)
    yield from _check_orphans(directory, looks)
    yield from _check_strangers(directory, looks)
    yield from _check_dead_letters(directory)
    yield from _check_room(directory)
    files = [path for path in directory.rglob("*") if path.suffix in (".seg", ".jsonl")]
    yield from check_modes(sorted(files), file_mode)


def _check_orphans(directory: Path, looks: Sequence[OwnerLook]) -> Iterator[Finding]:
    groups: dict[tuple[str, ...], list[OwnerLook]] = {}
    for look in looks:
        if not look.alive and not look.is_newer and look.waiting:
            groups.setdefault(look.sinks, []).append(look)
    for sinks, orphans in groups.items():
        waiting = counted(sum(look.waiting for look in orphans), "record")
        yield finding(
            "orphans",
            directory,
            f"{waiting} of {counted(len(orphans), 'dead owner')} wait for {', '.join(sinks)}",
            "the next start of the program delivers them, or `aicore-obs drain` with these stores now",
        )


def _check_strangers(directory: Path, looks: Sequence[OwnerLook]) -> Iterator[Finding]:
    for look in looks:
        if look.is_newer:
            way_out = "run `pip install -U aicore-obs` on this machine; until then they are left alone"
            yield finding("newer", look.path, "records of a newer version of aicore-obs wait here", way_out)
        elif look.header is None and not look.alive and any(look.path.glob("*.seg")):
            way_out = "restore the file from a copy, or move it away; nobody guesses what is in it"
            yield finding("unreadable-segment", look.path, "no readable segment: damaged from its start", way_out)
    strangers = foreign_files(directory)
    if strangers:
        names = ", ".join(str(path.relative_to(directory)) for path in strangers[:3])
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        yield finding("foreign", directory, f"not ours: {names}{more}", "move them away; they count toward the cap")


def _check_dead_letters(directory: Path) -> Iterator[Finding]:
    letters = DeadLetters(directory).all()
    if letters:
        last = letters[-1]
        yield finding(
            "dead-letters",
            directory,
            f"{counted(len(letters), 'dead letter')}, the last for {last.sink}: {last.reason}: {last.error}",
            f"`aicore-obs dead-letters list --journal {directory}`, mend the cause, then `retry`",
        )


def _check_room(directory: Path) -> Iterator[Finding]:
    look = look_at(directory)
    held, cap = look.bytes, look.max_bytes
    if look.drain_alive is False and (look.oldest_pending_s or 0) > NO_DRAIN_S:
        yield finding(
            "no-drain",
            directory,
            f"processes that only append live here, and nobody has delivered for {look.oldest_pending_s:.0f} s",
            "start `aicore-obs drain --watch` with these stores, for the same user",
        )
    if held > FULL_SHARE * cap:
        yield finding(
            "journal-full",
            directory,
            f"{size(held)} of {size(cap)} are used; at the cap new records are refused",
            "bring the store back, make room on the disk, or raise journal_max_bytes",
        )
