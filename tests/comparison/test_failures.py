"""Trainings that failed: how many there are, by the floor of the best baseline or a stated one."""

import contextlib
import itertools

import numpy as np
import pandas as pd
import pytest

from seglib.comparison.coursework import SEEN, WON_WITHOUT_LOOKING
from seglib.comparison.evidence import Evidence
from seglib.comparison.failures import Floor, failed
from seglib.comparison.findings import conclusion, failures
from seglib.comparison.variants import Variant, load
from seglib.metrics.scores import BY_NAME
from tests.comparison import synthetic
from tests.comparison.conftest import MARGIN

MIXED, GOOD, EMPTY = "munet mixed", "munet good", "munet empty"
FLOOR = {"score": 0.1, "baseline": "everything"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Three networks with four seeds: all are good, two predict nothing, all predict nothing. Two baselines."""
    folder, random = tmp_path_factory.mktemp("failures"), np.random.default_rng(2)
    truth = {"val": synthetic.objects(random, 4), "test": synthetic.objects(random, 24)}
    with contextlib.chdir(folder):
        info = synthetic.write_dataset(truth)
        for seed in (1, 2, 3, 4):
            good = {split: synthetic.logits_of(random, synthetic.spoiled(random, planes, 0.05))
                    for split, planes in truth.items()}
            empty = {split: np.full(planes.shape, -1.0 - seed, np.float32) for split, planes in truth.items()}
            for loss, logits in (("good", good), ("mixed", good if seed > 2 else empty), ("empty", empty)):
                synthetic.write_variant(f"munet-{loss}-{seed}", logits, terms={"mse": 1}, train={"best_by": loss},
                                        history=synthetic.epochs_of([2, 1], [2, 1]))
        synthetic.write_predictors({
            "nothing": {split: np.full(planes.shape, -1, np.float32) for split, planes in truth.items()},
            "everything": {split: np.ones(planes.shape, np.float32) for split, planes in truth.items()},
            "poor": {split: np.full(planes.shape, -1, np.float32) for split, planes in truth.items()},
        }, baselines=("nothing", "everything"))
        return Evidence(load("shapes", info), MARGIN)


def of(evidence: Evidence, label: str) -> Variant:
    return next(variant for variant in evidence.variants if variant.label == label)


def test_the_floor_is_the_score_of_the_best_baseline(study: Evidence):
    floor = Floor.of(study.variants, None)
    assert floor.baseline == "everything"
    assert floor.score == of(study, "everything").scores_S("test", "iou_dataset")[0] > 0
    assert Floor.of(study.variants, 0.25) == Floor(score=0.25, baseline=None)
    without = [variant for variant in study.variants if not variant.baseline]
    assert Floor.of(without, None) is None and Floor.of(without, 0.0) == Floor(score=0.0, baseline=None)


@pytest.mark.parametrize(("stated", "expected"), [(None, (0, 2, 4)), (0.0, (0, 2, 4)), (1.0, (4, 4, 4))])
def test_a_training_has_failed_if_it_is_not_above_the_floor(study: Evidence, stated: float | None,
                                                            expected: tuple[int, ...]):
    """A training that scores what the floor is has failed: one that predicts nothing scores 0."""
    floor = Floor.of(study.variants, stated)
    assert tuple(failed(of(study, label), floor) for label in (GOOD, MIXED, EMPTY)) == expected
    assert failed(of(study, "poor"), floor) is failed(of(study, GOOD), None) is None


def test_the_ranking_counts_failed_trainings_and_drops_none(study: Evidence):
    scores, pairs = study.score_table(), study.pair_table()
    ranking = study.ranking(scores, pairs, Floor.of(study.variants, None)).set_index("variant")
    assert ranking["failed"].astype(object).where(ranking["failed"].notna(), None).to_dict() == {
        GOOD: 0, MIXED: 2, EMPTY: 4, "poor": None}
    assert ranking.loc[MIXED, "seeds"] == 4
    assert ranking.loc[MIXED, "mean"] == pytest.approx(of(study, MIXED).scores_S("test", "iou_dataset").mean())


def test_failures_are_of_the_variants_that_have_some():
    ranking = pd.DataFrame({"variant": ["a", "b", "sam"], "mean": [0.5, 0.4, 0.3], "seeds": [5, 3, 1],
                            "failed": pd.array([2, 0, None], dtype="Int64")})
    assert failures(ranking, FLOOR) == {**FLOOR, "trainings": 8, "failed": 2, "variants": [
        {"variant": "a", "failed": 2, "seeds": 5, "mean": 0.5}]}
    assert failures(ranking.assign(failed=pd.array([0, 0, None], dtype="Int64")), FLOOR) is None
    assert failures(ranking.assign(failed=pd.array([None] * 3, dtype="Int64")), None) is None


def test_the_terminal_calls_no_variant_best_without_its_failed_seeds(study: Evidence):
    found = {"too_few_seeds": [], "lead": {"unknown": [], "equivalent": []},
             "first": {"variant": "a", "mean": 0.5, "low": 0.4, "high": 0.6, "failed": 2, "seeds": 5}}
    assert conclusion(found, 0.95) == ("best on test: a, IoU 0.500 (95% interval 0.400 to 0.600); 2 of its 5 seeds "
                                       "failed")
    for none in (0, None):
        assert "failed" not in conclusion(found | {"first": found["first"] | {"failed": none}}, 0.95)


def test_masks_of_nothing_and_of_everything_win_the_scores_that_are_declared_so_and_no_other(study: Evidence):
    """One of the two has the best value that the score can have, or no value at all."""
    won = set()
    for name, variant in itertools.product(SEEN, ("nothing", "everything")):
        value, best = of(study, variant).scores_S("test", name)[0], BY_NAME[name].better == "higher"
        if np.isnan(value) or value == best:
            won.add(name)
    assert won == set(WON_WITHOUT_LOOKING)
