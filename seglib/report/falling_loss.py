"""Why a falling loss and a good picture can disagree: cases of it among this study's own curves, if there are any."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from seglib.report.tables import Comparison, records
from seglib.report.words import brief, count, name, number, say

VALUES = (("loss", "the raw loss"), ("normalised", "the min-max normalised loss"))


def falling_loss(comparison: Comparison) -> list[Markup]:
    return [say("Losses of different kinds have different scales and zero points, so a lower curve is not a better "
                "picture."),
            *_between_variants(comparison), *_steps(comparison)]


def _between_variants(comparison: Comparison) -> list[Markup]:
    pairs = comparison.headline_pairs()
    if not pairs:
        return []
    if not any(pair["enough_seeds"] for pair in pairs):
        return [say("There are too few seeds to decide whether a variant with a lower final loss has a lower score.")]
    return [_disagreement(comparison, value, text) for value, text in VALUES]


def _final(curves: pd.DataFrame, value: str) -> dict[str, float]:
    """The training loss of the last epoch, mean over seeds."""
    epochs = curves[curves["curve"] == "train epoch"].sort_values("iteration", kind="stable")
    last = epochs.groupby(["variant", "seed"], sort=False)[value].last()
    return last.groupby(level="variant", sort=False).mean().dropna().to_dict()


def disagreement(comparison: Comparison, value: str) -> dict[str, Any] | None:
    """The settled pair in which the lower final loss goes with the lower score, by the largest difference in score."""
    final = _final(comparison.curves, value)
    pairs = [pair for pair in comparison.headline_pairs() if pair["settled"] and {pair["a"], pair["b"]} <= set(final)
             and final[pair["b"]] < final[pair["a"]]]
    if not pairs:
        return None
    pair = max(pairs, key=lambda pair: pair["difference"])
    return pair | {"loss_a": final[pair["a"]], "loss_b": final[pair["b"]]}


def _disagreement(comparison: Comparison, value: str, text: str) -> Markup:
    found = disagreement(comparison, value)
    if found is None:
        return say("By {}, no variant of a settled pair had both the lower final loss and the lower score: it did "
                   "not occur here.", text)
    means = {row["variant"]: row["mean"] for row in records(comparison.ranking)}
    a, b = found["a"], found["b"]
    return say("By {}, {} ends lower than {} ({} against {}), yet its test IoU is the lower one: {} against {}, a "
               "settled difference.", text, name(b), name(a), brief(found["loss_b"]), brief(found["loss_a"]),
               number(means[b]), number(means[a]))


def _steps(comparison: Comparison) -> list[Markup]:
    """Within one training, where both numbers come from the same masks: epochs at which val loss and IoU both fell."""
    epochs = comparison.curves[comparison.curves["curve"] == "val epoch"].sort_values("iteration", kind="stable")
    change = epochs.groupby(["variant", "seed"], sort=False)[["loss", "iou_score"]].diff().dropna()
    fell = change[change["loss"] < 0]
    if fell.empty:
        return []
    both = int((fell["iou_score"] < 0).sum())
    return [say("Within one training, of {} from an epoch to the next in which the val loss fell, the val IoU fell "
                "too in {}.", count(len(fell), "step"), f"{both:,}" if both else "none")]
