"""One made-up study for all tests of this room: a good network, its twins, and a bad one; two seeds each."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from seglib.comparison.evidence import Evidence
from seglib.comparison.variants import Variant, load
from seglib.datasets.store import DatasetInfo
from tests.comparison.synthetic import history_of, logits_of, objects, spoiled, write_dataset, write_variant

RESAMPLES = 1000
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
        for seed in (1, 2):
            good, bad = ({split: logits_of(random, spoiled(random, planes, share)) for split, planes in said.items()}
                         for said, share in ((truth, 0.03 + 0.005 * seed), (taken, 0.2)))
            for loss, logits, curve, terms in (
                    ("good", good, FALLING, {"mse": 1, "dice": 20}), ("alias", good, FALLING, {"mse": 1, "dice": 20}),
                    ("same", good, FALLING, {"mse": 1}), ("bad", bad, ZIGZAG, {"dice": 1})):
                norms = {"mse": 6.0, "dice": 0.1 * seed} if len(terms) == 2 else dict.fromkeys(terms, 1.0)
                write_variant(f"munet-{loss}-{seed}", logits, history=history_of(curve + 0.1 * seed, **norms),
                              terms=terms, train=LABEL)
        variants = load("shapes", info)
        return Compared(folder, info, variants, Evidence(variants, RESAMPLES))


@pytest.fixture(scope="session")
def one_seed(made_up: Compared) -> Compared:
    """Its first seeds alone."""
    variants = [dataclasses.replace(variant, runs=variant.runs[:1]) for variant in made_up.variants]
    with contextlib.chdir(made_up.folder):
        return dataclasses.replace(made_up, variants=variants, evidence=Evidence(variants, RESAMPLES))


@pytest.fixture
def compared(made_up: Compared, monkeypatch: pytest.MonkeyPatch) -> Compared:
    """The study, and we stand in its folder."""
    monkeypatch.chdir(made_up.folder)
    return made_up
