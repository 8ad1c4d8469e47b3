"""Curves of many variants: what has a panel and what a colour, and that nothing fails where there is nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from seglib.figures import plots


def curves_of(names: list[tuple[str, str]], *, epochs: int = 3, seeds: tuple[int, ...] = (1, 2)) -> pd.DataFrame:
    """Of (model, loss); a model without a loss ("") has one epoch and nothing of losses."""
    parts = []
    for model, loss in names:
        for seed in seeds if loss else (None,):
            for curve in ("train window", "train epoch", "val epoch") if loss else ("train epoch", "val epoch"):
                n = np.arange(1, epochs + 1 if loss else 2)
                values = 1 / n if loss else np.full(1, np.nan)
                parts.append(pd.DataFrame({
                    "variant": f"{model} {loss}".strip(), "model": model, "loss_name": loss,
                    "seed": pd.array([seed] * len(n), dtype="Int64"), "curve": curve, "iteration": 10 * n, "epoch": n,
                    "loss": values, "normalised": values, "ce": values, "ce_grad_norm": values, "iou_score": 0.1 * n,
                    "dice_score": 0.2 * n, "pixel_accuracy_score": 0.3 * n}))
    return pd.concat(parts, ignore_index=True)


TWELVE = [("frequency", ""), *((f"unet_{n}", "ce_weighted") for n in range(11))]


@pytest.mark.parametrize(("names", "panel", "panels", "hue"), [
    ([("a", "mse"), ("b", "mse"), ("a", "dice"), ("b", "dice")], "model", ["a", "b"], "loss_name"),
    ([("a", "mse"), ("a", "dice"), ("a", "iou")], "model", ["a"], "loss_name"),
    (TWELVE, "loss_name", ["ce_weighted"], "model"), ([("a", "mse")], "model", ["a"], "loss_name")])
def test_the_fewer_have_a_panel_each_and_the_more_a_colour(names: list[tuple[str, str]], panel: str,
                                                          panels: list[str], hue: str):
    assert plots._sides(curves_of(names))[:3] == (panel, panels, hue)


def test_twelve_variants_have_twelve_colours_and_keep_them_where_one_has_no_loss():
    curves = curves_of(TWELVE)
    all_colors, with_loss = plots._colors(curves["variant"]), plots._sides(curves)[3]
    assert len(set(all_colors.values())) == 12 and {line for _, line in all_colors.values()} == {"-"}
    assert {f"{model} ce_weighted": color for model, color in with_loss.items()} == {
        variant: color for variant, color in all_colors.items() if variant != "frequency"}


def test_every_figure_is_drawn_and_again_the_same(tmp_path: Path, figures: list[Figure]):
    """Curves of one point too: each is a marker, because a line of one point does not show."""
    curves = curves_of(TWELVE[:4], epochs=1)
    trained = [f"unet_{n} ce_weighted" for n in range(3)]
    draw = {"loss": lambda path: plots.loss_curves(curves, path, value="loss", label="loss"),
            "terms": lambda path: plots.term_curves(curves, path),
            "scores": lambda path: plots.score_curves(curves, path),
            "learning": lambda path: plots.learning_curves(curves, dict.fromkeys(trained, [1, 1]), path),
            "cases": lambda path: plots.best_and_worst(curves, dict.fromkeys(trained, (1, 2)), path)}
    for name, figure in draw.items():
        figure(tmp_path / f"{name}.png")
    points = {name: [line.get_marker() for axes in figure.axes for line in axes.lines if len(line.get_xdata()) == 1]
              for name, figure in zip(draw, figures, strict=True)}
    # 3 variants with a loss, in train and val; one term; 4 variants in 3 scores; loss and 3 scores; best and worst.
    assert points == {"loss": ["o"] * 6, "terms": ["o"] * 3, "scores": ["o"] * 12, "learning": ["o"] * 24,
                      "cases": ["o"] * 6}
    for name, figure in draw.items():
        before = (tmp_path / f"{name}.png").read_bytes()
        figure(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes() == before
