"""Curves of losses and scores, by matplotlib. The same bytes from the same data: no date, no random ids.

`curves` is the table of comparison.curves. Variants without a loss have no part in what draws losses.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator

from seglib.figures.pictures import PALETTE
from seglib.files import atomic_file

# The darkest first, since lines are thin.
COLORS = ["#{:02x}{:02x}{:02x}".format(*PALETTE[i]) for i in (6, 4, 2, 0, 5, 1, 7, 9, 10, 8, 18, 11)]
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "#e5e5e5", "grid.linewidth": 0.8, "axes.axisbelow": True, "figure.dpi": 160,
         "text.parse_math": False}  # a "$" in a name is a "$"
LINE_STYLES = ("-", "--", ":", "-.")
TRAIN, VAL = COLORS[0], COLORS[1]
SCORES = {"iou_score": "IoU", "dice_score": "Dice", "pixel_accuracy_score": "pixel accuracy"}


class Plain(LogFormatterSciNotation):
    """The ticks that matplotlib labels on a logarithmic axis, but as 0.84 and not 8.4 · 10⁻¹."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _colors(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and, past the palette's end, another line style for each label, in the order of their names."""
    return {label: (COLORS[i % len(COLORS)], LINE_STYLES[i // len(COLORS) % len(LINE_STYLES)])
            for i, label in enumerate(sorted(set(labels)))}


def save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _sides(curves: pd.DataFrame) -> tuple[str, list[str], str, dict[str, tuple[str, str]]]:
    """Of what has a loss: whether models or losses have a panel each, the panels, what has a colour each, the colours.

    Colours go to the one of more names. They are those of all curves, also of what has no loss, so that a variant keeps
    its own from figure to figure.
    """
    with_loss = curves.dropna(subset="loss")
    models, losses = (list(dict.fromkeys(with_loss[name])) for name in ("model", "loss_name"))
    panel, names, hue = ("model", models, "loss_name") if len(models) <= len(losses) else ("loss_name", losses, "model")
    drawn = set(with_loss[hue])
    return panel, names, hue, {name: color for name, color in _colors(curves[hue]).items() if name in drawn}


def loss_curves(curves: pd.DataFrame, path: Path, *, value: str, label: str) -> None:
    """`value` ("loss" or "normalised") against iterations: running means of train above, epochs of val below.

    One column per model and one colour per loss, or the reverse if there are fewer losses. A line is the mean over
    seeds, and its band goes from the lowest seed to the highest.
    """
    panel, names, hue, colors = _sides(curves)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(8, 4.2 * len(names)), 6.4), layout="constrained")
        grid = figure.subplots(2, len(names), squeeze=False, sharex=True, sharey="row")
        for (above, below), name in zip(grid.T, names, strict=True):
            for of_hue, (color, line) in colors.items():
                chosen = curves[(curves[panel] == name) & (curves[hue] == of_hue)]
                for axes, curve in ((above, "train window"), (below, "val epoch")):
                    _band(axes, chosen[chosen["curve"] == curve], value, color, line)
            above.set(title=name)
            below.set(xlabel="iteration")
        grid[0][0].set_ylabel(f"{label}\ntrain, running mean")
        grid[1][0].set_ylabel(f"{label}\nval, epochs")
        _finish(figure, grid, colors, log=value == "loss")
        save(figure, path)


def term_curves(curves: pd.DataFrame, path: Path) -> None:
    """Every term of the losses, unweighted, against iterations: one row per term; otherwise as `loss_curves`."""
    windows = curves[curves["curve"] == "train window"]
    panel, names, hue, colors = _sides(curves)
    terms = [name.removesuffix("_grad_norm") for name in curves.columns if name.endswith("_grad_norm")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(8, 4.2 * len(names)), 3.1 * len(terms) + 0.6), layout="constrained")
        grid = figure.subplots(len(terms), len(names), squeeze=False, sharex=True, sharey="row")
        for row, term in zip(grid, terms, strict=True):
            for axes, name in zip(row, names, strict=True):
                for of_hue, (color, line) in colors.items():
                    chosen = windows[(windows[panel] == name) & (windows[hue] == of_hue)]
                    _band(axes, chosen.dropna(subset=[term]), term, color, line)
            row[0].set_ylabel(f"{term}, unweighted")
        for axes, name in zip(grid[0], names, strict=True):
            axes.set_title(name)
        for axes in grid[-1]:
            axes.set_xlabel("iteration")
        _finish(figure, grid, colors, log=True)
        save(figure, path)


def score_curves(curves: pd.DataFrame, path: Path) -> None:
    """The val scores of all variants by epoch: a panel a score, a colour a variant, bands over seeds."""
    curves = curves[curves["curve"] == "val epoch"]
    colors = _colors(curves["variant"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 4 + 0.2 * -(-len(colors) // 3)), layout="constrained")
        grid = figure.subplots(1, len(SCORES), squeeze=False, sharex=True)
        for axes, (score, title) in zip(grid[0], SCORES.items(), strict=True):
            for variant, (color, line) in colors.items():
                _band(axes, curves[curves["variant"] == variant], score, color, line, by="epoch")
            axes.set(title=f"{title}, val", xlabel="epoch")
        _finish(figure, grid, colors, log=False, columns=3)
        save(figure, path)


def learning_curves(curves: pd.DataFrame, kept: Mapping[str, Sequence[int]], path: Path) -> None:
    """Train and val by epoch: one row per variant: its loss, IoU, Dice and pixel accuracy; bands over seeds.

    kept: of each variant the epochs, one a seed, whose weights were kept: upright lines.
    """
    columns = {"loss": "loss (log scale)", **SCORES}
    with mpl.rc_context(STYLE | {"font.size": 9}):
        figure = Figure(figsize=(13, 1.9 * len(kept) + 0.7), layout="constrained")
        grid = figure.subplots(len(kept), len(columns), squeeze=False, sharex=True, sharey=False)
        for row, (variant, epochs) in zip(grid, kept.items(), strict=True):
            chosen = curves[curves["variant"] == variant]
            for axes, (value, label) in zip(row, columns.items(), strict=True):
                for curve, color in (("train epoch", TRAIN), ("val epoch", VAL)):
                    _band(axes, chosen[chosen["curve"] == curve].dropna(subset=value), value, color, "-", by="epoch")
                for epoch in sorted(set(epochs)):
                    axes.axvline(epoch, color="#888888", linewidth=0.8, linestyle="--")
                axes.set_ylabel(label)
            _log_scale(row[0])
            row[0].set_title(variant, loc="left", fontweight="bold", fontsize=10)
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        for column in grid.T[1:]:  # one scale a score, so that variants can be compared
            limits = [axes.get_ylim() for axes in column]
            for axes in column:
                axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        _whole_numbers(grid)
        lines = [Line2D([], [], color=color, label=label) for color, label in ((TRAIN, "train"), (VAL, "val"))]
        lines.append(Line2D([], [], color="#888888", linestyle="--", linewidth=0.8, label="weights kept"))
        figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False)
        save(figure, path)


def _finish(figure: Figure, grid: np.ndarray, colors: Mapping[str, tuple[str, str]], *, log: bool,
            columns: int = 4) -> None:
    """Scales, whole iterations, and one legend for all panels."""
    if log:
        for axes in grid.flat:
            _log_scale(axes)
    _whole_numbers(grid)
    lines = [Line2D([], [], color=color, linestyle=line, label=label) for label, (color, line) in colors.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), columns), frameon=False)


def _log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(Plain())
    axes.yaxis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1, 0.4)))


def _whole_numbers(grid: np.ndarray) -> None:
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto"))


def _marker(points: pd.Series | pd.DataFrame) -> str:
    """A short training's curve may be one point, which a line alone does not show."""
    return "o" if len(points) == 1 else ""


def _band(axes: Axes, points: pd.DataFrame, value: str, color: str, line: str, *, by: str = "iteration") -> None:
    if points.empty:
        return
    grouped = points.groupby(by)[value]
    mean = grouped.mean()
    axes.plot(mean.index, mean, color=color, linestyle=line, marker=_marker(mean), markersize=3, linewidth=1.6)
    axes.fill_between(mean.index, grouped.min(), grouped.max(), color=color, alpha=0.18, linewidth=0)


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
            axes.set(xlabel="iteration", ylabel="loss")
            _log_scale(axes)
            axes.set_title(variant, fontsize=10 if len(variant) < 30 else 8)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto"))
            axes.legend(frameon=False, fontsize=8)
        for axes in grid[len(cases):]:
            axes.set_axis_off()
        save(figure, path)
