"""Loss curves, by matplotlib. The same bytes from the same data: no date, no random ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from seglib.figures.pictures import PALETTE
from seglib.files import atomic_file

COLORS = ["#{:02x}{:02x}{:02x}".format(*PALETTE[i]) for i in (6, 4, 2, 0, 5, 1, 3)]  # the darkest first: lines are thin
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "#e5e5e5", "grid.linewidth": 0.8, "axes.axisbelow": True, "figure.dpi": 160}
LINE_STYLES = ("-", "--", ":", "-.")


def _colors(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and, past the palette's end, another line style for each label, in the order of their names."""
    return {label: (COLORS[i % len(COLORS)], LINE_STYLES[i // len(COLORS) % len(LINE_STYLES)])
            for i, label in enumerate(sorted(set(labels)))}


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def loss_curves(curves: pd.DataFrame, path: Path, *, value: str, label: str) -> None:
    """`value` ("loss" or "normalised") against iterations, a column a model: running means above, epochs below.

    One colour a loss: the mean over its seeds, in a band from its lowest seed to its highest.
    """
    models = list(dict.fromkeys(curves["model"]))
    colors = _colors(curves["loss_name"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(6, 4.2 * len(models)), 6.4), layout="constrained")
        grid = figure.subplots(2, len(models), squeeze=False, sharex=True, sharey="row")
        for (above, below), model in zip(grid.T, models, strict=True):
            for loss, (color, line) in colors.items():
                chosen = curves[(curves["model"] == model) & (curves["loss_name"] == loss)]
                for axes, curve, style, marker in ((above, "train window", line, ""), (below, "train epoch", line, ""),
                                                   (below, "val epoch", ":", "o")):
                    _band(axes, chosen[chosen["curve"] == curve], value, color, style, marker=marker)
            above.set(title=model)
            below.set(xlabel="iteration")
        grid[0][0].set_ylabel(f"{label}\nrunning mean, train")
        grid[1][0].set_ylabel(f"{label}\nepochs: train, val (dotted)")
        _finish(figure, grid, colors, log=value == "loss")
        _save(figure, path)


def term_curves(curves: pd.DataFrame, path: Path) -> None:
    """Every term of the losses, unweighted, against iterations: a row a term, a column a model, a colour a loss."""
    models = list(dict.fromkeys(curves["model"]))
    terms = [name.removesuffix("_grad_norm") for name in curves.columns if name.endswith("_grad_norm")]
    windows = curves[curves["curve"] == "train window"]
    colors = _colors(curves["loss_name"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(6, 4.2 * len(models)), 3.1 * len(terms)), layout="constrained")
        grid = figure.subplots(len(terms), len(models), squeeze=False, sharex=True, sharey="row")
        for row, term in zip(grid, terms, strict=True):
            for axes, model in zip(row, models, strict=True):
                for loss, (color, line) in colors.items():
                    chosen = windows[(windows["model"] == model) & (windows["loss_name"] == loss)]
                    _band(axes, chosen.dropna(subset=[term]), term, color, line)
            row[0].set_ylabel(f"{term}, unweighted")
        for axes, model in zip(grid[0], models, strict=True):
            axes.set_title(model)
        for axes in grid[-1]:
            axes.set_xlabel("iteration")
        _finish(figure, grid, colors, log=True)
        _save(figure, path)


def _finish(figure: Figure, grid: np.ndarray, colors: Mapping[str, tuple[str, str]], *, log: bool) -> None:
    """Scales, whole iterations, and one legend for all panels."""
    for axes in grid.flat:
        if log:
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto"))
    lines = [Line2D([], [], color=color, linestyle=line, label=label) for label, (color, line) in colors.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), 6), frameon=False)


def _marker(points: pd.Series | pd.DataFrame) -> str:
    """A short training's curve may be one point, which a line alone does not show."""
    return "o" if len(points) == 1 else ""


def _band(axes: Axes, points: pd.DataFrame, value: str, color: str, line: str, marker: str = "") -> None:
    if points.empty:
        return
    by_iteration = points.groupby("iteration")[value]
    mean = by_iteration.mean()
    marker = marker or _marker(mean)
    axes.plot(mean.index, mean, color=color, linestyle=line, marker=marker, markersize=3, linewidth=1.6)
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
            drawn = [(best, "best", COLORS[2]), (worst, "worst", COLORS[1])] if best != worst else [
                (best, "only", COLORS[2])]
            for seed, name, color in drawn:
                points = windows[(windows["variant"] == variant) & (windows["seed"] == seed)]
                axes.plot(points["iteration"], points["loss"], color=color, linewidth=1.4, label=f"{name}: seed {seed}",
                          marker=_marker(points))
            axes.set(title=variant, xlabel="iteration", ylabel="loss", yscale="log")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto"))
            axes.legend(frameon=False, fontsize=8)
        for axes in grid[len(cases):]:
            axes.set_axis_off()
        _save(figure, path)
