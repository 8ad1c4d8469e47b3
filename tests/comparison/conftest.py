"""Two made-up studies for all tests of this room.

`made_up`: a good network, its twins, and a bad one; three seeds each; classes may overlap. `mixed`: classes exclude
each other, and variants have four seeds, three, and none. `with_seeds` takes seeds away.
"""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib import tasks
from seglib.comparison.evidence import Evidence
from seglib.comparison.variants import Result, Variant, load
from seglib.datasets.store import DatasetInfo
from tests.comparison.synthetic import (
    SIDE,
    epochs_of,
    exclusive,
    history_of,
    logits_of,
    objects,
    spoiled,
    write_dataset,
    write_predictors,
    write_variant,
)

MARGIN = 0.01
GOOD, SAME, BAD = "munet alias = munet good", "munet same", "munet bad"
LABEL = {"targets": "label"}
FALLING, ZIGZAG = np.array([5.0, 4, 3, 2, 1]), np.array([5.0, 1, 5, 1, 5])


@dataclasses.dataclass(frozen=True)
class Compared:
    folder: Path
    info: DatasetInfo
    variants: list[Variant]
    evidence: Evidence

    def variant(self, label: str) -> Variant:
        return next(variant for variant in self.variants if variant.label == label)


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """good; alias: good's configuration under another name; same: good's results from another one; bad."""
    folder, random = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    truth = {"val": objects(random, 6), "test": objects(random, 26)}
    truth["test"][3] = False  # a picture with nothing there
    with contextlib.chdir(folder):
        info = write_dataset(truth)
        taken = {split: planes.copy() for split, planes in truth.items()}
        for planes in taken.values():
            planes[::4] = planes[::4, [1, 2, 0, 3]]  # in every fourth picture each object gets another class
        for seed in (1, 2, 3):
            good, bad = ({split: logits_of(random, spoiled(random, planes, share)) for split, planes in said.items()}
                         for said, share in ((truth, 0.03 + 0.005 * seed), (taken, 0.2)))
            for loss, logits, curve, terms in (
                    ("good", good, FALLING, {"mse": 1, "dice": 20}), ("alias", good, FALLING, {"mse": 1, "dice": 20}),
                    ("same", good, FALLING, {"mse": 1}), ("bad", bad, ZIGZAG, {"dice": 1})):
                norms = {"mse": 6.0, "dice": 0.1 * seed} if len(terms) == 2 else dict.fromkeys(terms, 1.0)
                bump = 0.03 * seed * (np.arange(curve.size) == 1)  # so that no two seeds have the same curve
                write_variant(f"munet-{loss}-{seed}", logits, terms=terms, train=LABEL,
                              history=history_of(curve + 0.1 * seed + bump, **norms))
        write_predictors({})
        variants = load("shapes", info)
        return Compared(folder, info, variants, Evidence(variants, MARGIN))


def with_columns(result: Result, **columns: np.ndarray) -> Result:
    """The result with other counts of its test pictures."""
    cases = result.cases["test"]
    changed = dataclasses.replace(cases, columns=cases.columns | columns)
    return dataclasses.replace(result, cases=result.cases | {"test": changed})


def with_seeds(study: Compared, count: int, *labels: str) -> Compared:
    """The study with only the first `count` seeds of the variants of these labels, or of all variants."""
    variants = [dataclasses.replace(variant, results=variant.results[:count]) if variant.label in labels or not labels
                else variant for variant in study.variants]
    with contextlib.chdir(study.folder):
        return dataclasses.replace(study, variants=variants, evidence=Evidence(variants, MARGIN))


@pytest.fixture(scope="session")
def one_seed(made_up: Compared) -> Compared:
    return with_seeds(made_up, 1)


@pytest.fixture(scope="session")
def two_seeds(made_up: Compared) -> Compared:
    return with_seeds(made_up, 2)


@pytest.fixture
def compared(made_up: Compared, monkeypatch: pytest.MonkeyPatch) -> Compared:
    """The study, and we stand in its folder."""
    monkeypatch.chdir(made_up.folder)
    return made_up


MULTICLASS = "multiclass"
EPOCHS = 6


def masks_of(planes_NKHW: np.ndarray) -> np.ndarray:
    return np.stack([tasks.get(MULTICLASS).pack(planes_KHW) for planes_KHW in planes_NKHW])


@pytest.fixture(scope="session")
def mixed_study(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """unet with seeds 1 to 4, convnet with 1 to 3, and the predictor frequency, which has no seed.

    Pictures are resized, in all of them the left column is ignored, and unet's first seed has snapshots.
    """
    folder, random = tmp_path_factory.mktemp("mixed"), np.random.default_rng(3)
    truth = {"val": exclusive(objects(random, 6)), "test": exclusive(objects(random, 20))}
    ignore = {split: np.broadcast_to(np.arange(SIDE) == 0, planes[:, 0].shape) for split, planes in truth.items()}
    own = {split: [tasks.get(MULTICLASS).pack(plane.repeat(2, 1).repeat(3, 2)) for plane in planes]
           for split, planes in truth.items()}
    often = {split: np.broadcast_to(truth["test"].mean(0), planes.shape).astype(np.float32)
             for split, planes in truth.items()}
    with contextlib.chdir(folder):
        info = write_dataset(truth, ignore, task=MULTICLASS, own=own)
        for name, share, seeds in (("unet", 0.02, (1, 2, 3, 4)), ("convnet", 0.2, (1, 2, 3))):
            for seed in seeds:
                logits = {split: logits_of(random, spoiled(random, planes, share)) for split, planes in truth.items()}
                falling = np.linspace(3, 1, EPOCHS)
                val = np.array([3, 2, 1.1, 1, 1.4, 1.5] if seed == 2 else [3, 2, 1, 1.2, 1.4, 1.5]) + 0.01 * seed
                history = epochs_of(falling, val, kept=4, val_iou=[0.1, 0.3, 0.5, 0.6, 0.55, 0.58],
                                    train_iou=falling[::-1] / 4)
                windows = history_of(falling, ce=2.0).query("span == 'window'")
                snapshots = {1: masks_of(np.roll(truth["val"][:3], 3, axis=-1)), 4: masks_of(truth["val"][:3])}
                write_variant(f"{name}-ce-{seed}", logits, history=pd.concat([windows, history], ignore_index=True),
                              terms={"ce": 1}, train={"keep": "best", "best_by": "iou", "epochs": 9, "patience": 2},
                              task=MULTICLASS, snapshots=snapshots if (name, seed) == ("unet", 1) else None)
        write_predictors({"frequency": often}, task=MULTICLASS)
        variants = load("shapes", info)
        return Compared(folder, info, variants, Evidence(variants, MARGIN))


@pytest.fixture
def mixed(mixed_study: Compared, monkeypatch: pytest.MonkeyPatch) -> Compared:
    """The study, and we stand in its folder."""
    monkeypatch.chdir(mixed_study.folder)
    return mixed_study
