"""claims.yaml: what somebody says of losses and networks, as data, and what the runs at hand say to it.

A claim is a list of parts, each a comparison of two variants by one score (or of one with a number). A part is not run
if the study lacks what it needs, and has too few seeds if one of its variants has. Otherwise it is supported or
contradicted if the 95 % interval leaves no doubt, and undecided if not. A claim has the first verdict of "not run",
"too few seeds", "contradicted" and "undecided" that any of its parts has; it is supported if all its parts are.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML, YAMLError
from scipy import stats

from seglib.comparison.evidence import Evidence
from seglib.comparison.quantities import QUANTITIES, TITLES, of_variant
from seglib.comparison.variants import Variant
from seglib.metrics.decisions import FEWEST_SEEDS, enough_seeds, welch
from seglib.metrics.scores import BY_NAME
from seglib.metrics.statistics import interval
from seglib.names import nearest
from seglib.params.strict import explain

Interval = tuple[float, float | None, float | None]  # value, low, high
TOO_FEW = "too few seeds"
BALANCE = "class_imbalance"  # of the test truth: pixels of the largest class over those of the smallest
KNOWN = [*BY_NAME, "pixel_ap", *QUANTITIES, BALANCE]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Names = dict[Literal["model", "loss"], Annotated[list[str], Field(min_length=1)]]


class Side(Strict):
    """A variant: its model and loss as params.yaml names them."""

    model: str | None = None
    loss: str | None = None
    score: str | None = None  # where the two sides are compared by different scores


class Part(Strict):
    """`score` of `a` against that of `b`, or against the number `than`. `each`: once for each of these names."""

    score: str
    verb: Literal["higher", "lower", "equal", "different", "above", "below", "opposite"] = Field(alias="is")
    a: Side = Side()
    b: Side | None = None
    within: float | None = None  # what still counts as equal, in the score's unit
    than: float | None = None
    against: str | None = None  # "opposite": the score that says the opposite
    each: Names = {}

    @model_validator(mode="after")
    def _whole(self) -> "Part":
        for score in (self.score, self.against, self.a.score, self.b and self.b.score):
            if score is not None and score not in KNOWN:
                raise PydanticCustomError("score", "no score is called '{score}', {hint}",
                                          {"score": score, "hint": nearest(score, KNOWN)})
        needs = {"equal": ("b", "within"), "different": ("b", "within"), "higher": ("b",), "lower": ("b",),
                 "above": ("than",), "below": ("than",), "opposite": ("b", "against")}[self.verb]
        if missing := [name for name in needs if getattr(self, name) is None]:
            raise PydanticCustomError("part", "'is: {verb}' needs {missing}",
                                      {"verb": self.verb, "missing": ", ".join(missing)})
        sides = [side for side in (self.a, self.b) if side is not None]
        scores = [side.score or self.score for side in sides]
        if BALANCE in (*scores, self.against):
            if self.score != BALANCE or self.verb not in ("above", "below"):
                raise PydanticCustomError("balance", f"{BALANCE} is of a dataset: it can be above or below a number")
            return self
        for key in ("model", "loss"):
            if key not in self.each and any(getattr(side, key) is None for side in sides):
                raise PydanticCustomError("names", "which {key}? Name it in a and b, or in each", {"key": key})
        if len({(score in QUANTITIES, score == "pixel_ap") for score in scores}) > 1:
            raise PydanticCustomError("kinds", "'{first}' and '{second}' cannot be compared: their intervals are made "
                                               "in different ways", {"first": scores[0], "second": scores[1]})
        return self


class Claim(Strict):
    """`each` makes a claim of its own for every name: whether it holds on one network says nothing of another."""

    id: str
    claim: str
    whose: Literal["source", "ours", "yours"]
    source: str
    datasets: list[str] = Field(min_length=1)
    train: dict[str, Any] = {}  # what the variants must have been trained with
    epochs: int = 0  # and for how many epochs at least: what needs time is not decided by a short run
    each: Names = {}
    parts: list[Part] = Field(min_length=1)


class Claims(Strict):
    claims: list[Claim]

    @model_validator(mode="after")
    def _once(self) -> "Claims":
        ids = [claim.id for claim in self.claims]
        if repeated := sorted({name for name in ids if ids.count(name) > 1}):
            raise PydanticCustomError("repeated", "the id '{id}' stands twice", {"id": repeated[0]})
        return self


def load(path: Path) -> list[Claim]:
    """Raises ValueError, one line a problem, for a file that does not hold claims."""
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return Claims.model_validate({"claims": _apart(raw)}).claims
    except YAMLError as error:
        raise ValueError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ValueError(explain(error, path.name)) from None


def _apart(raw: Any) -> Any:
    """Claims with `each` as one claim a name; what is not in the form of claims stays, for the validation to say."""
    if not isinstance(raw, list):
        return raw
    whole = []
    for claim in raw:
        each, parts = (claim.get("each"), claim.get("parts")) if isinstance(claim, dict) else (None, None)
        is_in_form = (isinstance(each, dict) and each and all(isinstance(n, list) and n for n in each.values())
                      and isinstance(parts, list) and all(isinstance(part, dict) for part in parts))
        for values in itertools.product(*each.values()) if is_in_form else ():
            names = {key: [value] for key, value in zip(each, values, strict=True)}
            listed = ", ".join(map(str, values))
            whole.append(claim | {"id": f"{claim.get('id')}@{listed}", "each": {},
                                  "claim": f"{str(claim.get('claim')).removesuffix('.')} ({listed}).",
                                  "parts": [part | {"each": part.get("each", {}) | names} for part in parts]})
        if not is_in_form:
            whole.append(claim)
    return whole


def decide(claims: Sequence[Claim], dataset: str, evidence: Evidence) -> list[dict[str, Any]]:
    """A verdict for each claim about this dataset, with the figures it rests on."""
    return [_decide(claim, evidence) for claim in claims if dataset in claim.datasets]


def _decide(claim: Claim, evidence: Evidence) -> dict[str, Any]:
    parts = [_judge(part, names, claim, evidence) for part in claim.parts for names in _expanded(part)]
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
    return {"id": claim.id, "claim": claim.claim, "whose": claim.whose, "source": claim.source, "verdict": verdict,
            "why": why, "parts": parts}


def _expanded(part: Part) -> list[dict[str, str]]:
    """The names that `each` fills in, a dict a comparison."""
    keys = list(part.each)
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*part.each.values())]


def _judge(part: Part, names: dict[str, str], claim: Claim, evidence: Evidence) -> dict[str, Any]:
    if part.score == BALANCE:
        return _verdict(part, _imbalance(evidence), BALANCE.replace("_", " "))
    wanted = [(names | side.model_dump(exclude_none=True)) for side in (part.a, part.b) if side is not None]
    found = [_find(evidence.variants, side, claim) for side in wanted]
    if missing := [side for side, variant in zip(wanted, found, strict=True) if variant is None]:
        conditions = "".join(f", {key}: {value}" for key, value in claim.train.items())
        conditions += f", at least {claim.epochs} epochs" if claim.epochs else ""
        return {"text": "needs " + " and ".join(f"{side['model']} {side['loss']}{conditions}" for side in missing),
                "verdict": "not run", "value": None, "low": None, "high": None}
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
    """The variant of these names, where it was trained as the claim needs it, or needs no training at all."""
    return next((variant for variant in variants if (side.get("model"), side.get("loss")) in variant.names
                 and (not variant.config["loss"]["terms"] or _was_trained(variant, claim))), None)


def _was_trained(variant: Variant, claim: Claim) -> bool:
    train = variant.config["train"]
    return ("overfit" not in train and all(train.get(key) == value for key, value in claim.train.items())
            and all(run.epochs("val")["epoch"].max() >= claim.epochs for run in variant.runs))


def _measure(variants: Sequence[Variant], scores: Sequence[str], evidence: Evidence) -> Interval:
    """The value of one side, or the difference of two, with its interval; NaN where a variant has no such score."""
    if scores[0] in QUANTITIES:
        values = [of_variant(variant, score) for variant, score in zip(variants, scores, strict=True)]
        return welch(*values) if len(values) == 2 else _over_seeds(values[0])
    means = [variant.scores_S("test", score).mean() for variant, score in zip(variants, scores, strict=True)]
    replicates = [evidence.replicates(variant, score).both_R
                  for variant, score in zip(variants, scores, strict=True)]
    if len(means) == 2:
        return float(means[0] - means[1]), *interval(replicates[0] - replicates[1])
    return float(means[0]), *interval(replicates[0])


def _over_seeds(values_S: np.ndarray) -> Interval:
    """Mean and Student's t interval, of the seeds that have a value; NaN where none has."""
    values_S = values_S[~np.isnan(values_S)]
    if len(values_S) < 2:
        return float(values_S[0]) if len(values_S) else float("nan"), None, None
    mean = float(values_S.mean())
    half = float(stats.t.ppf(0.975, len(values_S) - 1)) * values_S.std(ddof=1) / np.sqrt(len(values_S))
    return mean, mean - half, mean + half


def _imbalance(evidence: Evidence) -> Interval:
    cases = evidence.variants[0].runs[0].cases["test"]
    pixels_NK = cases["tp"] + cases["fn"]
    pixels_NK = pixels_NK[:, pixels_NK.sum(0) > 0]
    random = np.random.default_rng(0)
    drawn = pixels_NK[random.integers(len(pixels_NK), size=(1000, len(pixels_NK)))].sum(1)
    low, high = interval(np.where(drawn.min(1) > 0, drawn.max(1) / np.maximum(drawn.min(1), 1), np.nan))
    total = pixels_NK.sum(0)
    return float(total.max() / total.min()), low, high


def _opposite(part: Part, variants: Sequence[Variant], evidence: Evidence) -> dict[str, Any]:
    """Whether the variant that `score` calls better (lower) is the worse one by `against` (lower is worse)."""
    first = _measure(variants, [part.score] * 2, evidence)
    second = _measure(variants, [part.against] * 2, evidence)
    if np.isnan([first[0], second[0]]).any():
        missing = part.score if np.isnan(first[0]) else part.against
        return {"text": f"{_title(missing)}: no such score here", "verdict": "not run", "value": None, "low": None,
                "high": None}
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
