"""Verdicts on claims: what the results at hand say to claims.yaml.

A part of a claim is not run if the study lacks what it needs, or if the claim is about a source's experiment and the
study ran another one. It has too few seeds if one of its variants has. Otherwise it is supported or contradicted if the
95 % interval leaves no doubt, and undecided if not. A claim has the first verdict of "not run", "too few
seeds", "contradicted" and "undecided" that any of its parts has; it is supported if all its parts are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seglib.comparison import published
from seglib.comparison.agreement import Sources, other_recipe, settings_of
from seglib.comparison.claims import BALANCE, Claim, Part
from seglib.comparison.evidence import Evidence, known
from seglib.comparison.published import Reproduction
from seglib.comparison.quantities import QUANTITIES, TITLES, of_variant
from seglib.comparison.variants import Variant
from seglib.metrics.decisions import FEWEST_SEEDS, enough_seeds, over_seeds
from seglib.metrics.draws import drawn
from seglib.metrics.scores import BY_NAME

Interval = tuple[float, float | None, float | None]  # value, low, high
TOO_FEW = "too few seeds"
RESAMPLES = 1000  # for the interval of the imbalance of classes
NOT_THE_SOURCES = "the source's experiment was not run: "


def decide(claims: Sequence[Claim], evidence: Evidence, sources: Sources) -> list[dict[str, Any]]:
    """A verdict for each claim about the dataset of `sources`, with the figures it rests on.

    A claim that names an entry of published.yaml is decided by the experiment of that entry alone. Raises ValueError
    if there is no such entry.
    """
    return [_decide(claim, evidence, sources) for claim in claims if sources.dataset in claim.datasets]


def _decide(claim: Claim, evidence: Evidence, sources: Sources) -> dict[str, Any]:
    entry = _entry(claim, sources)
    if entry is not None and (because := sources.other_data(entry)):
        parts = [_not_run(NOT_THE_SOURCES + because)]
    else:
        parts = [_judge(part, names, claim, evidence, entry) for part in claim.parts for names in part.expanded()]
    verdicts = [part["verdict"] for part in parts]
    if "not run" in verdicts:
        verdict = "not run"
        why = "; ".join(dict.fromkeys(part["text"] for part in parts if part["verdict"] == "not run"))
    elif TOO_FEW in verdicts:
        verdict = TOO_FEW
        why = f"each trained variant needs at least {FEWEST_SEEDS} seeds"
    else:
        verdict = next((v for v in ("contradicted", "undecided") if v in verdicts), "supported")
        counts = {v: verdicts.count(v) for v in ("supported", "contradicted", "undecided") if v in verdicts}
        why = ", ".join(f"{n} {v}" for v, n in counts.items())
        why += f" of {len(parts)} comparison{'s' if len(parts) > 1 else ''}"
    return {**claim.model_dump(mode="json", include={"id", "claim", "whose", "source", "registered", "changed"}),
            "verdict": verdict, "why": why, "parts": parts}


def _entry(claim: Claim, sources: Sources) -> Reproduction | None:
    """The experiment that a claim is about, if it names one."""
    if claim.published is None:
        return None
    try:
        return published.find(sources.entries, claim.published)
    except ValueError as error:
        raise ValueError(f"claims.yaml: {claim.id}: {error}") from None


def _not_run(text: str) -> dict[str, Any]:
    return {"text": text, "verdict": "not run", "value": None, "low": None, "high": None}


def _judge(part: Part, names: dict[str, str], claim: Claim, evidence: Evidence,
           entry: Reproduction | None) -> dict[str, Any]:
    if part.score == BALANCE:
        return _verdict(part, _imbalance(evidence), BALANCE.replace("_", " "))
    wanted = [(names | side.model_dump(exclude_none=True)) for side in (part.a, part.b) if side is not None]
    found = [_find(evidence.variants, side, claim) for side in wanted]
    if missing := [side for side, variant in zip(wanted, found, strict=True) if variant is None]:
        return _not_run(f"needs {' and '.join(_needed(side, claim) for side in missing)}")
    if entry is not None and (because := _other_training(entry, wanted, found, claim)):
        return _not_run(NOT_THE_SOURCES + because)
    scores = [side.get("score", part.score) for side in wanted]
    if part.verb == "opposite":
        judged = _opposite(part, found, evidence)
    else:
        judged = _verdict(part, _measure(found, scores, evidence), _described(found, scores))
    seeds = [_seeds(variant, score) for variant, score in zip(found, scores, strict=True)]
    if judged["verdict"] == "not run" or enough_seeds(*seeds):
        return judged
    short = [f"{variant.label}: {n}" for variant, n in zip(found, seeds, strict=True) if not enough_seeds(n)]
    return judged | {"verdict": TOO_FEW, "text": f"{judged['text']}; {TOO_FEW} ({', '.join(short)})"}


def _other_training(entry: Reproduction, sides: Sequence[dict[str, str]], found: Sequence[Variant],
                    claim: Claim) -> str | None:
    """Which keys of the trainings are not the source's. A claim about the first epochs needs no whole training."""
    counted_in = "epoch" if claim.epochs else None
    return next(filter(None, (
        other_recipe(entry.recipe, _name(side), variant.config, counted_in=counted_in, when=claim.epochs)
        for side, variant in zip(sides, found, strict=True) if variant.fit == "gradients")), None)


def _needed(side: dict[str, str], claim: Claim) -> str:
    """A side that the study lacks, with how it must have been trained."""
    if "predictor" in side:
        return f"the predictor {side['predictor']}"
    conditions = "".join(f", {key}: {value}" for key, value in claim.train.items())
    return f"{side['model']} {side['loss']}{conditions}" + (f", at least {claim.epochs} epochs" if claim.epochs else "")


def _described(variants: Sequence[Variant], scores: Sequence[str]) -> str:
    if len(variants) == 2 and scores[0] == scores[1]:
        return f"{_title(scores[0])}: {variants[0].label} − {variants[1].label}"
    return " − ".join(f"{variant.label}: {_title(score)}" for variant, score in zip(variants, scores, strict=True))


def _seeds(variant: Variant, score: str) -> int | None:
    """The number of seeds that have a value of this score; None if the variant has no seeds."""
    if variant.seeds is None or score not in QUANTITIES:
        return variant.seeds
    return int(np.isfinite(of_variant(variant, score)).sum())


def _find(variants: Sequence[Variant], side: dict[str, str], claim: Claim) -> Variant | None:
    """The variant of these names, if it was trained as the claim needs it or needs no training at all."""
    return next((variant for variant in variants if _name(side) in variant.names
                 and (variant.fit != "gradients" or _was_trained(variant, claim))), None)


def _name(side: dict[str, str]) -> tuple[str, str]:
    """The model and the loss, as `Variant.names` has them."""
    return (side["predictor"], "") if "predictor" in side else (side["model"], side["loss"])


def _was_trained(variant: Variant, claim: Claim) -> bool:
    train = settings_of(variant.config)
    return (train["overfit"] is None and all(train[key] == value for key, value in claim.train.items())
            and all(result.epochs("val")["epoch"].max() >= claim.epochs for result in variant.results))


def _measure(variants: Sequence[Variant], scores: Sequence[str], evidence: Evidence) -> Interval:
    """The value of one side, or the difference of two, with its interval; NaN if a variant has no such score."""
    if scores[0] in QUANTITIES:
        values = [of_variant(variant, score) for variant, score in zip(variants, scores, strict=True)]
        return over_seeds(*values)
    if len(variants) == 2:
        estimate = evidence.difference(variants[0], scores[0], variants[1], scores[1])
    else:
        estimate = evidence.estimate(variants[0], scores[0])
    return float(estimate.value), *known(estimate)


def _imbalance(evidence: Evidence) -> Interval:
    cases = evidence.variants[0].cases_S("test")[0]
    pixels_UK = cases.by_unit(cases["tp"] + cases["fn"])
    pixels_UK = pixels_UK[:, pixels_UK.sum(0) > 0]
    (_, weights_rU), = drawn(len(pixels_UK), RESAMPLES, RESAMPLES)
    drawn_rK = weights_rU @ pixels_UK
    low, high = np.nanquantile(np.where(drawn_rK.min(1) > 0, drawn_rK.max(1) / np.maximum(drawn_rK.min(1), 1), np.nan),
                               [0.025, 0.975])
    total = pixels_UK.sum(0)
    return float(total.max() / total.min()), low, high


def _opposite(part: Part, variants: Sequence[Variant], evidence: Evidence) -> dict[str, Any]:
    """Whether the variant that `score` calls better (lower) is the worse one by `against` (lower is worse)."""
    first = _measure(variants, [part.score] * 2, evidence)
    second = _measure(variants, [part.against] * 2, evidence)
    if np.isnan([first[0], second[0]]).any():
        missing = part.score if np.isnan(first[0]) else part.against
        return _not_run(f"{_title(missing)}: no such score here")
    signs = [_sign(measured) for measured in (first, second)]
    verdict = "undecided" if 0 in signs else "supported" if signs[0] == signs[1] else "contradicted"
    text = (f"{_title(part.score)} differs by {first[0]:.3f} and {_title(part.against)} by {second[0]:.3f} "
            f"({variants[0].label} − {variants[1].label})")
    return {"text": text, "verdict": verdict, "value": second[0], "low": second[1], "high": second[2]}


def _sign(measured: Interval) -> int:
    _, low, high = measured
    if low is None or high is None:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def _verdict(part: Part, measured: Interval, described: str) -> dict[str, Any]:
    value, low, high = measured
    against = part.than if part.than is not None else part.within
    limit = "0" if against is None else f"{against:g}"
    expected = {"higher": "above 0", "lower": "below 0", "equal": f"within ±{limit}", "different": f"beyond ±{limit}",
                "above": f"above {limit}", "below": f"below {limit}"}[part.verb]
    row = {"text": f"{described}; expected {expected}", "value": None if np.isnan(value) else value,
           "low": None if low is None or np.isnan(low) else low,
           "high": None if high is None or np.isnan(high) else high}
    if np.isnan(value):
        return row | {"text": f"{described}: no such score here", "verdict": "not run"}
    if row["low"] is None:
        return row | {"verdict": "undecided", "text": row["text"] + " (no interval)"}
    match part.verb:
        case "higher" | "above":
            verdict = _one_sided(low - (part.than or 0), high - (part.than or 0))
        case "lower" | "below":
            verdict = _one_sided((part.than or 0) - high, (part.than or 0) - low)
        case _:
            inside = -part.within <= low and high <= part.within
            outside = low > part.within or high < -part.within
            verdict = "supported" if inside else "contradicted" if outside else "undecided"
            if part.verb == "different":
                verdict = {"supported": "contradicted", "contradicted": "supported"}.get(verdict, verdict)
    return row | {"verdict": verdict}


def _one_sided(low: float, high: float) -> str:
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def _title(score: str) -> str:
    return BY_NAME[score].title if score in BY_NAME else TITLES.get(score, score.replace("_", " "))
