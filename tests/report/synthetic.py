"""A made-up comparison: the files that `compare` writes, with numbers that hang together and no training behind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglib.comparison.coursework import coursework
from seglib.comparison.findings import findings
from seglib.files import write_json
from tests.report.synthetic_figures import write_figures
from tests.report.synthetic_gallery import write_gallery
from tests.report.synthetic_study import AGGREGATIONS, CONVENTIONS, FEWEST_SEEDS, TERMS, Study, definitions
from tests.report.synthetic_tables import tables_of


def write(study: Study, comparisons: Path, *, pairs: dict[str, Any] | None = None,
          reversed_by: Sequence[dict[str, Any]] = (), provenance: dict[str, Any] | None = None,
          empty: Sequence[str] = ()) -> Path:
    """Fill comparisons/<dataset>/ and give its path.

    Args:
        reversed_by: the rows of `reversals`.
        pairs, provenance: columns of these tables to replace, as `DataFrame.assign` takes them.
        empty: the tables to leave without rows.
    """
    folder = comparisons / study.dataset
    for name in ("tables", "figures", "gallery"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(study.seed)
    tables = tables_of(study, rng, pairs=pairs or {}, provenance=provenance or {}, reversed_by=reversed_by)
    tables |= {name: tables[name].head(0) for name in empty}
    for name, table in tables.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False, float_format="%.9g", lineterminator="\n")
    write_json(folder / "tables" / "claims.json", claims(study))
    write_json(folder / "tables" / "munet.json", munet(study))
    write_json(folder / "tables" / "published.json", published(study) if study.coursework else [])
    summary = _summary(study)
    write_json(folder / "tables" / "summary.json", summary)
    write_json(folder / "tables" / "findings.json", findings(tables, seedless=summary["seedless"], floor=study.floor))
    if study.coursework:
        write_json(folder / "tables" / "coursework.json", coursework(summary, tables))
    write_gallery(study, folder / "gallery", rng)
    write_figures(study.variants, folder / "figures", snapshots=len(study.trained) if study.snapshots else 0)
    return folder


def munet(study: Study) -> dict[str, Any] | None:
    """The facts of the networks whose names say that they are mUnets; `munet_faithful` has the defect."""
    networks = [{"names": [model], "depth": 4, "width": 32, "aspp_rates": [2, 4] if "aspp" in model else None,
                 "upsampling": "dlstudio" if "faithful" in model else "learned", "parameters": 643_877,
                 "idle_parameters": 185_376, "convolutions": 28, "reached": 0.25 if "faithful" in model else 1.0,
                 "iou_ceiling": 0.25, "dice_ceiling": 0.4} for model in study.models if "munet" in model]
    return {"networks": networks, "targets": ["unit"]} if networks else None


def claims(study: Study) -> list[dict[str, Any]]:
    """A claim with each verdict that the study's seeds allow."""
    said = [("supported", "Dice brings specks", "source"), ("contradicted", "Dice alone runs smoothest", "source"),
            ("undecided", "ASPP helps", "ours"), ("not run", "MSE + 400·Dice gains most at first", "yours")]
    if not all(map(study.has_enough_seeds, study.variants)):
        said = [("too few seeds", "Dice brings specks", "source"), said[-1]]
    return [{"id": f"claim-{i}", "claim": claim, "whose": whose, "source": "DLStudio's own notes", "verdict": verdict,
             "registered": None if whose == "yours" else "2026-11-21",
             "changed": [] if whose != "ours" else [{"date": "2026-11-22", "what": "its epochs",
                                                     "why": "a shorter run decides nothing"}],
             "why": f"The figures make it {verdict}.",
             "parts": [
                 {"text": "specks a picture", "verdict": verdict, "value": None if verdict == "not run" else 0.31,
                  "low": 0.22, "high": 0.4,
                  "p_holm": {"supported": 0.0004, "contradicted": 0.012, "undecided": 0.31}.get(verdict)}]}
            for i, (verdict, claim, whose) in enumerate(said)]


def published(study: Study) -> list[dict[str, Any]]:
    """A reproduction with a figure of each verdict."""
    row = {"quantity": "running mean of the training loss at iteration 500", "of": "munet, mse", "published": 450,
           "tolerance": 20, "reason": "rounding", "definition": "The mean over 500 iterations.", "seeds": 3}
    return [{"name": "shapes-2024", "title": "MSE on Shapes", "source": "A course report.", "rows": [
        row | {"id": "a", "ours": 455.25, "low": 440.0, "high": 470.5, "because": None, "verdict": "agrees"},
        row | {"id": "b", "ours": 12345.6, "low": None, "high": None, "because": None, "seeds": 1,
               "verdict": "differs"},
        row | {"id": "c", "ours": None, "low": None, "high": None, "because": "not run: munet mse", "seeds": None,
               "verdict": "not comparable"}]}]


def _absent(study: Study) -> dict[str, Any]:
    """7 of 10 pairs of a val picture and a class lack the class, and Dice costs 1 there."""
    pairs = study.images // 2 * len(study.classes)
    terms = {variant: TERMS[variant.split()[1]] for variant in study.trained}
    variants = {variant: {"costs": {"dice": 1.0}, "floor": 0.7 * of["dice"],
                          "teaches": study.task == "multiclass" or "mse" in of}
                for variant, of in terms.items() if "dice" in of}
    return {"pairs": pairs, "lacking": 7 * pairs // 10, "variants": variants}


def _summary(study: Study) -> dict[str, Any]:
    train = {"optimizer": "adamw", "lr": 0.02, "epochs": 5, "targets": "unit", "snapshots": [1, 2],
             "augment": {"flip": 0.5, "rotation": 15.0}}
    configs = {variant: {"model": {"kind": model.removesuffix("_label")}, "loss": {"terms": TERMS[loss]},
                         "train": train | ({"targets": "label"} if model.endswith("_label") else {})}
               for variant in study.trained for model, loss in [variant.split()]}
    if study.frequency:
        configs["frequency"] = {"model": {"kind": "frequency"}}
    return {
        "dataset": study.dataset, "task": study.task, "exclusive": study.task == "multiclass",
        "resize": "stretch", "resized": study.task == "multiclass",
        "fewest_seeds": FEWEST_SEEDS,
        "seedless": ["frequency"] if study.frequency else [], "baselines": ["frequency"] if study.baseline else [],
        "snapshots": {variant: f"snapshots_{i}" for i, variant in enumerate(study.trained, 1) if study.snapshots},
        "classes": list(study.classes),
        "counts": {"train": 9 * study.images // 2, "val": study.images // 2, "test": study.images},
        "image_size": [study.side, study.side], "selection": {"train2017": {"pictures": 74, "selected": 23}},
        "annotations": {"drawn": {"count": 1200, "examples": [], "meaning": "its mask is part of the truth"},
                        "crowd": {"count": 3, "examples": ["annotations.json annotation 7"],
                                  "meaning": "it marks a crowd"}},
        "allowed": ["the class star never occurs in test"],
        "rejected": [{"split": "train", "what": "picture", "reason": "does not decode", "n": 3}],
        "cases": {variant: {"best": study.seeds_of(variant)[0], "worst": study.seeds_of(variant)[-1]}
                  for variant in study.variants},
        "configs": configs, "coursework": study.coursework,
        "names": {variant: [tuple(variant.split())] for variant in study.trained} | (
            {"frequency": [("frequency", "")]} if study.frequency else {}),
        "seeds": list(study.seeds) if study.trained else [], "headline": "iou_dataset",
        "scores": definitions(study), "aggregations": {
            name: {"title": title, "definition": f"how {title} are added up"} for name, title in AGGREGATIONS.items()},
        "conventions": {name: {"title": name.replace("_", " "), "definition": f"what {name} averages"}
                        for _, name in CONVENTIONS},
        "tolerance": 2, "boundary_band": {"pixels": 2, "share": 0.02}, "sizes": [120, 400],
        "absent": _absent(study),
        "margin": 0.01, "floor": study.floor, "confidence": 0.95,
        "data_sha256": {"test/images.npy": "3f" * 32, "test/masks.npy": "a0" * 32}}
