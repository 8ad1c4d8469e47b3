"""The facts that answer the coursework's questions, from small tables whose answers are known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglib.comparison.coursework import dice_scale, falling_loss, seen, variation
from seglib.comparison.study import Study
from seglib.metrics import pairwise
from seglib.metrics.inference import Blocks

LOSSES = {"mse": {"mse": 1.0}, "k1": {"mse": 1.0, "dice": 1.0}, "k40": {"mse": 0.5, "dice": 20.0},
          "dice": {"dice": 1.0}, "ce": {"ce": 1.0}}
LOSSES |= {"flat1": LOSSES["k1"], "flat40": LOSSES["k40"]}


def study(means: dict[str, float], *, seeds: int = 3, few: tuple[str, ...] = (), decided: str = "better",
          failed: tuple[str, ...] = (), targets: dict[str, str] | None = None, sd: float = 0.02, width: float = 0.01,
          **tables: pd.DataFrame) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The summary and the tables of variants "model loss" with these means of every score; `frequency` has no seed.

    Args:
        few: the variants with a single seed.
        failed: the variants of which one training failed.
        decided: the verdict on pairs of which both variants have enough seeds.
        targets: those of a model, "unit" if it is not named.
        width: how far each interval reaches on both sides of its mean.
        tables: tables to use in place of the ones made here.
    """
    ordered = sorted(means, key=lambda variant: -means[variant])
    enough = {variant: variant not in few and (seeds > 2 or variant == "frequency") for variant in ordered}
    names = {variant: [tuple(variant.split())] for variant in means if variant != "frequency"}
    rows = [{"variant": variant, "mean": means[variant], "low": means[variant] - width, "high": means[variant] + width,
             "sd": sd if seeds > 1 and variant != "frequency" else np.nan, "seeds": seeds,
             "failed": None if variant == "frequency" else int(variant in failed),
             "enough_seeds": enough[variant]} for variant in ordered]
    pairs = [{"a": a, "b": b, "score": score, "difference": means[a] - means[b],
              "verdict": decided if enough[a] and enough[b] else "too few seeds"}
             for score in ("iou_dataset", "specks") for i, a in enumerate(ordered) for b in ordered[i + 1:]]
    ranking = pd.DataFrame(rows)
    made = {
        "ranking": ranking,
        "scores": pd.concat([ranking.assign(split="test", score=score) for score in ("iou_dataset", "specks")]),
        "pairs": pd.DataFrame(pairs, columns=["a", "b", "score", "difference", "verdict"]),
        "gradients": pd.DataFrame(columns=["variant", "term", "weight", "first", "median", "last"]),
        "groups": pd.DataFrame(columns=["variant", "split", "by", "group", "score", "mean", "low", "high"]),
        "group_pairs": pd.DataFrame(columns=["variant", "by", "a", "b", "verdict"]),
        "curves": pd.DataFrame(columns=["variant", "seed", "curve", "iteration", "loss", "normalised", "iou_score"])}
    configs = {variant: {"model": {"kind": model}, "loss": {"terms": LOSSES[loss]},
                         "train": {"targets": (targets or {}).get(model, "unit")}}
               for variant, [(model, loss)] in names.items()}
    configs["frequency"] = {"model": {"kind": "frequency"}, "loss": {"terms": {}}, "train": {"targets": "unit"}}
    return {"configs": configs, "names": names | {"frequency": [("frequency", "mse")]}, "seedless": ["frequency"]}, \
        made | tables


def gradients(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    """(variant, its k, the norms of MSE in the first, the median and the last window), where Dice's norm is 1."""
    return pd.DataFrame([{"variant": variant, "term": term, "weight": weight, "first": norms[0], "median": norms[1],
                          "last": norms[2]} for variant, k, *of_mse in rows
                         for term, weight, norms in (("mse", 1.0, of_mse), ("dice", k, (1.0, 1.0, 1.0)))])


def curves(variant: str, *, train: list[float], val: list[float], iou: list[float], seed: int = 1) -> pd.DataFrame:
    epochs = range(1, len(val) + 1)
    return pd.concat([
        pd.DataFrame({"variant": variant, "seed": seed, "curve": "train epoch", "iteration": epochs, "loss": train,
                      "normalised": 0.0}),
        pd.DataFrame({"variant": variant, "seed": seed, "curve": "val epoch", "iteration": epochs, "loss": val,
                      "normalised": 0.0, "iou_score": iou})])


SWEEP = {"a mse": 0.6, "a k1": 0.7, "a k40": 0.8, "a dice": 0.5}


def test_gradients_are_equal_at_the_ratio_of_their_norms():
    table = gradients(("a k1", 1, 3.0, 1.5, 0.5), ("a k40", 40, 3.0, 2.0, np.nan))
    found = dice_scale(Study.of(*study(SWEEP, gradients=table)))
    first, second = found["gradients"]
    assert first == {"variant": "a k1", "k": 1, "targets": "unit",
                     "equal": {"first": 3, "median": 1.5, "last": 0.5},
                     "pulls": {"first": "MSE", "median": "about equal", "last": "about equal"}}
    assert second["equal"]["last"] is second["pulls"]["last"] is None
    assert found["equal"] == [{"targets": "unit", "variants": 2, "led": {"MSE": [], "Dice": []},
                               "ranges": {"first": [3, 3], "median": [1.5, 2], "last": [0.5, 0.5]}}]
    assert found["ran"] == [1, 40]


def test_a_term_that_led_throughout_and_one_that_vanished():
    led = gradients(("a k1", 1, 3, 4, 5), ("a k40", 40, 3, 4, 5))
    found = dice_scale(Study.of(*study(SWEEP, gradients=led)))
    assert found["equal"][0]["led"] == {"MSE": ["a k1"], "Dice": ["a k40"]}
    vanished = led.assign(**{window: np.where(led["term"] == "dice", 0.0, led[window])
                             for window in ("first", "median", "last")})
    assert dice_scale(Study.of(*study(SWEEP, gradients=vanished)))["equal"] == []


def test_each_scale_of_targets_has_gradients_and_a_sweep_of_its_own():
    means = SWEEP | {"b k1": 0.3, "b k40": 0.2}
    table = gradients(("a k1", 1, 3, 3, 3), ("b k1", 1, 9, 9, 9))
    found = dice_scale(Study.of(*study(means, targets={"b": "label"}, gradients=table)))
    assert [(row["targets"], row["ranges"]["first"]) for row in found["equal"]] == [("unit", [3, 3]), ("label", [9, 9])]
    assert [(sweep["model"], sweep["settings"]) for sweep in found["sweeps"]] == [
        ("a", {"targets": "unit"}), ("b", {"targets": "label"})]


def test_dice_of_a_batch_and_dice_of_each_image_are_two_sweeps_that_share_mse_alone():
    summary, tables = study(SWEEP | {"a flat1": 0.65, "a flat40": 0.75})
    for variant, config in summary["configs"].items():
        if "dice" in config["loss"]["terms"]:
            config["loss"]["dice_reduction"] = "batch" if "flat" in variant else "image"
    found = dice_scale(Study.of(summary, tables))["sweeps"]
    variants = {sweep["settings"]["dice_reduction"]: [point["variant"] for point in sweep["points"]] for sweep in found}
    assert variants == {"image": ["a mse", "a k1", "a k40", "a dice"], "batch": ["a mse", "a flat1", "a flat40"]}


def test_a_sweep_is_ordered_by_k_and_says_how_the_best_mixture_compares():
    found, = dice_scale(Study.of(*study(SWEEP | {"a ce": 0.9}, few=("a dice",))))["sweeps"]
    assert [(point["k"], point["mean"]) for point in found["points"]] == [(0, 0.6), (1, 0.7), (40, 0.8), (None, 0.5)]
    assert found["highest"]["variant"] == "a k40"
    assert found["against"] == [{"k": 0, "verdict": "better"}, {"k": 1, "verdict": "better"},
                                {"k": None, "verdict": "too few seeds"}]
    means = {"a mse": 0.9, "a k1": 0.7, "a k40": 0.8}
    found, = dice_scale(Study.of(*study(means | {"a dice": 0.1})))["sweeps"]
    assert [row["verdict"] for row in found["against"]] == ["worse", "better", "better"]
    found, = dice_scale(Study.of(*study(means | {"a dice": 0.1}, decided="unknown")))["sweeps"]
    assert {row["verdict"] for row in found["against"]} == {"unknown"}


def test_one_mixture_is_no_sweep_and_no_dice_no_question():
    assert dice_scale(Study.of(*study({"a mse": 0.6, "a k1": 0.7, "b k40": 0.5})))["sweeps"] == []
    assert dice_scale(Study.of(*study({"a mse": 0.6, "a ce": 0.5, "frequency": 0.1}))) is None


def test_spread_between_losses_models_and_seeds_is_a_standard_deviation():
    means = {"a mse": 0.6, "a dice": 0.8, "b mse": 0.5, "b dice": 0.9, "frequency": 0.95}
    found = variation(Study.of(*study(means, sd=0.05)))
    between_losses = np.sqrt((np.var([0.6, 0.8], ddof=1) + np.var([0.5, 0.9], ddof=1)) / 2)
    between_models = np.sqrt((np.var([0.6, 0.5], ddof=1) + np.var([0.8, 0.9], ddof=1)) / 2)
    assert found["spread"] == pytest.approx({"losses": between_losses, "models": between_models, "seeds": 0.05})
    assert found["seeds"] == 3 and found["variant"] == "frequency"
    for what, between in (("losses", between_losses), ("models", between_models)):  # 0.05² / 3 is what seeds give
        left = np.sqrt(max(between**2 - 0.05**2 / 3, 0))
        assert found["beyond_seeds"][what] == {"sd": pytest.approx(left), "decided": True}


def test_too_few_seeds_leave_no_spread_to_take_theirs_off():
    found = variation(Study.of(*study({"a mse": 0.6, "a dice": 0.8}, seeds=2)))
    assert found["spread"]["losses"] > 0 and found["spread"]["seeds"] > 0
    assert found["spread"]["models"] is None and found["beyond_seeds"] == {"losses": None, "models": None}
    assert variation(Study.of(*study({"a mse": np.nan, "a dice": np.nan}))) is None
    few = variation(Study.of(*study({"a mse": 0.6, "a dice": 0.8, "b mse": 0.5}, few=("b mse",))))["beyond_seeds"]
    assert few["losses"]["sd"] > 0 and few["models"] is None


def simulated(random: np.random.Generator, between: float, *, variants: int, seeds: int = 5) -> dict[str, Any]:
    """`beyond_seeds` of losses whose true means vary by `between`, and whose seeds vary by 0.02."""
    names = [f"a {n}" for n in range(variants)]
    scores = 0.6 + random.normal(0, between, (variants, 1)) + random.normal(0, 0.02, (variants, seeds))
    order = np.argsort(-scores.mean(1))
    blocks = [Blocks(scores_S=scores[n], deviations_SX=np.zeros((seeds, 50)), units=50,
                     informed=np.array(50)) for n in order]
    pairs = [{"a": names[order[pair.a]], "b": names[order[pair.b]], "score": "iou_dataset",
              "difference": float(pair.difference.value), "verdict": pair.verdict}
             for pair in pairwise.compare(blocks, margin=None)]
    rows = pd.DataFrame([{"variant": names[n], "mean": scores[n].mean(), "sd": scores[n].std(ddof=1), "seeds": seeds,
                          "failed": 0, "enough_seeds": True} for n in order])
    summary, tables = study({"a mse": 0.5, "a dice": 0.5})
    summary = {"configs": {name: {"model": "a", "loss": name, "train": {}} for name in names}, "seedless": [],
               "names": {name: [tuple(name.split())] for name in names}}
    tables |= {"ranking": rows, "pairs": pd.DataFrame(pairs, columns=["a", "b", "score", "difference", "verdict"]),
               "scores": rows.assign(split="test", score="iou_dataset")}
    return variation(Study.of(summary, tables))["beyond_seeds"]["losses"]


def test_equal_losses_are_seldom_said_to_differ_beyond_their_seeds():
    """The naive ratio of both spreads is about 0.45 here, so it always had something to say."""
    random = np.random.default_rng(7)
    found = [simulated(random, 0.0, variants=4) for _ in range(200)]
    assert np.mean([row["decided"] for row in found]) < 0.08
    assert np.mean([row["sd"] == 0 for row in found]) > 0.4
    assert np.mean([row["sd"] ** 2 for row in found]) < 0.02**2 / 5  # what is cut off at 0 makes it positive


@pytest.mark.parametrize("between", [0.03, 0.1])
def test_the_spread_beyond_seeds_is_the_true_one(between: float):
    random = np.random.default_rng(8)
    found = [simulated(random, between, variants=10) for _ in range(100)]
    assert np.mean([row["sd"] ** 2 for row in found]) ** 0.5 == pytest.approx(between, rel=0.08)
    assert np.mean([row["decided"] for row in found]) > 0.95


COMPLETENESS = {"size": {"small": 0.3, "medium": 0.6, "large": 0.9}, "overlap": {"free": 0.7, "covered": 0.65}}


@pytest.mark.parametrize("decided", ["better", "unknown", "equivalent", "too few seeds"])
def test_groups_of_objects_are_told_apart_if_the_two_ends_are(decided: str):
    groups = pd.DataFrame([
        {"variant": "a mse", "split": "test", "by": by, "group": group, "score": "completeness", "mean": mean,
         "low": mean - 0.001, "high": mean + 0.001}
        for by, means in COMPLETENESS.items() for group, mean in means.items()])
    pairs = pd.DataFrame([("a mse", "size", "large", "small", decided), ("a mse", "size", "large", "medium", "better"),
                          ("a dice", "overlap", "free", "covered", "better"),
                          ("a mse", "overlap", "free", "covered", "unknown")],
                         columns=["variant", "by", "a", "b", "verdict"])
    found = variation(Study.of(*study({"a mse": 0.6}, groups=groups, group_pairs=pairs)))
    assert found["groups"] == ([{"by": "size", "highest": {"group": "large", "mean": 0.9},
                                 "lowest": {"group": "small", "mean": 0.3}}] if decided == "better" else [])


def test_what_is_seen_is_compared_among_losses_of_a_model_and_models_of_a_loss():
    found = seen(Study.of(*study({"a mse": 0.6, "a dice": 0.8, "a ce": 0.7, "b mse": 0.605, "frequency": 0.1})))
    assert [(row["fixed"], row["others"], row["variants"]) for row in found] == [
        ("a", "losses", ["a dice", "a ce", "a mse"]), ("mse", "models", ["b mse", "a mse"])]
    assert found[0]["better"] == [{"score": "specks", "better": {"variant": "a dice", "mean": 0.8},
                                   "worse": {"variant": "a mse", "mean": 0.6}}]
    assert found[0]["equivalent"] == found[0]["unknown"] == []


@pytest.mark.parametrize("decided", ["unknown", "equivalent"])
def test_what_is_seen_has_the_verdict_of_the_pairs_and_not_of_the_intervals(decided: str):
    """The intervals lie far apart, but they do not decide."""
    found, = seen(Study.of(*study({"a mse": 0.6, "a dice": 0.8}, decided=decided, width=0.001)))
    assert found[decided] == ["specks"] and found["better"] == []


def test_one_unknown_pair_makes_more_than_two_variants_not_equivalent():
    summary, tables = study({"a mse": 0.6, "a dice": 0.8, "a ce": 0.7}, decided="equivalent")
    pairs = tables["pairs"]
    pairs.loc[(pairs["score"] == "specks") & (pairs["a"] == "a ce"), "verdict"] = "unknown"
    found, = seen(Study.of(summary, tables))
    assert found["unknown"] == ["specks"] and found["equivalent"] == []


def test_what_is_seen_of_too_few_seeds_is_not_compared():
    found, = seen(Study.of(*study({"a mse": 0.6, "a dice": 0.8}, few=("a mse",), failed=("a mse",))))
    assert found["too_few_seeds"] == ["a mse"]
    assert found["better"] == found["equivalent"] == found["unknown"] == found["left_out"] == []


def test_a_variant_of_which_seeds_failed_is_in_no_comparison_that_a_mask_wins_without_looking():
    found, = seen(Study.of(*study({"a mse": 0.6, "a dice": 0.8, "a ce": 0.7}, failed=("a dice",))))
    assert found["left_out"] == ["a dice"]
    assert [(row["better"]["variant"], row["worse"]["variant"]) for row in found["better"]] == [("a ce", "a mse")]
    alone, = seen(Study.of(*study({"a mse": 0.6, "a dice": 0.8}, failed=("a dice",))))
    assert alone["better"] == alone["equivalent"] == alone["unknown"] == []


def test_a_lower_final_loss_with_a_lower_score_is_found_among_decided_pairs():
    means = {"a mse": 0.9, "a dice": 0.7, "a ce": 0.5}
    ended = pd.concat([curves(variant, train=[9, loss], val=[9, 3], iou=[0.1, 0.2], seed=seed)
                       for variant, losses in (("a mse", (4, 3.5, 4.5)), ("a dice", (1, 0.5, 1.5)), ("a ce", (6, 5, 7)))
                       for seed, loss in enumerate(losses)])
    found = falling_loss(Study.of(*study(means, curves=ended)))
    assert found["disagreement"] == {"loss": {"better": {"variant": "a mse", "loss": 4.0, "score": 0.9},
                                              "worse": {"variant": "a dice", "loss": 1.0, "score": 0.7}},
                                     "normalised": None}
    assert (found["pairs"], found["too_few"], found["decided"]) == (3, 0, 3)
    unknown = falling_loss(Study.of(*study(means, decided="unknown", curves=ended)))
    assert unknown["disagreement"]["loss"] is None and unknown["decided"] == 0
    few = falling_loss(Study.of(*study(means, seeds=2, curves=ended)))
    assert (few["too_few"], few["decided"]) == (3, 0)


def test_final_losses_that_seeds_spread_as_far_are_not_said_to_disagree():
    means = {"a mse": 0.9, "a dice": 0.7}
    ended = pd.concat([curves(variant, train=[9, loss], val=[9, 3], iou=[0.1, 0.2], seed=seed)
                       for variant, losses in (("a mse", (2, 5, 3)), ("a dice", (4, 1, 2)))
                       for seed, loss in enumerate(losses)])
    assert falling_loss(Study.of(*study(means, curves=ended)))["disagreement"]["loss"] is None


def test_steps_in_which_loss_and_score_fell_together_are_counted_within_a_training():
    both = pd.concat([curves("a mse", train=[1] * 4, val=[4, 3, 2, 5], iou=[0.5, 0.6, 0.4, 0.3]),
                      curves("a mse", train=[1] * 4, val=[1, 2, 3, 4], iou=[0.9, 0.8, 0.7, 0.6], seed=2)])
    found = falling_loss(Study.of(*study({"a mse": 0.6}, curves=both)))
    assert (found["steps"], found["steps_with_falling_iou"]) == (2, 1)
