"""The variants of a dataset side by side: tables, curves, pictures. `python -m stages.compare shapes`"""

from pathlib import Path

import numpy as np
import pandas as pd

import stages
from seglib import records, tracking
from seglib.comparison import claims, gallery, tables
from seglib.comparison.evidence import CONFIDENCE, Evidence
from seglib.comparison.summary import summary
from seglib.comparison.variants import HEADLINE, Variant, load
from seglib.datasets.store import DatasetInfo, Split, unpack
from seglib.figures import pictures, plots
from seglib.files import atomic_folder, read_json, write_json
from seglib.metrics.scores import size_edges
from seglib.workspace import prepared_folder


def main(dataset: str) -> None:
    """Fill comparisons/DATASET: all that the page shows of it."""
    prepared = prepared_folder(dataset)
    info, test = DatasetInfo.read(prepared), Split.open(prepared, "test")
    config = read_json(Path(f"conf/{dataset}.compare.json"))
    tried = claims.load(Path("claims.yaml"))
    variants = load(dataset, info)
    evidence = Evidence(variants, config["resamples"])
    sizes = size_edges(variants[0].runs[0].objects)

    scores, pairs = evidence.score_table(), evidence.pair_table()
    ranking, curves = evidence.ranking(scores, pairs), tables.curve_table(variants)
    by_class = tables.class_table(variants, info.classes, evidence.class_intervals(HEADLINE, info.classes))
    written = {
        "scores": scores, "pairs": pairs, "ranking": ranking, "classes": by_class, "curves": curves,
        "groups": tables.group_table(evidence, sizes), "confusion": tables.confusion_table(variants, info.classes),
        "gradients": tables.gradient_table(variants),
        "dice_names": tables.dice_names(variants, test, len(info.classes))}
    verdicts = claims.decide(tried, dataset, evidence)

    with atomic_folder(Path("comparisons") / dataset) as out:
        for folder in ("tables", "figures", "gallery"):
            (out / folder).mkdir()
        for name, table in written.items():
            _write_csv(table, out / "tables" / f"{name}.csv")
        write_json(out / "tables" / "claims.json", verdicts)
        write_json(out / "tables" / "summary.json", summary(
            dataset, info, variants, sizes=sizes, config=config, prepared=prepared,
            evaluation=read_json(Path(f"conf/{dataset}.evaluate.json")), confidence=CONFIDENCE))
        _write_csv(curves[curves["curve"] == "train window"], out / "curves.csv")
        _write_csv(ranking, out / "ranking.csv")
        _draw(variants, curves, out / "figures")
        _draw_pictures(variants, tables.pick_pictures(variants, config["pictures"]), info, test, out / "figures")
        gallery.write_gallery(variants, info, test, count=config["gallery"], out=out / "gallery")
    tracking.try_sync(records.leave_comparison(dataset))
    best = ranking.iloc[0]
    print(f"{dataset}: best on test {best['variant']}, IoU {best['mean']:.3f} "
          f"({CONFIDENCE:.0%} interval {best['low']:.3f} to {best['high']:.3f})")
    for verdict in dict.fromkeys(claim["verdict"] for claim in verdicts):
        print(f"{dataset}: claims {verdict}: {', '.join(c['id'] for c in verdicts if c['verdict'] == verdict)}")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def _draw(variants: list[Variant], curves: pd.DataFrame, folder: Path) -> None:
    cases = {v.label: (v.best_case().files.seed, v.worst_case().files.seed) for v in variants}
    plots.loss_curves(curves, folder / "loss.png", value="loss", label="loss (log scale)")
    plots.loss_curves(curves, folder / "loss_normalised.png", value="normalised", label="loss, min-max normalised")
    plots.term_curves(curves, folder / "terms.png")
    plots.best_and_worst(curves, cases, folder / "best_and_worst.png")


def _draw_pictures(variants: list[Variant], chosen: list[int], info: DatasetInfo, test: Split, folder: Path) -> None:
    """Picture, truth, and every variant's prediction by its first seed."""
    predictions = [np.load(variant.runs[0].files.predictions, mmap_mode="r") for variant in variants]
    ids, classes = test.index()["id"], len(info.classes)
    rows, captions = [], []
    for i in chosen:
        masks = [test.masks[i], *(predicted[i] for predicted in predictions)]
        rows.append([test.images[i], *(pictures.overlay(test.images[i], unpack(mask, classes)) for mask in masks)])
        captions.append([ids.iat[i], "truth", *(f"IoU {variant.runs[0].picture_iou(i):.2f}" for variant in variants)])
    pictures.comparison_grid(rows, titles=["picture", "truth", *(variant.label for variant in variants)],
                             captions=captions, legend=info.classes, path=folder / "pictures.png")


if __name__ == "__main__":
    stages.run(main)
