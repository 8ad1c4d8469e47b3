"""Loss curves, by matplotlib. The same bytes from the same data: no date, no random ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seglib.figures.pictures import PALETTE
from seglib.files import atomic_file

COLORS = ["#{:02x}{:02x}{:02x}".format(*PALETTE[i]) for i in (6, 4, 2, 0, 5, 1, 3)]  # the darkest first: lines are thin
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "#e5e5e5", "grid.linewidth": 0.8, "axes.axisbelow": True, "figure.dpi": 160}
LINE_STYLES = ("-", "--", ":", "-.")


def _colors(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and, past the palette's end, another line style for each label."""
    return {label: (COLORS[i % len(COLORS)], LINE_STYLES[i // len(COLORS) % len(LINE_STYLES)])
            for i, label in enumerate(labels)}


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def loss_curves(curves: pd.DataFrame, path: Path, *, value: str, label: str) -> None:
    """`value` ("loss" or "normalised") against iterations: running means left, epochs of train and val right.

    One line a variant, the mean over its seeds, in a band from its lowest seed to its highest.
    """
    variants = list(dict.fromkeys(curves["variant"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for variant, (color, line) in _colors(variants).items():
            chosen = curves[curves["variant"] == variant]
            _band(left, chosen[chosen["curve"] == "train window"], value, color, line, variant)
            _band(right, chosen[chosen["curve"] == "train epoch"], value, color, line, f"{variant}, train")
            _band(right, chosen[chosen["curve"] == "val epoch"], value, color, ":", f"{variant}, val", marker="o")
        left.set(title="running mean", xlabel="iteration", ylabel=label)
        right.set(title="each epoch", xlabel="iteration")
        for axes in (left, right):
            if value == "loss":
                axes.set_yscale("log")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto"))
            axes.legend(frameon=False, fontsize=8)
        _save(figure, path)


def _marker(points: pd.Series | pd.DataFrame) -> str:
    """A short training's curve may be one point, which a line alone does not show."""
    return "o" if len(points) == 1 else ""


def _band(axes: Axes, points: pd.DataFrame, value: str, color: str, line: str, label: str, marker: str = "") -> None:
    by_iteration = points.groupby("iteration")[value]
    mean = by_iteration.mean()
    marker = marker or _marker(mean)
    axes.plot(mean.index, mean, color=color, linestyle=line, marker=marker, markersize=3, linewidth=1.6, label=label)
    axes.fill_between(mean.index, by_iteration.min(), by_iteration.max(), color=color, alpha=0.18, linewidth=0)


def best_and_worst(curves: pd.DataFrame, cases: Mapping[str, tuple[int, int]], path: Path) -> None:
    """For each variant its best and worst case over the seeds: running mean of the loss against iterations.

    cases: variant: (seed of the best case, seed of the worst).
    """
    columns = min(3, len(cases))
    rows = -(-len(cases) // columns)
    windows = curves[curves["curve"] == "train window"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.9 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (variant, (best, worst)) in zip(grid, cases.items(), strict=False):
            for seed, name, color in ((best, "best", COLORS[2]), (worst, "worst", COLORS[1])):
                points = windows[(windows["variant"] == variant) & (windows["seed"] == seed)]
                axes.plot(points["iteration"], points["loss"], color=color, linewidth=1.4, label=f"{name}: seed {seed}",
                          marker=_marker(points))
            axes.set(title=variant, xlabel="iteration", ylabel="loss", yscale="log")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto"))
            axes.legend(frameon=False, fontsize=8)
        for axes in grid[len(cases):]:
            axes.set_axis_off()
        _save(figure, path)
