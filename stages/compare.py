"""The variants of a dataset side by side: tables, curves, pictures. `python -m stages.compare shapes`"""

from pathlib import Path

import numpy as np
import pandas as pd

import stages
from seglib import comparison
from seglib.datasets.store import DatasetInfo, Split, unpack
from seglib.figures import pictures, plots
from seglib.files import atomic_folder, read_json, write_json
from seglib.metrics.counts import AGGREGATIONS, SCORES
from seglib.workspace import prepared_folder


def main(dataset: str) -> None:
    """Fill comparisons/DATASET: all that the page shows of it."""
    prepared = prepared_folder(dataset)
    info = DatasetInfo.read(prepared)
    variants = comparison.load(dataset, info)
    config = read_json(Path(f"conf/{dataset}.compare.json"))

    scores, classes = comparison.score_table(variants), comparison.class_table(variants, info.classes)
    curves = comparison.curve_table(variants)
    cases = {v.label: (v.best_case().files.seed, v.worst_case().files.seed) for v in variants}
    chosen = comparison.pick_pictures(variants, config["pictures"])
    rejected = pd.read_csv(prepared / "rejected.csv").groupby(["split", "what", "reason"]).size()
    ids = Split.open(prepared, "test").index()["id"]

    with atomic_folder(Path("comparisons") / dataset) as out:
        for folder in ("tables", "figures"):
            (out / folder).mkdir()
        for name, table in (("scores", scores), ("classes", classes), ("curves", curves)):
            _write_csv(table, out / "tables" / f"{name}.csv")
        _write_csv(curves[curves["curve"] == "train window"], out / "curves.csv")
        headline = scores[(scores["split"] == "test") & (scores["score"] == comparison.HEADLINE)]
        _write_csv(headline[["variant", "mean", "min", "max", "seeds"]], out / "ranking.csv")
        plots.loss_curves(curves, out / "figures" / "loss.png", value="loss", label="loss (log scale)")
        plots.loss_curves(curves, out / "figures" / "loss_normalised.png", value="normalised",
                          label="loss, min-max normalised")
        plots.best_and_worst(curves, cases, out / "figures" / "best_and_worst.png")
        _draw_pictures(variants, chosen, info, Split.open(prepared, "test"), out / "figures" / "pictures.png")
        write_json(out / "tables" / "summary.json", {
            "dataset": dataset,
            "classes": info.classes,
            "counts": info.counts,
            "image_size": info.image_size,
            "selection": info.selection,
            "rejected": comparison.json_rows(rejected.reset_index(name="n")),
            "cases": {label: {"best": best, "worst": worst} for label, (best, worst) in cases.items()},
            "configs": {variant.label: variant.config for variant in variants},
            "seeds": sorted({run.files.seed for variant in variants for run in variant.runs}),
            "pictures": [ids.iat[i] for i in chosen],
            "headline": comparison.HEADLINE,
            "scores": {score.name: score.formula for score in SCORES},
            "aggregations": AGGREGATIONS,
        })
    best = headline.iloc[0]
    print(f"{dataset}: best on test {best['variant']}, IoU {best['mean']:.3f}")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def _draw_pictures(variants: list[comparison.Variant], chosen: list[int], info: DatasetInfo, test: Split,
                   path: Path) -> None:
    """Picture, truth, and every variant's prediction by its first seed."""
    predictions = [np.load(variant.runs[0].files.predictions, mmap_mode="r") for variant in variants]
    ids, classes = test.index()["id"], len(info.classes)
    rows, captions = [], []
    for i in chosen:
        masks = [test.masks[i], *(predicted[i] for predicted in predictions)]
        rows.append([test.images[i], *(pictures.overlay(test.images[i], unpack(mask, classes)) for mask in masks)])
        captions.append([ids.iat[i], "truth", *(f"IoU {comparison.picture_score(variant.runs[0], i):.2f}"
                                                for variant in variants)])
    pictures.comparison_grid(rows, titles=["picture", "truth", *(variant.label for variant in variants)],
                             captions=captions, legend=info.classes, path=path)


if __name__ == "__main__":
    stages.run(main)
