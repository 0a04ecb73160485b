"""This module is where the figures of a run are drawn: the ratios to the floors, and the peers beside ours."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.report import Run

OURS, OTHERS, FLOOR = "#1a7f5a", "#8a93a5", "#b3261e"


def draw(run: Run, path: Path) -> None:
    """Write an SVG; without matplotlib (``pip install 'aicore-obs[bench]'``) say so and leave it."""
    if importlib.util.find_spec("matplotlib") is None:
        print("no plot: pip install 'aicore-obs[bench]'", file=sys.stderr)
        return
    # Only here, since everything else runs without it.
    from matplotlib.figure import Figure as Drawing

    with_ratio = [one for one in run.figures if one.ratio is not None and one.what in _DRAWN]
    panels = 1 + 2 * bool(run.peer_results)
    drawing = Drawing(figsize=(11, 0.8 + 0.24 * len(with_ratio) + 3.2 * (panels - 1)), layout="constrained")
    heights = [max(1.0, 0.24 * len(with_ratio)), *[2.2] * (panels - 1)]
    axes = drawing.subplots(panels, 1, squeeze=False, height_ratios=heights)[:, 0]
    _ratios(axes[0], with_ratio)
    if run.peer_results:
        _costs(axes[1], run.peer_results)
        _survival(axes[2], run.peer_results)
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
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)


def _costs(axes: Any, peers: Sequence[dict[str, Any]]) -> None:
    names = [one["name"] for one in peers]
    rows = range(len(names))
    axes.barh([row - 0.2 for row in rows], [one["tight_mean_us"] for one in peers], 0.38, label="tight", color=OURS)
    axes.barh(
        [row + 0.2 for row in rows], [one["paced_mean_us"] for one in peers], 0.38, label="1 ms apart", color=OTHERS
    )
    axes.set_yticks(list(rows), names)
    axes.set_xscale("log")
    axes.set_title("Cost of a record to its caller, mean, µs", loc="left")
    axes.invert_yaxis()
    axes.legend()


def _survival(axes: Any, peers: Sequence[dict[str, Any]]) -> None:
    names = [one["name"] for one in peers]
    rows = range(len(names))
    axes.barh([row - 0.2 for row in rows], [one["burst_percent"] for one in peers], 0.38, label="burst", color=OURS)
    axes.barh([row + 0.2 for row in rows], [one["kill_percent"] for one in peers], 0.38, label="kill -9", color=OTHERS)
    axes.set_yticks(list(rows), names)
    axes.set_title("Records that survive, %", loc="left")
    axes.invert_yaxis()
    axes.legend()
