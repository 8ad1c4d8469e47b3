"""claims.yaml: what somebody says of losses and networks, as data.

A claim is a list of parts. A part compares two variants by one score, or one variant with a number. `verdicts` decides
the claims from the results at hand.
"""

import dataclasses
import datetime
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from seglib.comparison.quantities import QUANTITIES
from seglib.configs import Augmentation, TrainSettings
from seglib.metrics.scores import BY_NAME
from seglib.names import nearest
from seglib.strict import explain, read_yaml

BALANCE = "class_imbalance"  # of the test truth: pixels of the largest class over those of the smallest
KNOWN = [*BY_NAME, *QUANTITIES, BALANCE]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Names = dict[Literal["model", "loss"], Annotated[list[str], Field(min_length=1)]]


class Side(Strict):
    """A variant: its model and loss as params.yaml names them, or a predictor that no loss trains."""

    model: str | None = None
    loss: str | None = None
    predictor: str | None = None
    score: str | None = None  # if the two sides are compared by different scores

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "Side":
        if self.predictor is not None and (self.model is not None or self.loss is not None):
            raise PydanticCustomError("side", "a side names a model and a loss, or a predictor; found both")
        return self


class Part(Strict):
    """`score` of `a` against that of `b`, or against the number `than`; once for each of the names in `each`."""

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
            trained = [side for side in sides if side.predictor is None]
            if key not in self.each and any(getattr(side, key) is None for side in trained):
                raise PydanticCustomError("names", "which {key}? Name it in a and b, or in each", {"key": key})
        if len({type(BY_NAME.get(score)) for score in scores}) > 1:
            raise PydanticCustomError("kinds", "'{first}' and '{second}' cannot be compared: their intervals are made "
                                               "in different ways", {"first": scores[0], "second": scores[1]})
        return self

    def expanded(self) -> list[dict[str, str]]:
        """The names that `each` fills in, one dict per comparison."""
        return [dict(zip(self.each, names, strict=True)) for names in itertools.product(*self.each.values())]


class Change(Strict):
    """A change of a claim after it was registered: when, what and why."""

    date: datetime.date
    what: str = Field(min_length=1)
    why: str = Field(min_length=1)


class Claim(Strict):
    """A statement and the comparisons that would support it.

    `each` makes a claim of its own for every name, because what holds on one network may not hold on another.
    """

    id: str
    claim: str
    whose: Literal["source", "ours", "yours"]
    source: str
    registered: datetime.date | None = None  # when it first stood in claims.yaml; None: not stated
    changed: list[Change] = []
    published: str | None = None  # the entry of published.yaml whose experiment alone decides it
    datasets: list[str] = Field(min_length=1)
    train: dict[str, Any] = {}  # what the variants must have been trained with
    epochs: int = 0  # and for how many epochs at least: what needs time is not decided by a short run
    each: Names = {}
    parts: list[Part] = Field(min_length=1)

    @field_validator("train")
    @classmethod
    def _keys_of_train(cls, train: dict[str, Any]) -> dict[str, Any]:
        known = [field.name for of in (TrainSettings, Augmentation) for field in dataclasses.fields(of)]
        for key in train:
            if key not in known:
                raise PydanticCustomError("train", "train has no key '{key}', {hint}",
                                          {"key": key, "hint": nearest(key, known)})
        return train

    @model_validator(mode="after")
    def _of_an_experiment(self) -> "Claim":
        if self.whose == "source" and self.published is None:
            raise PydanticCustomError("published", "'whose: source' needs published: the entry of published.yaml with "
                                                   "the source's experiment")
        return self


def load(path: Path) -> list[Claim]:
    """Read claims.yaml. Raises ValueError, with one line per problem, for a file that does not hold claims."""
    raw = read_yaml(path)
    if not isinstance(raw, list):
        raise ValueError(f"{path.name}: expected a list of claims, found {type(raw).__name__}")
    found, problems = [], []
    for number, entry in enumerate(raw, 1):
        name = str(entry["id"]) if isinstance(entry, dict) and "id" in entry else f"claim {number}"
        for one in _for_each_name(entry) if _has_each(entry) else [entry]:
            try:
                found.append(Claim.model_validate(one))
            except ValidationError as error:
                problems.append(explain(error, f"{path.name}: {name}"))
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))
    ids = [claim.id for claim in found]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"{path.name}: the id '{repeated[0]}' stands twice")
    return found


def _has_each(claim: Any) -> bool:
    """Whether a claim has an `each` that can be taken apart."""
    if not isinstance(claim, dict):
        return False
    each, parts = claim.get("each"), claim.get("parts")
    return (isinstance(each, dict) and bool(each) and all(isinstance(names, list) and names for names in each.values())
            and isinstance(parts, list) and all(isinstance(part, dict) for part in parts))


def _for_each_name(claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for values in itertools.product(*claim["each"].values()):
        names = {key: [value] for key, value in zip(claim["each"], values, strict=True)}
        listed = ", ".join(map(str, values))
        found.append({**claim, "id": f"{claim.get('id')}@{listed}", "each": {},
                      "claim": f"{str(claim.get('claim')).removesuffix('.')} ({listed}).",
                      "parts": [part | {"each": part.get("each", {}) | names} for part in claim["parts"]]})
    return found
