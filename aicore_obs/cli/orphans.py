"""This module is where it is found out what dead processes left, where it belongs, and where it is delivered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from aicore_obs import plugins
from aicore_obs.cli import screen
from aicore_obs.cli.places import sink_address
from aicore_obs.costing import costed_by_settings
from aicore_obs.pipeline.delivery import DeliveryOptions, SinkSpec
from aicore_obs.pipeline.owners import Owner, SinkPosition
from aicore_obs.pipeline.processors import normalise
from aicore_obs.pipeline.road import Road, RoadOptions
from aicore_obs.pipeline.role import DELIVERY, Role
from aicore_obs.pipeline.stats import FlushResult
from aicore_obs.pipeline.survey import OwnerLook, survey
from aicore_obs.pipeline.writer import WriterOptions
from aicore_obs.protocols import Address, Processor

# How long one look at the progress takes.
SLICE_S = 0.25
NEIGHBOUR_S = 1.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one fingerprint's dead owners left in one directory, and the sinks that it goes to."""

    directory: Path
    fingerprint: str
    sinks: tuple[Address, ...]
    owners: tuple[OwnerLook, ...]

    @property
    def file_mode(self) -> int:
        """Return the mode of the files that are made."""
        return self.sinks[0].options.file_mode

    @property
    def meant_for(self) -> set[str]:
        """Return the names of the sinks that the records were accepted for."""
        return {name for owner in self.owners for name in owner.sinks}


class Plan(msgspec.Struct, kw_only=True):
    """What will be delivered, and, in words, what cannot be."""

    loads: list[Load] = []
    left: list[str] = []


def plan_for(directories: Iterable[Path], stores: Sequence[Address], *, unprocessed: bool = False) -> Plan:
    """Plan the delivery of what waits for these stores, to the sinks that it was accepted for."""
    names = {store.name for store in stores}
    plan = Plan()
    for directory in directories:
        for owners in _dead(directory, plan, unprocessed=unprocessed):
            sinks = owners[0].sinks
            found = [sink_address(name, stores) for name in sinks]
            missing = [name for name, one in zip(sinks, found, strict=True) if one is None]
            if not names & set(sinks):
                continue
            if missing:
                plan.left.append(
                    f"{directory}: {_waiting(owners)} for {', '.join(sinks)}; give the URL of {', '.join(missing)} too"
                )
            else:
                plan.loads.append(_load(directory, owners, [one for one in found if one is not None]))
    return plan


def plan_rescue(directory: Path, target: Address, *, unprocessed: bool = False) -> Plan:
    """Plan the delivery of everything that dead processes left in a directory, to one sink."""
    plan = Plan()
    plan.loads += [_load(directory, owners, [target]) for owners in _dead(directory, plan, unprocessed=unprocessed)]
    return plan


def prepare_rescue(load: Load) -> None:
    """Let the new sink begin where the sinks that the records were meant for have all got to."""
    names = [sink.name for sink in load.sinks]
    role = None
    if any(look.is_external for look in load.owners):
        role = Role.take(DELIVERY, load.directory, load.fingerprint, file_mode=load.file_mode)
    for look in load.owners:
        owner = Owner.take(look.path, file_mode=load.file_mode) if role is not None or not look.is_external else None
        if owner is None:
            # It lives after all, or a drain delivers it.
            continue
        try:
            known = owner.load_positions(look.sinks)
            new = owner.load_positions(names)
            for name in set(names) - known.keys():
                if new[name] == SinkPosition():
                    # Noted from the start: a file may be the old sink under another name, and has no unique key.
                    new[name] = SinkPosition(at=min(one.at for one in known.values()), noted=0)
            owner.save_positions({**known, **new})
        finally:
            owner.release()
    if role is not None:
        role.release()


def deliver(load: Load, *, patience_s: float, tell: Callable[[FlushResult], None]) -> FlushResult:
    """Deliver a load on a road of its own, which ends when all is done or nothing has moved for ``patience_s``."""
    road = Road(_road_options(load))
    try:
        settled, since, patience = -1, time.monotonic(), patience_s
        while any(look.path.exists() for look in load.owners) and time.monotonic() - since < patience:
            result = road.flush(SLICE_S)
            tell(result)
            # Nothing pending and a folder is there: a living neighbour was faster and delivers it.
            patience = patience_s if result.pending else min(patience_s, NEIGHBOUR_S)
            now = sum(sink.settled for sink in result.sinks.values())
            if now != settled:
                settled, since = now, time.monotonic()
    finally:
        # Counted after the last step; what a sink does not take stays where it is.
        result = road.close(SLICE_S)
    return result


def steps() -> tuple[Processor, ...]:
    """Return what is done to records here on their way: what every collector does, and no application's own steps."""
    return (normalise(costed_by_settings()),)


def _dead(directory: Path, plan: Plan, *, unprocessed: bool) -> list[list[OwnerLook]]:
    """Return the owners that can be delivered for, by fingerprint; say why others are left."""
    groups: dict[str, list[OwnerLook]] = {}
    for look in survey(directory):
        if look.alive:
            continue
        if look.header is None:
            if any(look.path.glob("*.seg")):
                plan.left.append(f"{look.path}: no readable segment; left alone")
        elif look.is_newer:
            plan.left.append(f"{look.path}: written by a newer version of aicore-obs; left alone, update this one")
        elif look.header.processors and not unprocessed:
            plan.left.append(
                f"{look.path}: its application runs {', '.join(look.header.processors)} over its records: start it "
                "again, or --unprocessed stores them without"
            )
        else:
            groups.setdefault(look.header.fingerprint, []).append(look)
    return list(groups.values())


def _load(directory: Path, owners: Sequence[OwnerLook], sinks: Sequence[Address]) -> Load:
    header = owners[0].header
    fingerprint = header.fingerprint if header is not None else ""
    return Load(directory=directory, fingerprint=fingerprint, sinks=tuple(sinks), owners=tuple(owners))


def _waiting(owners: Sequence[OwnerLook]) -> str:
    return screen.counted(sum(owner.waiting for owner in owners), "record")


def _road_options(load: Load) -> RoadOptions:
    writer = WriterOptions(
        directory=load.directory,
        fingerprint=load.fingerprint,
        sinks=[SinkSpec(one.name, plugins.sink_builder(one)) for one in load.sinks],
        processors=steps(),
        delivery=DeliveryOptions(),
        file_mode=load.file_mode,
        # A rescue leads elsewhere than the living mean.
        follow=False,
    )
    # Nothing is recorded here: a journal in memory leaves no folder behind.
    return RoadOptions(writer=writer, durability="memory")
