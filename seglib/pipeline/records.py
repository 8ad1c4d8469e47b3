"""Records: what trainings, evaluations and comparisons leave in `$DVC_ROOT/.work/tracking/` for MLflow to show.

A record is a folder of plain files. It outlives the temporary folder of a queued experiment, and it is all that is
needed to rebuild a lost MLflow store. A training's record has its identity as its name: `train` makes it, `evaluate`
adds predictions, and `compare` adds scores. `train` and `compare` bring records to MLflow.
"""

import csv
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from seglib.configs import TrainConfig
from seglib.datasets.store import DatasetInfo, Split
from seglib.figures import pictures
from seglib.files import atomic_file, file_sha256, read_json, work_dir, write_json
from seglib.pipeline.workspace import TrainingFiles, live_datasets, live_trainings, revision


def folder() -> Path:
    return work_dir() / "tracking"


def names_of(files: TrainingFiles) -> dict[str, Any]:
    return {"dataset": files.dataset, "model": files.model, "loss": files.loss, "seed": files.seed}


def leave_training(files: TrainingFiles) -> Path:
    """Record a finished training, by the identity in its timing file. Returns the record's folder."""
    record = _record_of(files)
    for name, source in (("history.csv", files.history), ("provenance.json", files.provenance),
                         ("timing.json", files.timing), ("weights.safetensors", files.weights)):
        _copy(source, record / name)
    write_json(record / "conf.json", TrainConfig.read(files.train_config).content())
    if not (record / "training.json").exists():
        write_json(record / "training.json", names_of(files) | _revision())
    return record


def leave_result(files: TrainingFiles) -> Path:
    """Record a training and its evaluation, with a grid of predictions. Returns the record's folder."""
    record = leave_training(files)
    _copy(files.evaluation, record / "evaluation.json")
    draw_predictions(files, record / "predictions.png")
    return record


def leave_scores(dataset: str) -> list[Path]:
    """Add the scores that a comparison computed to the records of its trainings. Returns the folders of these records.

    Left out are trainings without a record, and those whose weights are not the ones that were compared.
    """
    tables = Path("comparisons", dataset, "tables")
    compared = read_json(tables / "summary.json")["weights_sha256"]
    rows_of: dict[str, list[dict[str, str]]] = {name: [] for name in compared}
    with (tables / "training_scores.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows_of[row.pop("training")].append(row)
    records = []
    for name, rows in rows_of.items():
        files = TrainingFiles(dataset, name)
        if not (files.timing.exists() and files.weights.exists()):
            continue
        record = _record_of(files)
        if (record / "training.json").exists() and file_sha256(files.weights) == compared[name]:
            _write_scores(record / "scores.csv", rows)
            records.append(record)
    return records


def _write_scores(path: Path, rows: list[dict[str, str]]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["split", "class", "score", "value"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def leave_comparison(dataset: str) -> Path:
    """Record the figures and tables of a comparison, by what they say. Returns the record's folder."""
    source = Path("comparisons", dataset)
    files = [*sorted((source / "figures").glob("*.png")), source / "ranking.csv", source / "tables" / "pairs.csv",
             source / "tables" / "claims.json"]
    digest = hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()
    record = folder() / f"comparison-{digest}"
    for path in files:
        _copy(path, record / path.name)
    if not (record / "comparison.json").exists():
        write_json(record / "comparison.json", {"dataset": dataset} | _revision())
    return record


def leave_workspace() -> None:
    """Record every complete result of the workspace that has no record yet, such as one restored from DVC's cache."""
    for dataset in live_datasets():
        for files in live_trainings(dataset):
            if not all(path.exists() for path in (files.timing, *files.outputs)):
                continue
            fits = read_json(files.evaluation)["weights_sha256"] == file_sha256(files.weights)
            if fits and not (_record_of(files) / "predictions.png").exists():
                leave_result(files)
        if Path("comparisons", dataset, "ranking.csv").exists():
            leave_comparison(dataset)
            leave_scores(dataset)


def draw_predictions(files: TrainingFiles, path: Path, *, count: int = 8) -> None:
    """Draw evenly spaced test pictures, each beside its truth and its prediction."""
    info, test = DatasetInfo.read(files.prepared), Split.open(files.prepared, "test")
    predictions, ids = np.load(files.predictions, mmap_mode="r"), test.index()["id"]
    chosen = np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(int)
    rows = [[test.images[i], *(pictures.mask_overlay(test.images[i], masks[i], info, test.masks[i])
                               for masks in (test.masks, predictions))] for i in chosen]
    pictures.comparison_grid(rows, titles=["picture", "truth", files.name], legend=info.classes, path=path,
                             captions=[[ids.iat[i], "", ""] for i in chosen],
                             hatched=pictures.any_ignored(test, chosen, info))


def _record_of(files: TrainingFiles) -> Path:
    return folder() / read_json(files.timing)["identity"]


def _copy(source: Path, target: Path) -> None:
    with atomic_file(target) as temporary:
        shutil.copyfile(source, temporary)


def _revision() -> dict[str, str]:
    """Where a result came from, for people: git's commit and the experiment's name, if there are any."""
    found = {"git": revision(), "dvc_experiment": os.environ.get("DVC_EXP_NAME", "")}
    return {name: value for name, value in found.items() if value}
