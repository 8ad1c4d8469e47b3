"""Verdicts on claims: what the results at hand say to claims.yaml.

A part of a claim is not run if the study lacks what it needs, or if the claim is about a source's experiment and the
study ran another one. It has too few seeds if one of its variants has. All other parts are tests, and all of them on a
dataset share one error budget of 5 %, by Holm's correction. A part is supported if its test shows what the claim says,
contradicted if it shows the opposite, and undecided if it shows neither. What is equal is shown by two one-sided tests
(Schuirmann 1987).

A claim has the first verdict of "not run", "too few seeds", "contradicted" and "undecided" that any of its parts has;
it is supported if all its parts are.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seglib.comparison import published
from seglib.comparison.agreement import Sources, other_recipe, settings_of
from seglib.comparison.claims import BALANCE, Claim, Part
from seglib.comparison.evidence import Evidence, known
from seglib.comparison.published import Reproduction
from seglib.comparison.quantities import QUANTITIES
from seglib.comparison.variants import Variant
from seglib.metrics.decisions import FEWEST_SEEDS, enough_seeds
from seglib.metrics.inference import MASKS, Estimate
from seglib.metrics.pairwise import LEVEL, TOO_FEW, Tested, corrected
from seglib.metrics.scores import BY_NAME

NOT_THE_SOURCES = "the source's experiment was not run: "
OPPOSITE = {"supported": "contradicted", "contradicted": "supported"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """A part of a claim before the correction over all parts."""

    row: dict[str, Any]
    """text, value, low, high; and the verdict, if there is no test"""
    leans: str | None = None
    """The verdict that the part has if its p is small enough; None if there is no test"""
    p: tuple[float, float] = (1.0, 1.0)
    """p by the test that decides, and p by the test that belongs to the interval"""


def decide(claims: Sequence[Claim], evidence: Evidence, sources: Sources) -> list[dict[str, Any]]:
    """A verdict for each claim about the dataset of `sources`, with the figures it rests on.

    A claim that names an entry of published.yaml is decided by the experiment of that entry alone. Raises ValueError
    if there is no such entry.
    """
    judged = [(claim, _judge_all(claim, evidence, sources)) for claim in claims if sources.dataset in claim.datasets]
    tests = [part for _, parts in judged for part in parts if part.leans is not None]
    p_P, plain_P = np.array([part.p for part in tests]).reshape(-1, 2).T
    p_holm = dict(zip(map(id, tests), corrected(p_P, plain_P).tolist(), strict=True))
    return [_decided(claim, [_with_verdict(part, p_holm.get(id(part))) for part in parts]) for claim, parts in judged]


def _judge_all(claim: Claim, evidence: Evidence, sources: Sources) -> list[Judged]:
    entry = _entry(claim, sources)
    if entry is not None and (because := sources.other_data(entry)):
        return [_not_run(NOT_THE_SOURCES + because)]
    return [_judge(part, names, claim, evidence, entry) for part in claim.parts for names in part.expanded()]


def _with_verdict(part: Judged, p_holm: float | None) -> dict[str, Any]:
    if p_holm is None:
        return part.row
    return part.row | {"p_holm": p_holm, "verdict": part.leans if p_holm < LEVEL else "undecided"}


def _decided(claim: Claim, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
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


def _not_run(text: str) -> Judged:
    return Judged(row=_row(text, (None, None, None)) | {"verdict": "not run"})


def _row(text: str, shown: tuple[float | None, ...]) -> dict[str, Any]:
    """A part without its verdict. What is not finite is None, because JSON has no such number."""
    value, low, high = (float(number) if number is not None and np.isfinite(number) else None for number in shown)
    return {"text": text, "value": value, "low": low, "high": high, "p_holm": None}


def _judge(part: Part, names: dict[str, str], claim: Claim, evidence: Evidence, entry: Reproduction | None) -> Judged:
    if part.score == BALANCE:
        return _imbalance(part, evidence)
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
        judged = _tried(part, evidence.tested(*zip(found, scores, strict=True)), _described(found, scores))
    seeds = [min((evidence.blocks(variant, name).seeds for name in (score, part.against) if name),
                 key=lambda count: math.inf if count is None else count)
             for variant, score in zip(found, scores, strict=True)]
    if judged.row.get("verdict") == "not run" or enough_seeds(*seeds):
        return judged
    short = [f"{variant.label}: {n}" for variant, n in zip(found, seeds, strict=True) if not enough_seeds(n)]
    text = f"{judged.row['text']}; {TOO_FEW} ({', '.join(short)})"
    return Judged(row=judged.row | {"verdict": TOO_FEW, "text": text})


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


def _tried(part: Part, tested: Tested, described: str) -> Judged:
    """A part whose value is that of a score or of a difference."""
    value = float(tested.interval.value)
    if np.isnan(value):
        return _not_run(f"{described}: no such score here")
    limit = part.than if part.than is not None else part.within or 0.0
    expected = {"higher": "above 0", "lower": "below 0", "equal": f"within ±{limit:g}",
                "different": f"beyond ±{limit:g}"}.get(part.verb, f"{part.verb} {limit:g}")
    row = _row(f"{described}; expected {expected}", (value, *known(tested.interval)))
    if row["low"] is None:
        return Judged(row=row | {"verdict": "undecided", "text": row["text"] + " (no interval)"})
    leans, p_of = _leaning(part, value, limit)
    return Judged(row=row, leans=leans, p=tuple(map(float, tested.p(p_of))))


def _leaning(part: Part, value: float, limit: float) -> tuple[str, Callable[[Estimate], np.ndarray]]:
    """The verdict that a value speaks for, and the p of its contrary."""
    if part.verb in ("equal", "different"):
        is_inside = abs(value) < limit
        leans = "supported" if is_inside == (part.verb == "equal") else "contradicted"
        return leans, lambda estimate: estimate.p_outside(limit) if is_inside else estimate.p_within(limit)
    is_above = value > limit
    leans = "supported" if is_above == (part.verb in ("higher", "above")) else "contradicted"
    return leans, lambda estimate: estimate.p(limit)


def _imbalance(part: Part, evidence: Evidence) -> Judged:
    """The pixels of the largest class over those of the smallest one. Its logarithm is tested, over pictures alone."""
    cases = evidence.variants[0].cases_S("test")[0]
    pixels_UK = cases.by_unit(cases["tp"] + cases["fn"])
    total_K = pixels_UK.sum(0)
    present = np.flatnonzero(total_K)
    if not len(present):
        return _not_run("no test picture holds a class")
    largest, smallest = present[total_K[present].argmax()], present[total_K[present].argmin()]
    moved_U = pixels_UK[:, largest] / total_K[largest] - pixels_UK[:, smallest] / total_K[smallest]
    units = (pixels_UK[:, [largest, smallest]] > 0).sum(0).min()  # those that hold the rarer of the two
    estimate = Estimate(value=np.log(total_K[largest] / total_K[smallest]), units=units, of=MASKS, highest=np.inf,
                        variance=(moved_U**2).sum() * units / np.maximum(units - 1, 1),
                        freedom=np.maximum(units - 1, 1))
    judged = _tried(part.model_copy(update={"than": float(np.log(part.than))}), Tested(interval=estimate), "")
    expected = f"{BALANCE.replace('_', ' ')}; expected {part.verb} {part.than:g}"
    shown = [None if judged.row[key] is None else np.exp(judged.row[key]) for key in ("value", "low", "high")]
    return dataclasses.replace(judged, row=judged.row | _row(expected, shown))


def _opposite(part: Part, variants: Sequence[Variant], evidence: Evidence) -> Judged:
    """Whether the variant that `score` calls better (lower) is the worse one by `against` (lower is worse)."""
    first, second = (evidence.tested(*((variant, score) for variant in variants))
                     for score in (part.score, part.against))
    values = [float(tested.interval.value) for tested in (first, second)]
    if np.isnan(values).any():
        return _not_run(f"{_title(part.score if np.isnan(values[0]) else part.against)}: no such score here")
    text = (f"{_title(part.score)} differs by {values[0]:.3f} and {_title(part.against)} by {values[1]:.3f} "
            f"({variants[0].label} − {variants[1].label})")
    leans = "supported" if np.sign(values[0]) == np.sign(values[1]) else "contradicted"
    both = np.array([tested.p(Estimate.p) for tested in (first, second)])  # shown if both differences are
    return Judged(row=_row(text, (values[1], *known(second.interval))), leans=leans, p=tuple(both.max(0).tolist()))


def _title(score: str) -> str:
    return BY_NAME[score].title if score in BY_NAME else QUANTITIES[score].title
