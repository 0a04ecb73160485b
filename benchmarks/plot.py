"""This module is where the figures of a run are drawn: the ratios to the floors, and the peers beside ours."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.peers import catalogue
from benchmarks.peers.side_by_side import Survival
from benchmarks.report import Run

OURS, OTHERS, FLOOR = "#1a7f5a", "#8a93a5", "#b3261e"


def draw(run: Run, path: Path) -> None:
    """Write an SVG; without matplotlib (``pip install 'aicore-obs[bench]'``) say so and leave it."""
    # What an earlier run has drawn says nothing about this one.
    path.unlink(missing_ok=True)
    if importlib.util.find_spec("matplotlib") is None:
        print("no plot: pip install 'aicore-obs[bench]'", file=sys.stderr)
        return
    # Only here, since everything else runs without it.
    from matplotlib.figure import Figure as Drawing

    ratios = [one for one in run.figures if one.ratio is not None and one.what in _DRAWN]
    costs = [one for one in run.figures if one.what.endswith(", mean") and one.unit == "µs"]
    survival = [one for one in run.survival if one.offered]
    panels = [(_ratios, ratios, 0.24), (_costs, costs, 0.24), (_survival, survival, 0.48)]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return
    heights = [0.8 + each * len(some) for _, some, each in panels]
    drawing = Drawing(figsize=(11, sum(heights)), layout="constrained")
    axes = drawing.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for one, (paint, some, _) in zip(axes, panels, strict=True):
        paint(one, some)
        one.invert_yaxis()
        one.tick_params(axis="y", labelsize=7)
    drawing.savefig(path, format="svg", metadata={"Date": None})


_DRAWN = ("p50", "speed", "time", "wall", "accepted", "stored", "resident, peak")


def _ratios(axes: Any, figures: Sequence[Figure]) -> None:
    """Draw how many times the floor everything takes; of speeds, the other way round, so that less is better."""
    names = [f"{one.group}: {one.case} ({one.what})" for one in figures]
    ratios = [1 / one.ratio if one.more_is_better else one.ratio for one in figures if one.ratio]
    axes.barh(names, ratios, color=OURS)
    axes.axvline(1, color=FLOOR, linewidth=1)
    axes.set_xscale("log")
    axes.set_title("Times the floor (1 = the floor; less is better)", loc="left")


def _costs(axes: Any, figures: Sequence[Figure]) -> None:
    names = [f"{one.case} ({one.what.removesuffix(', mean')})" for one in figures]
    colours = [OURS if one.case == catalogue.OURS.name else OTHERS for one in figures]
    axes.barh(names, [one.median for one in figures], color=colours)
    axes.set_xscale("log")
    axes.set_title("What the same record costs its caller, mean, µs (less is better)", loc="left")


def _survival(axes: Any, survivals: Sequence[Survival]) -> None:
    bars = [(f"{one.name} (burst)", one.stored, one.offered) for one in survivals]
    bars += [(f"{one.name} (kill -9)", one.stored_after_kill, one.accepted_before_kill) for one in survivals]
    colours = [OURS if name.startswith(catalogue.OURS.name) else OTHERS for name, _, _ in bars]
    axes.barh([name for name, _, _ in bars], [100 * part / max(1, whole) for _, part, whole in bars], color=colours)
    axes.set_title("How much is there in the end, % (more is better)", loc="left")
