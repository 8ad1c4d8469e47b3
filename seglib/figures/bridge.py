"""The figure of a bridge: the score of each loss at each step, with every seed, and which loss of each pair is better.
"""

import itertools
import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seglib.figures import plots

UNDECIDED = "#9a9a9a"
SPREAD = 0.24  # of a step's width: how far apart the losses of one step are drawn


def draw(table: pd.DataFrame, path: Path, *, steps: int, names: dict[tuple[int, str], str], pairs: list[str],
         title: str, score: str, below: str) -> None:
    """Draw a bridge.

    Args:
        table: `tools.bridge_results.gather`'s.
        steps: how many positions are trainings; the others show the last one under other definitions of the score.
        names: of each position (step, score) the text under it, in the order of the table.
        pairs: the columns of the table with verdicts.
        title: the figure's title.
        score: the name of the steps' score.
        below: a line under the figure, such as the sizes.
    """
    losses = list(dict.fromkeys(table["loss"]))
    colors = dict(zip(losses, itertools.cycle(plots.COLORS)))
    places = {position: place for place, position in enumerate(names)}
    x = pd.Series([places[position] for position in zip(table["step"], table["score"], strict=True)], table.index)
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(1.5 + 1.15 * len(names), 7.2), layout="constrained")
        above, beneath = figure.subplots(2, 1, sharex=True, height_ratios=(4, 0.3 + 0.3 * len(pairs)))
        for place, loss in enumerate(losses):
            shift = SPREAD * (place - (len(losses) - 1) / 2)
            is_own = table["loss"] == loss
            _line(above, table[is_own], x[is_own] + shift, steps, colors[loss], loss)
        for axes in (above, beneath):
            axes.axvspan(steps - 0.5, len(names) - 0.5, color="#f3f3f3", zorder=0)
            axes.grid(visible=False, axis="x" if axes is above else "both")
        above.set(ylabel=f"test score ({score})", ylim=(-0.02, 1.02), xlim=(-0.5, len(names) - 0.5))
        above.legend(frameon=False, loc="upper left", title="line: mean; dots: seeds")
        if steps < len(names):
            above.text(steps - 0.45, 1.0, "the same predictions,\nother scores", fontsize=8, va="top", color="#555555")
        above.set_title(title, loc="left", fontweight="bold")
        _verdicts(beneath, table.groupby(x).first(), pairs, colors)
        beneath.set_xticks(range(len(names)), [textwrap.fill(name, 13) for name in names.values()], fontsize=8)
        figure.supxlabel(textwrap.fill(below, 220), fontsize=7, color="#555555", x=0.01, ha="left")
        plots.save(figure, path)


def _line(axes: Axes, rows: pd.DataFrame, x: pd.Series, steps: int, color: str, label: str) -> None:
    """One loss: a line through the means of the steps, a dot for every seed."""
    seeds = [column for column in rows.columns if column.startswith("seed_")]
    trained = slice(0, steps)
    axes.plot(x.iloc[trained], rows["mean"].iloc[trained], color=color, linewidth=1.8, label=label)
    axes.plot(x.iloc[steps:], rows["mean"].iloc[steps:], color=color, linestyle="", marker="_", markersize=14,
              markeredgewidth=2)
    axes.plot(np.repeat(x, len(seeds)), rows[seeds].to_numpy().ravel(), color=color, linestyle="", marker="o",
              markersize=4, alpha=0.6, markeredgewidth=0)


def _verdicts(axes: Axes, by_place: pd.DataFrame, pairs: list[str], colors: dict[str, str]) -> None:
    """Write the better loss of each pair at each position, in its colour."""
    for row, pair in enumerate(pairs):
        for place, verdict in by_place[pair].items():
            axes.text(place, row, verdict, ha="center", va="center", fontsize=8,
                      color=colors.get(verdict, UNDECIDED), fontweight="bold" if verdict in colors else "normal")
    axes.set_yticks(range(len(pairs)), pairs, fontsize=8)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.set_ylabel("which is\nbetter?", fontsize=8)
