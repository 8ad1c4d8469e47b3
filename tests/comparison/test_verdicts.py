"""Verdicts on claims: every verb on evidence whose answer is known."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from seglib.comparison import claims, published
from seglib.comparison.agreement import Sources
from seglib.comparison.claims import load
from seglib.comparison.evidence import Evidence
from seglib.comparison.published_values import Data
from seglib.comparison.verdicts import decide
from seglib.files import canonical_json
from seglib.metrics.inference import of_difference
from tests.comparison.conftest import MARGIN, Compared, with_seeds
from tests.comparison.test_claims import BAD, GOOD, claim
from tests.conftest import ROOT, prepare_config

GOOD_LABEL = "munet alias = munet good"
SAME, ALIAS, NEVER = ({"model": "munet", "loss": loss} for loss in ("same", "alias", "never"))


DATA = Data(pictures={"train": 9, "val": 1, "test": 26}, image_size=[14, 14], classes=["disk", "star", "box", "ghost"],
            label_values=[50.0, 100.0, 150.0, 200.0], class_pixels=[4, 4, 4, 0], valid_pixels=100, generated=False)
SOURCES = Sources(entries=published.load(ROOT / "published.yaml"), dataset="shapes", data=DATA,
                  prepare=prepare_config({"kind": "shapes", "border": "ignore", "image_size": 14}))


def verdict(compared: Compared, *parts: dict[str, Any], **changes: Any) -> str:
    found, = decide([claim(*parts, **changes)], compared.evidence, SOURCES)
    canonical_json(found)  # compare writes it: no NaN
    return found["verdict"]


S, C, U, N, FEW = "supported", "contradicted", "undecided", "not run", "too few seeds"
MATRIX = [
    ({"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}, S),
    ({"score": "iou_dataset", "is": "higher", "a": BAD, "b": GOOD}, C),
    ({"score": "iou_dataset", "is": "higher", "a": GOOD, "b": SAME}, U),
    ({"score": "iou_dataset", "is": "higher", "a": GOOD, "b": NEVER}, N),
    ({"score": "iou_dataset", "is": "higher", "a": ALIAS, "b": BAD}, S),  # found by its other name
    ({"score": "hole_share", "is": "lower", "a": GOOD, "b": BAD}, S),
    ({"score": "hole_share", "is": "lower", "a": BAD, "b": GOOD}, C),
    ({"score": "hole_share", "is": "lower", "a": SAME, "b": GOOD}, U),
    ({"score": "iou_dataset", "is": "equal", "within": 0.2, "a": GOOD, "b": SAME}, S),
    ({"score": "iou_dataset", "is": "equal", "within": 0.1, "a": GOOD, "b": BAD}, C),
    ({"score": "iou_dataset", "is": "equal", "within": 0.1, "a": BAD, "b": GOOD}, C),
    ({"score": "iou_dataset", "is": "equal", "within": 0.43, "a": GOOD, "b": BAD}, U),  # they differ by about this
    ({"score": "iou_dataset", "is": "equal", "within": 0.01, "a": GOOD, "b": SAME}, U),
    ({"score": "iou_dataset", "is": "different", "within": 0.1, "a": GOOD, "b": BAD}, S),
    ({"score": "iou_dataset", "is": "different", "within": 0.1, "a": BAD, "b": GOOD}, S),
    ({"score": "iou_dataset", "is": "different", "within": 0.2, "a": GOOD, "b": SAME}, C),
    ({"score": "iou_dataset", "is": "different", "within": 0.01, "a": GOOD, "b": SAME}, U),
    ({"score": "iou_dataset", "is": "above", "than": 0.4, "a": GOOD}, S),
    ({"score": "iou_dataset", "is": "above", "than": 0.9, "a": GOOD}, C),
    ({"score": "iou_dataset", "is": "above", "than": 0.57, "a": GOOD}, U),
    ({"score": "iou_dataset", "is": "above", "than": 0.4, "a": NEVER}, N),
    ({"score": "iou_dataset", "is": "below", "than": 0.9, "a": GOOD}, S),
    ({"score": "iou_dataset", "is": "below", "than": 0.4, "a": GOOD}, C),
    ({"score": "iou_dataset", "is": "above", "than": 0.3, "a": GOOD, "b": BAD}, S),  # the difference, about .43
    ({"score": "iou_dataset", "is": "above", "than": 0.6, "a": GOOD, "b": BAD}, C),
    ({"score": "iou_dataset", "is": "below", "than": 0.6, "a": GOOD, "b": BAD}, S),
    ({"score": "iou_dataset", "is": "below", "than": -0.3, "a": BAD, "b": GOOD}, S),
    ({"score": "pixel_ap", "is": "higher", "a": GOOD, "b": BAD}, S),
    ({"score": "displayed", "is": "higher", "a": GOOD, "b": BAD}, N),  # these networks have no such score
    ({"score": "missed", "is": "higher", "a": BAD | {"score": "wrong_class"}, "b": GOOD | {"score": "missed"}}, S),
    ({"score": "curve_roughness", "is": "lower", "a": GOOD, "b": BAD}, S),
    ({"score": "curve_roughness", "is": "higher", "a": GOOD, "b": BAD}, C),
    ({"score": "curve_roughness", "is": "higher", "a": GOOD, "b": SAME}, U),
    ({"score": "balancing_scale", "is": "above", "than": -500, "a": GOOD}, S),
    ({"score": "balancing_scale", "is": "above", "than": 45, "a": GOOD}, U),
    ({"score": "balancing_scale", "is": "above", "than": 45, "a": SAME}, N),
    ({"score": "balancing_scale", "is": "higher", "a": SAME, "b": GOOD}, N),
    ({"score": "class_imbalance", "is": "below", "than": 100}, S),
    ({"score": "class_imbalance", "is": "above", "than": 100}, C),
    # The good one's normalised curve lies lower, its IoU higher: the curve does not say what the pictures do.
    ({"score": "curve_normalised", "is": "opposite", "against": "iou_dataset", "a": GOOD, "b": BAD}, C),
    ({"score": "curve_normalised", "is": "opposite", "against": "iou_dataset", "a": BAD, "b": GOOD}, C),
    ({"score": "curve_normalised", "is": "opposite", "against": "hole_share", "a": GOOD, "b": BAD}, S),
    ({"score": "curve_normalised", "is": "opposite", "against": "iou_dataset", "a": GOOD, "b": SAME}, U),
    ({"score": "curve_normalised", "is": "opposite", "against": "displayed", "a": GOOD, "b": BAD}, N),
]


@pytest.mark.parametrize(("part", "expected"), MATRIX,
                         ids=[f"{part['score']}-{part['is']}-{expected}" for part, expected in MATRIX])
def test_verdicts(compared: Compared, part: dict[str, Any], expected: str):
    assert verdict(compared, part) == expected


def test_the_figures_are_the_comparisons_own(compared: Compared):
    part = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}
    found, = decide([claim(part)], compared.evidence, SOURCES)
    pairs = compared.evidence.pair_table()
    row = pairs[(pairs["score"] == "iou_dataset") & (pairs["a"] == "munet alias = munet good")
                & (pairs["b"] == "munet bad")].iloc[0]
    shown, expected = found["parts"][0], row[["difference", "low", "high"]].tolist()
    assert [shown[key] for key in ("value", "low", "high")] == pytest.approx(expected)
    assert "munet bad" in shown["text"] and "expected above 0" in shown["text"]
    assert (found["id"], found["claim"], found["whose"], found["source"]) == ("x", "X.", "yours", "us")


def test_all_parts_of_all_claims_share_one_error_budget(compared: Compared):
    """Holm's procedure by hand: the smallest p times the number of tests, the next times one less, and so on."""
    surely = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}
    estimate = compared.evidence.tested((compared.variant(GOOD_LABEL), "iou_dataset")).decides
    than = float(estimate.value - scipy.stats.t.isf(0.01, estimate.freedom) * estimate.variance**0.5)  # p is 0.02
    barely = {"score": "iou_dataset", "is": "above", "than": than, "a": GOOD}
    never = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": NEVER}  # no test, so it takes nothing
    alone, = decide([claim(barely, id="alone")], compared.evidence, SOURCES)
    assert alone["verdict"] == S and 0.02 <= alone["parts"][0]["p_holm"] < 0.05
    many = [claim(surely, id="1"), claim(surely, never, id="2"), *(claim(barely, id=str(n)) for n in range(3, 9))]
    found = decide(many, compared.evidence, SOURCES)
    assert [one["verdict"] for one in found] == [S, N, *[U] * 6]
    p = [part["p_holm"] for one in found for part in one["parts"] if part["p_holm"] is not None]
    assert p[0] == p[1] < 0.05 and len(p) == 8
    assert p[2:] == pytest.approx([6 * 0.02] * 6)


def test_a_decided_part_has_an_interval_that_excludes_its_limit(compared: Compared):
    for than in np.linspace(0.4, 0.7, 31):
        found, = decide([claim({"score": "iou_dataset", "is": "above", "than": than, "a": GOOD})], compared.evidence,
                        SOURCES)
        part, = found["parts"]
        if part["verdict"] != U:
            assert part["verdict"] == (S if part["low"] > than else C)
            assert not part["low"] <= than <= part["high"]


def test_equality_is_shown_by_two_one_sided_tests(compared: Compared):
    """The 90 % interval must lie within the limit; the 95 % interval need not."""
    tested = compared.evidence.tested(*((compared.variant(name), "iou_dataset") for name in (GOOD_LABEL, "munet same")))
    (low, high), (wide_low, wide_high) = tested.decides.interval(0.9), tested.decides.interval(0.95)
    limit = float((max(-low, high) + max(-wide_low, wide_high)) / 2)
    part = {"score": "iou_dataset", "is": "equal", "a": GOOD, "b": SAME}
    assert verdict(compared, part | {"within": limit}) == S
    assert verdict(compared, part | {"within": 0.99 * float(max(-low, high))}) == U


def test_two_scores_of_one_variant_are_compared_within_its_trainings(compared: Compared):
    small, large = "missed_small", "missed_large"
    part = {"score": "missed", "is": "higher", "a": BAD | {"score": small}, "b": BAD | {"score": large}}
    found, = decide([claim(part)], compared.evidence, SOURCES)
    bad = compared.variant("munet bad")
    blocks = [compared.evidence.blocks(bad, name) for name in (small, large)]
    paired_S = blocks[0].scores_S - blocks[1].scores_S
    assert found["parts"][0]["value"] == pytest.approx(paired_S.mean())
    independent = of_difference(*blocks)
    paired = compared.evidence.tested((bad, small), (bad, large))
    assert paired.interval.value == pytest.approx(independent.value)
    assert paired.interval.variance != pytest.approx(independent.variance)


def test_the_imbalance_of_classes_is_that_of_the_truth_with_an_interval_over_pictures(compared: Compared):
    """The interval covers the imbalance that 2,000 draws of the pictures with replacement give in 19 of 20 cases."""
    found, = decide([claim({"score": "class_imbalance", "is": "below", "than": 100})], compared.evidence, SOURCES)
    part, = found["parts"]
    cases = compared.variants[0].results[0].cases["test"]
    pixels_NK = cases["tp"] + cases["fn"]
    total_K = pixels_NK.sum(0)
    largest, smallest = total_K.argmax(), np.where(total_K > 0, total_K, np.inf).argmin()
    assert part["value"] == pytest.approx(total_K[largest] / total_K[smallest])
    drawn = np.random.default_rng(0).integers(0, len(pixels_NK), (2000, len(pixels_NK)))
    ratios = pixels_NK[drawn][..., largest].sum(1) / pixels_NK[drawn][..., smallest].sum(1)
    expected = np.log(np.maximum(np.quantile(ratios, [0.025, 0.975]), 1))  # the largest is never below the smallest
    assert np.log([part["low"], part["high"]]) == pytest.approx(expected, abs=0.25)  # 26 pictures


def test_when_a_claim_was_registered_and_changed_goes_with_its_verdict(compared: Compared):
    part = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}
    change = {"date": "2026-11-27", "what": "its limit", "why": "rounding"}
    found, = decide([claim(part, registered="2026-11-21", changed=[change])], compared.evidence, SOURCES)
    assert (found["registered"], found["changed"]) == ("2026-11-21", [change])
    found, = decide([claim(part)], compared.evidence, SOURCES)
    assert (found["registered"], found["changed"]) == (None, [])


def test_a_claim_is_as_good_as_its_worst_part(compared: Compared):
    supported = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}
    undecided, contradicted = supported | {"b": SAME}, supported | {"a": BAD, "b": GOOD}
    assert verdict(compared, supported, supported) == S
    assert verdict(compared, supported, undecided) == U
    assert verdict(compared, undecided, contradicted, supported) == C
    assert verdict(compared, contradicted, supported | {"b": NEVER}) == N


def test_each_is_a_comparison_a_name(compared: Compared):
    part = {"score": "iou_dataset", "is": "higher", "b": {"loss": "bad"}, "each": {"model": ["munet"]}}
    assert verdict(compared, part | {"a": {"loss": "good"}}) == S
    part = {"score": "iou_dataset", "is": "above", "than": 0.4, "each": {"model": ["munet"], "loss": ["good", "bad"]}}
    found, = decide([claim(part)], compared.evidence, SOURCES)
    assert [one["verdict"] for one in found["parts"]] == [S, C]
    assert found["verdict"] == C and found["why"] == "1 supported, 1 contradicted of 2 comparisons"


def test_each_of_a_claim_is_a_claim_a_name(compared: Compared, tmp_path: Path):
    (tmp_path / "claims.yaml").write_text("""
- {id: one, claim: Never bad., whose: yours, source: a test, datasets: [shapes], each: {loss: [good, bad]}, parts: [
   {score: iou_dataset, is: above, than: 0.4, a: {model: munet}}]}
""")
    found = decide(load(tmp_path / "claims.yaml"), compared.evidence, SOURCES)
    assert [(one["id"], one["claim"], one["verdict"]) for one in found] == [
        ("one@good", "Never bad (good).", S), ("one@bad", "Never bad (bad).", C)]


def test_what_was_trained_otherwise_does_not_count(compared: Compared):
    part = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}
    assert verdict(compared, part, train={"targets": "label"}) == S
    found, = decide([claim(part, train={"targets": "unit"})], compared.evidence, SOURCES)
    assert found["verdict"] == N
    assert found["why"] == "needs munet good, targets: unit and munet bad, targets: unit"


UNET, CONVNET = ({"model": model, "loss": "ce"} for model in ("unet", "convnet"))
FREQUENCY = {"predictor": "frequency"}


def test_what_needs_more_epochs_than_were_trained_is_not_run(mixed: Compared):
    part = {"score": "iou_dataset", "is": "higher", "a": UNET, "b": CONVNET}
    # They were asked for 9 epochs and stopped after 6.
    assert verdict(mixed, part, epochs=6) == S
    found, = decide([claim(part, epochs=7)], mixed.evidence, SOURCES)
    assert found["verdict"] == N
    assert found["why"] == "needs unet ce, at least 7 epochs and convnet ce, at least 7 epochs"
    assert verdict(mixed, {"score": "val_dice_by_epoch_10", "is": "above", "than": 0.1, "a": UNET}) == N


def test_a_model_without_epochs_and_seeds_is_compared_all_the_same(mixed: Compared):
    part = {"score": "pixel_ap", "is": "higher", "a": UNET, "b": FREQUENCY}
    assert verdict(mixed, part, epochs=6, train={"patience": 2}) == S
    assert verdict(mixed, {"score": "iou_dataset", "is": "below", "than": 0.9, "a": FREQUENCY}, epochs=6) == S
    for name in ("curve_roughness", "val_loss_rise", "lowest_val_loss_epoch", "val_iou_by_epoch_16"):
        assert verdict(mixed, {"score": name, "is": "higher", "a": UNET, "b": FREQUENCY}) == N


def test_quantities_of_epochs_are_decided_over_seeds(mixed: Compared):
    assert verdict(mixed, {"score": "lowest_val_loss_epoch", "is": "above", "than": 2, "a": UNET}) == S
    assert verdict(mixed, {"score": "lowest_val_loss_epoch", "is": "above", "than": 5, "a": UNET}) == C
    assert verdict(mixed, {"score": "val_loss_rise", "is": "above", "than": 0.4, "a": UNET}) == S
    assert verdict(mixed, {"score": "score_gap", "is": "lower", "a": UNET, "b": CONVNET}) == U  # the same curves


def test_a_quantity_of_a_model_without_seeds_has_no_interval(mixed: Compared):
    part = {"score": "poor_mask_accuracy", "is": "above", "than": 0.1, "a": FREQUENCY}
    found, = decide([claim(part)], mixed.evidence, SOURCES)
    assert found["verdict"] == U and found["parts"][0]["text"].endswith("expected above 0.1 (no interval)")


def test_a_claim_on_another_dataset_is_not_told(compared: Compared):
    part = {"score": "class_imbalance", "is": "below", "than": 100}
    assert decide([claim(part, datasets=["coco"])], compared.evidence, SOURCES) == []


@pytest.mark.parametrize("seeds", ["one_seed", "two_seeds"])
@pytest.mark.parametrize(("part", "with_enough"), MATRIX,
                         ids=[f"{part['score']}-{part['is']}-{expected}" for part, expected in MATRIX])
def test_too_few_seeds_decide_nothing_but_what_is_of_data_alone(request: pytest.FixtureRequest, seeds: str,
                                                               part: dict[str, Any], with_enough: str):
    study = request.getfixturevalue(seeds)
    is_decided = with_enough == N or part["score"] == claims.BALANCE
    assert verdict(study, part) == (with_enough if is_decided else FEW)


def test_too_few_seeds_are_counted_beside_the_figures(two_seeds: Compared, compared: Compared):
    part = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}
    found, = decide([claim(part)], two_seeds.evidence, SOURCES)
    assert found["why"] == "each trained variant needs at least 3 seeds"
    shown, = found["parts"]
    assert shown["verdict"] == FEW and shown["low"] > 0
    assert shown["text"].endswith("expected above 0; too few seeds (munet alias = munet good: 2, munet bad: 2)")
    opposite = {"score": "curve_normalised", "is": "opposite", "against": "iou_dataset", "a": GOOD, "b": BAD}
    found, = decide([claim(opposite)], with_seeds(compared, 2, "munet bad").evidence, SOURCES)
    assert found["parts"][0]["text"].endswith("; too few seeds (munet bad: 2)")


def test_not_run_goes_before_too_few_seeds_and_these_before_the_rest(mixed: Compared):
    study = with_seeds(mixed, 2, "convnet ce")
    few = {"score": "iou_dataset", "is": "higher", "a": UNET, "b": CONVNET}
    supported, contradicted = few | {"b": FREQUENCY}, few | {"a": FREQUENCY, "b": UNET}
    assert verdict(study, supported) == S and verdict(study, contradicted) == C
    assert verdict(study, few, supported) == verdict(study, few, contradicted) == FEW
    assert verdict(study, few, contradicted, few | {"b": {"model": "unet", "loss": "never"}}) == N


def test_a_quantity_that_too_few_seeds_have_decides_nothing(compared: Compared):
    part = {"score": "balancing_scale", "is": "above", "than": -500, "a": GOOD}
    variant = compared.variants[0]
    without = dataclasses.replace(variant.results[0], history=variant.results[0].history.drop(columns="dice_grad_norm"))
    variant = dataclasses.replace(variant, results=[without, *variant.results[1:]])
    variants = [variant, *compared.variants[1:]]
    found, = decide([claim(part)], Evidence(variants, MARGIN), SOURCES)
    assert verdict(compared, part) == S and found["verdict"] == FEW
    assert found["parts"][0]["text"].endswith("; too few seeds (munet alias = munet good: 2)")


def test_a_users_own_claim_is_read_and_decided(compared: Compared, tmp_path: Path):
    own = ("- {id: mine, claim: Good is good., whose: yours, source: a hunch, datasets: [shapes], parts: [{score: "
           "dice_dataset, is: higher, a: {model: munet, loss: good}, b: {model: munet, loss: bad}}]}\n")
    path = tmp_path / "claims.yaml"
    path.write_text((ROOT / "claims.yaml").read_text() + own)
    found = decide(load(path), compared.evidence, SOURCES)
    assert found[-1]["id"] == "mine" and found[-1]["verdict"] == S
    of_data, = (one for one in found if one["id"] == "shapes-is-balanced-here")
    assert of_data["verdict"] in (S, C, U)
    assert {one["verdict"] for one in found[:-1] if one != of_data} == {N}


def test_a_predictor_that_the_study_lacks_is_named(mixed: Compared):
    part = {"score": "iou_dataset", "is": "higher", "a": UNET, "b": {"predictor": "otsu"}}
    found, = decide([claim(part, epochs=6)], mixed.evidence, SOURCES)
    assert (found["verdict"], found["why"]) == (N, "needs the predictor otsu")


def test_conditions_reach_the_augmentation(mixed: Compared):
    """These trainings augmented nothing."""
    part = {"score": "iou_dataset", "is": "higher", "a": UNET, "b": CONVNET}
    assert verdict(mixed, part, train={"flip": 0.0}) == S and verdict(mixed, part, train={"flip": 0.5}) == N
