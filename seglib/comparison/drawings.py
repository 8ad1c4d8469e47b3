"""The figures of a comparison: curves of the trainings, and predicted masks. Shapes: E epochs, P pictures, H, W."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.comparison.captions import caption, mask_caption
from seglib.comparison.variants import Result, Variant, trained
from seglib.datasets.store import DatasetInfo, Split
from seglib.figures import pictures, plots


def draw_curves(variants: Sequence[Variant], curves: pd.DataFrame, trainings: pd.DataFrame, folder: Path) -> None:
    """Draw losses, terms and scores while training; nothing if no variant was trained."""
    cases = {v.label: (v.best_case().seed, v.worst_case().seed) for v in trained(variants)}
    if not cases:
        return
    kept = {label: table["kept"].tolist() for label, table in trainings.groupby("variant", sort=False)}
    plots.loss_curves(curves, folder / "loss.png", value="loss", label="loss (log scale)")
    plots.loss_curves(curves, folder / "loss_normalised.png", value="normalised", label="loss, min-max normalised")
    plots.term_curves(curves, folder / "terms.png")
    plots.best_and_worst(curves, cases, folder / "best_and_worst.png")
    plots.score_curves(curves, folder / "scores.png")
    plots.learning_curves(curves, kept, folder / "learning.png")


def draw_pictures(variants: Sequence[Variant], chosen: Sequence[int], info: DatasetInfo, test: Split,
                  path: Path) -> None:
    """Draw pictures beside their truth and every variant's prediction by its first seed."""
    predictions = [np.load(variant.results[0].files.predictions, mmap_mode="r") for variant in variants]
    ids, rows, captions = test.index()["id"], [], []
    for i in chosen:
        image, truth = test.images[i], test.masks[i]
        masks = [truth, *(predicted[i] for predicted in predictions)]
        rows.append([image, *(pictures.mask_overlay(image, mask, info, truth) for mask in masks)])
        captions.append([ids.iat[i], "truth", *(str(caption(variant.results[0].cases["test"], i, info.classes))
                                                for variant in variants)])
    pictures.comparison_grid(rows, titles=["picture", "truth", *(variant.label for variant in variants)],
                             captions=captions, legend=info.classes, path=path,
                             hatched=pictures.any_ignored(test, chosen, info))


def draw_snapshots(variants: Sequence[Variant], info: DatasetInfo, val: Split, folder: Path) -> dict[str, str]:
    """Draw the masks of val that each variant's first seed kept while it trained: rows are pictures, columns epochs.

    Writes snapshots_N.png for the N-th variant that was trained. Returns the file's stem by the variant's label.
    """
    drawn = {}
    for number, variant in enumerate(trained(variants), 1):
        if _draw_snapshots(variant.results[0], info, val, folder / f"snapshots_{number}.png"):
            drawn[variant.label] = f"snapshots_{number}"
    return drawn


def _draw_snapshots(result: Result, info: DatasetInfo, val: Split, path: Path) -> bool:
    with np.load(result.files.snapshots) as content:
        epochs, chosen, masks_EPHW = (content[name] for name in ("epochs", "pictures", "masks"))
    if not len(epochs):
        return False
    ids, rows, captions = val.index()["id"], [], []
    for position, i in enumerate(chosen):
        image, truth = val.images[i], val.masks[i]
        masks = [truth, *masks_EPHW[:, position]]
        rows.append([image, *(pictures.mask_overlay(image, mask, info, truth) for mask in masks)])
        captions.append([ids.iat[i], "truth", *(str(mask_caption(mask, truth, info)) for mask in masks[1:])])
    pictures.comparison_grid(rows, titles=["picture", "truth", *(f"epoch {epoch}" for epoch in epochs)],
                             captions=captions, legend=info.classes, path=path,
                             hatched=pictures.any_ignored(val, chosen, info))
    return True
