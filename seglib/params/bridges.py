"""bridges.yaml, typed and validated: which two recipes are compared one factor at a time, and at which size."""

import collections
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from seglib.metrics.scores import BY_NAME
from seglib.names import brief, nearest
from seglib.params import SetTo, plain_names
from seglib.strict import Once, ParamsError, Strict, Text, explain, read_yaml

DEFAULT = "default"  # the name of `run` of params.yaml, beside the names of its studies
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]  # an entry of params.yaml at the start, one at the end


class Factor(Strict):
    """One difference between the two ends: its name, and the keys of a configuration that make it."""

    name: Text
    keys: Annotated[list[str], Field(min_length=1)]


class Size(Strict):
    """How large a bridge is: values for params.yaml in all its steps, and other values for the keys of its two ends."""

    set: dict[str, SetTo] = {}
    start: dict[str, SetTo] = {}
    end: dict[str, SetTo] = {}


class Bridge(Strict):
    """From the recipe of one study to that of another, one factor at a time."""

    start: str
    end: str
    dataset: str
    models: Pair
    losses: Annotated[dict[str, Pair], Field(min_length=1), AfterValidator(plain_names)]
    factors: Annotated[list[Factor], Field(min_length=1)]
    scores: Annotated[list[str], Field(min_length=1), Once]
    small: Size
    full: Size

    @field_validator("scores")
    @classmethod
    def _scores_to_compare(cls, scores: list[str]) -> list[str]:
        for name in scores:
            if name not in BY_NAME:
                raise PydanticCustomError("score", "unknown score {name}: {hint}",
                                          {"name": brief(name), "hint": nearest(name, list(BY_NAME))})
            if BY_NAME[name].better == "lower":
                raise PydanticCustomError("score", "the lower {name} is, the better; a bridge needs scores of which "
                                          "more is better", {"name": name})
        return scores

    @model_validator(mode="after")
    def _each_key_moves_once(self) -> "Bridge":
        counts = collections.Counter(key for factor in self.factors for key in factor.keys)
        if repeated := [key for key, count in counts.items() if count > 1]:
            raise PydanticCustomError("repeated", "the factors move {key} more than once", {"key": repeated[0]})
        return self


class Bridges(Strict):
    bridges: list[Bridge]


def load(path: Path) -> list[Bridge]:
    """Read and validate a bridges.yaml. Raises ParamsError with one line per problem."""
    try:
        return Bridges.model_validate(read_yaml(path)).bridges
    except ValidationError as error:
        raise ParamsError(explain(error, path.name)) from None
