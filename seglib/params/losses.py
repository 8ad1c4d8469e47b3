"""The `loss` and `losses` sections: constants, and weighted sums of the terms in `seglib.losses.TERMS`."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from seglib.configs import LossConfig
from seglib.losses import TERMS
from seglib.names import brief
from seglib.params.train import TrainOverride
from seglib.strict import Strict, expected

Positive = Annotated[float, Field(gt=0)]
FromZero = Annotated[float, Field(ge=0)]
Reduction = Literal["image", "batch"]
ClassWeights = Annotated[Literal["none", "inverse_frequency"] | list[FromZero],
                         expected("none, inverse_frequency, or a list of numbers from 0")]

CONSTANTS = ("dice_scale",)  # the keys of `loss` that a weight may name; the others are options of terms


class LossConstants(Strict):
    dice_scale: FromZero
    epsilon: Positive
    dice_reduction: Reduction
    focal_gamma: FromZero
    tversky_alpha: FromZero
    tversky_beta: FromZero
    class_weights: ClassWeights


def _weight(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if not is_number and not (isinstance(value, str) and value in CONSTANTS):
        raise PydanticCustomError("weight", "a weight is a number from 0 or one of: {known}; found {value}",
                                  {"known": ", ".join(CONSTANTS), "value": brief(value)})
    return value


Weight = Annotated[float | str, BeforeValidator(_weight)]


class _WeightedTerms(Strict):
    """A weighted sum of terms: a weight is a number or names a constant of the `loss` section."""

    own: Literal[True] | None = None  # the terms that the model computes itself, in place of a sum
    train: TrainOverride = TrainOverride()

    @model_validator(mode="after")
    def _some_term(self) -> "_WeightedTerms":
        if bool(self.weights()) == bool(self.own):
            raise PydanticCustomError("no_term", "a loss needs at least one term: {terms}; or, for a model that "
                                      "computes its loss itself, own: true alone", {"terms": ", ".join(TERMS)})
        return self

    def weights(self) -> dict[str, float | str]:
        """The weight of each term, as it stands in params.yaml."""
        return self.model_dump(include=set(TERMS), exclude_none=True)


# A weight for each registered term. Beside the terms, a loss may hold its own value of an option.
Loss = create_model(
    "Loss", __base__=_WeightedTerms,
    **dict.fromkeys(TERMS, (Weight | None, None)),
    **{option: (field.rebuild_annotation() | None, None) for option, field in LossConstants.model_fields.items()
       if option not in CONSTANTS})


def resolved_loss(loss: Loss, constants: LossConstants) -> LossConfig:
    """A loss as a training's configuration has it: numbers for names, and the options of its terms alone."""
    weights = loss.weights()
    used = {option for term in weights for option in TERMS[term].options}
    return LossConfig(
        terms={term: float(getattr(constants, weight) if isinstance(weight, str) else weight)
               for term, weight in weights.items()},
        options=constants.model_dump(include=used) | loss.model_dump(include=used, exclude_none=True))
