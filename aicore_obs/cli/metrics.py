"""This module is where the state of journals becomes metrics, in Prometheus' text exposition format (version 0.0.4).

Names end in their unit, counters in ``_total``; what a name means stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aicore_obs.pipeline.owners import SinkPosition
from aicore_obs.pipeline.survey import JournalLook, OwnerLook

PREFIX = "aicore_obs_"
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
Labels = dict[str, str]
Samples = Iterator[tuple[Labels, float]]


class Metric(NamedTuple):
    """A name without its prefix, ``gauge`` or ``counter``, what it means, and its numbers with their labels."""

    name: str
    kind: str
    help: str
    samples: Samples


def metrics(looks: Sequence[JournalLook]) -> str:
    """Return the metrics of some journals; one that has no number just now still says what it is."""
    return "".join(line for metric in [*_of_journals(looks), *_of_sinks(looks)] for line in _lines(metric))


def _of_journals(looks: Sequence[JournalLook]) -> Iterator[Metric]:
    yield Metric(
        "journal_bytes",
        "gauge",
        "Size of everything in the directory of a journal.",
        ((_labels(look), look.bytes) for look in looks),
    )
    yield Metric(
        "journal_max_bytes",
        "gauge",
        "Cap of the directory of a journal, past which new records are refused.",
        ((_labels(look), look.max_bytes) for look in looks),
    )
    yield Metric(
        "dead_letters",
        "gauge",
        "Records that are kept aside in a journal, each for one sink.",
        ((_labels(look), look.dead_letters) for look in looks),
    )
    yield Metric(
        "drain_alive",
        "gauge",
        "1 when somebody delivers for the living processes that only append, 0 when nobody does.",
        ((_labels(look), look.drain_alive) for look in looks if look.drain_alive is not None),
    )
    yield Metric(
        "processes",
        "gauge",
        "Processes that have a place in a journal, by whether they live.",
        (
            ({**_labels(look), "state": state}, sum(one.alive is alive for one in look.owners))
            for look in looks
            for state, alive in (("alive", True), ("dead", False))
        ),
    )
    yield Metric(
        "oldest_pending_seconds",
        "gauge",
        "Age of the oldest record of a process that some sink does not have yet, 0 when none waits.",
        ((_labels(look, one), one.oldest_pending_s or 0.0) for look in looks for one in look.owners),
    )


def _of_sinks(looks: Sequence[JournalLook]) -> Iterator[Metric]:
    yield Metric(
        "pending_records",
        "gauge",
        "Records of a process that a sink does not have yet.",
        (
            (_labels(look, one, sink), count)
            for look in looks
            for one in look.owners
            for sink, count in one.pending.items()
        ),
    )
    yield Metric(
        "sink_failing",
        "gauge",
        "1 when a sink takes nothing of a process just now; `aicore-obs stats --json` says why.",
        ((labels, one.error is not None) for labels, one in _positions(looks)),
    )
    yield Metric(
        "stored_records_total",
        "counter",
        "Records of a process that a sink has committed.",
        ((labels, one.stored) for labels, one in _positions(looks)),
    )
    yield Metric(
        "dead_lettered_records_total",
        "counter",
        "Records of a process that a sink will never take, kept aside.",
        ((labels, one.dead_lettered) for labels, one in _positions(looks)),
    )
    yield Metric(
        "dropped_records_total",
        "counter",
        "Records of a process that a sink does not get, by reason.",
        (
            ({**labels, "reason": reason}, count)
            for labels, one in _positions(looks)
            for reason, count in one.dropped.items()
        ),
    )


def _positions(looks: Sequence[JournalLook]) -> Iterator[tuple[Labels, SinkPosition]]:
    for look in looks:
        for one in look.owners:
            yield from ((_labels(look, one, sink), position) for sink, position in one.positions.items())


def _labels(look: JournalLook, owner: OwnerLook | None = None, sink: str | None = None) -> Labels:
    labels = {"journal": str(look.directory)}
    if owner is not None:
        pid = str(owner.header.pid) if owner.header is not None else ""
        labels |= {"owner": owner.path.name, "pid": pid}
    return labels | ({"sink": sink} if sink is not None else {})


def _lines(metric: Metric) -> Iterator[str]:
    name = PREFIX + metric.name
    yield f"# HELP {name} {metric.help.translate(_HELP_ESCAPES)}\n# TYPE {name} {metric.kind}\n"
    for labels, value in metric.samples:
        text = ",".join(f'{label}="{one.translate(_LABEL_ESCAPES)}"' for label, one in labels.items())
        yield f"{name}{{{text}}} {float(value) if isinstance(value, float) else int(value)}\n"
