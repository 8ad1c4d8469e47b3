"""reports/index.html from `comparisons/`, by jinja2; every text that comes from data is escaped."""

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from seglib.files import read_json
from seglib.workspace import revision

# The scores of the main table, in reading order: name in the tables, column title.
COLUMNS = (
    ("iou_dataset", "IoU, all pixels"), ("iou_image_mean", "IoU, image mean"), ("dice_dataset", "Dice, all pixels"),
    ("dice_image_mean", "Dice, image mean"), ("precision_dataset", "precision"), ("recall_dataset", "recall"),
    ("pixel_accuracy_dataset", "pixel accuracy"),
)
FIGURES = ("loss.png", "loss_normalised.png", "best_and_worst.png", "pictures.png")


def build(datasets: list[str], comparisons: Path, out: Path) -> dict[str, Any]:
    """Write the page and its figures into `out`; gives the headline scores, for metrics.json.

    The headline is, for each dataset and variant, the mean over seeds of test IoU and Dice.
    """
    sections, headline = [], {}
    for dataset in datasets:
        section = _section(comparisons / dataset)
        for figure in FIGURES:
            target = out / "figures" / dataset / figure
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(comparisons / dataset / "figures" / figure, target)
        sections.append(section)
        headline[dataset] = {row["key"]: {"iou": row["cells"][0]["mean"], "dice": row["cells"][2]["mean"]}
                             for row in section["rows"]}
    environment = jinja2.Environment(loader=jinja2.PackageLoader("seglib.report", "."), autoescape=True,
                                     trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["score"] = lambda value: "–" if value is None else f"{value:.3f}"
    style = Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8"))
    page = environment.get_template("page.html").render(
        sections=sections, columns=[title for _, title in COLUMNS], style=style, origin=origin())
    (out / "index.html").write_text(page, encoding="utf-8")
    return headline


def _section(folder: Path) -> dict[str, Any]:
    """What the page says of one dataset."""
    summary = read_json(folder / "tables" / "summary.json")
    scores = pd.read_csv(folder / "tables" / "scores.csv")
    classes = pd.read_csv(folder / "tables" / "classes.csv")
    rows = []
    for label in dict.fromkeys(scores["variant"]):
        of = scores[scores["variant"] == label].set_index(["split", "score"])
        cells = [_cell(of.loc["test", name]) for name, _ in COLUMNS]
        rows.append({
            "label": label, "key": label.replace(" = ", "=").replace(" ", "-"), "cells": cells,
            "val": _cell(of.loc["val", "iou_dataset"]), "case": summary["cases"][label],
            "classes": [_class_cell(classes, label, name) for name in summary["classes"]],
            "seeds": int(of["seeds"].iloc[0]),
        })
    test = classes[(classes["split"] == "test") & (classes["variant"] == rows[0]["label"])]
    present = dict(zip(test["class"], test["images_with_class"], strict=True))
    return summary | {"rows": rows, "images_with_class": [present[name] for name in summary["classes"]]}


def _cell(row: pd.Series) -> dict[str, Any]:
    values = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("mean", "min", "max")}
    return values | {"seeds": int(row["seeds"])}


def _class_cell(classes: pd.DataFrame, label: str, name: str) -> float | None:
    """Test IoU of a class; None when no test picture holds it."""
    row = classes[(classes["split"] == "test") & (classes["variant"] == label) & (classes["class"] == name)].iloc[0]
    return None if pd.isna(row["iou_dataset"]) else float(row["iou_dataset"])


def origin() -> dict[str, str]:
    """Where and from what the page was made: the only part of a study that may differ on a rerun."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "pillow", "pycocotools"))
    return {"git revision": revision() or "not a git repository",
            "experiment": os.environ.get("DVC_EXP_NAME") or "workspace",
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "Python": platform.python_version(), "packages": packages}
