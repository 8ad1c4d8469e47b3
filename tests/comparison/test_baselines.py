"""Baselines beside made-up networks, one of which never sees anything. Shapes: N pictures, K classes, H, W."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib.comparison.baselines import baseline_table
from seglib.comparison.evidence import Evidence
from seglib.comparison.failures import Floor
from seglib.comparison.findings import equals_baseline, findings, warnings
from seglib.comparison.provenance import provenance_table
from seglib.comparison.tables import class_table, dice_names, seed_table
from seglib.comparison.variants import compared, load
from seglib.datasets.store import DatasetInfo, Split
from tests.comparison.synthetic import (
    epochs_of,
    logits_of,
    objects,
    spoiled,
    write_dataset,
    write_predictors,
    write_variant,
)

BLIND, GOOD = "munet blind", "munet good"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatasetInfo, Evidence]:
    """A good network and one that predicts nothing, of three seeds; two baselines, and a predictor that is none."""
    folder, random = tmp_path_factory.mktemp("baselines"), np.random.default_rng(5)
    truth = {"val": objects(random, 5), "test": objects(random, 20)}
    with contextlib.chdir(folder):
        info = write_dataset(truth)
        for seed in (1, 2, 3):
            good = {split: logits_of(random, spoiled(random, planes, 0.05)) for split, planes in truth.items()}
            blind = {split: np.full(planes.shape, -1.0 - seed, np.float32) for split, planes in truth.items()}
            for loss, logits in (("good", good), ("blind", blind)):
                write_variant(f"munet-{loss}-{seed}", logits, history=epochs_of([2, 1], [2, 1]), terms={"mse": 1},
                              train={"best_by": loss})
        write_predictors({
            "background": {split: np.full(planes.shape, -1, np.float32) for split, planes in truth.items()},
            "foreground": {split: np.ones(planes.shape, np.float32) for split, planes in truth.items()},
            "threshold": {split: logits_of(random, spoiled(random, planes, 0.3)) for split, planes in truth.items()},
        }, baselines=("background", "foreground"))
        return folder, info, Evidence(load("shapes", info), 1000)


@pytest.fixture
def evidence(study: tuple[Path, DatasetInfo, Evidence], monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(study[0])
    return study[2]


@pytest.fixture
def baselines(evidence: Evidence, study: tuple[Path, DatasetInfo, Evidence]) -> pd.DataFrame:
    return baseline_table(evidence, Split.open(Path("data/prepared/shapes"), "test"), study[1].task)


def test_baselines_come_last_and_are_in_no_ranking_and_no_pair(evidence: Evidence):
    labels = [variant.label for variant in evidence.variants]
    assert labels == [GOOD, "threshold", BLIND, "foreground", "background"]
    assert [variant.label for variant in compared(evidence.variants)] == labels[:3]
    scores, pairs = evidence.score_table(), evidence.pair_table()
    assert evidence.ranking(scores, pairs)["variant"].tolist() == labels[:3]
    assert set(pairs["a"]) | set(pairs["b"]) == set(labels[:3])


def test_a_baseline_does_not_make_the_correction_for_many_tests_larger(evidence: Evidence):
    """Holm's correction counts the three pairs of the variants that are compared."""
    iou = evidence.pair_table().query("score == 'iou_dataset'")
    compared = {variant.label for variant in evidence.variants if not variant.baseline}
    assert len(iou) == 3 and {*iou["a"], *iou["b"]} == compared


def test_every_table_of_scores_has_a_row_for_each_baseline(evidence: Evidence, study: tuple):
    test, info = Split.open(Path("data/prepared/shapes"), "test"), study[1]
    for table in (evidence.score_table(), seed_table(evidence.variants), dice_names(evidence.variants, test, info.task),
                  class_table(evidence.variants, info.classes, {})):
        assert {"background", "foreground", "threshold"} <= set(table["variant"])


def test_a_network_that_paints_the_whole_picture_equals_a_baseline(baselines: pd.DataFrame):
    identical = baselines.set_index(["variant", "baseline"])["identical"]
    assert identical[BLIND, "background"] == 1 and identical[BLIND, "foreground"] == 0
    assert identical[GOOD].max() < 0.2  # a picture may truly hold nothing
    assert equals_baseline(baselines) == [{"variant": BLIND, "baselines": ["background"], "identical": 1.0}]


def test_the_difference_to_a_baseline_is_that_of_the_scores(baselines: pd.DataFrame, evidence: Evidence):
    means = evidence.score_table().query("split == 'test' and score == 'iou_dataset'").set_index("variant")["mean"]
    for row in baselines.itertuples():
        assert row.difference == pytest.approx(means[row.variant] - means[row.baseline])
        assert row.low <= row.difference <= row.high


def test_the_terminal_says_it(baselines: pd.DataFrame, evidence: Evidence, study: tuple):
    scores, pairs = evidence.score_table(), evidence.pair_table()
    test = Split.open(Path("data/prepared/shapes"), "test")
    floor = Floor.of(evidence.variants, None)
    found = findings({"ranking": evidence.ranking(scores, pairs, floor), "pairs": pairs, "baselines": baselines,
                      "seed_scores": seed_table(evidence.variants), "provenance": provenance_table(evidence.variants),
                      "dice_names": dice_names(evidence.variants, test, study[1].task)},
                     seedless=["threshold"], floor=dataclasses.asdict(floor))
    assert warnings(found) == [
        f"3 of 3 seeds of {BLIND} failed because test IoU is not above {floor.score:.3f}, that of the best baseline, "
        "foreground",
        f"{BLIND} predicts the same masks as the baseline background on 100 % of the test pictures"]
