"""The `loss` and `losses` sections: constants, and weighted sums of terms."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from seglib.names import brief
from seglib.params.strict import Strict
from seglib.params.train import TrainOverride

Positive = Annotated[float, Field(gt=0)]
FromZero = Annotated[float, Field(ge=0)]
Reduction = Literal["image", "batch"]
ClassWeights = Literal["none", "inverse_frequency"] | list[FromZero]

CONSTANTS = ("dice_scale",)  # the keys of `loss` that a weight may name
# A term's options: keys of `loss`, which an entry of `losses` may override.
OPTIONS: dict[str, tuple[str, ...]] = {
    "mse": (), "dice": ("epsilon", "dice_reduction"), "iou": ("epsilon", "dice_reduction"),
    "tversky": ("epsilon", "tversky_alpha", "tversky_beta"), "bce": (), "ce": ("class_weights",),
    "focal": ("focal_gamma",), "boundary": ()}
ON_LOGITS = ("bce", "ce", "focal")  # these make probabilities themselves
BOUNDED = ("tversky", "boundary")  # these mean something only between 0 and the target value


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


class Loss(Strict):
    """A weighted sum of terms: a weight is a number or names a constant of the `loss` section."""

    mse: Weight | None = None
    dice: Weight | None = None
    iou: Weight | None = None
    tversky: Weight | None = None
    bce: Weight | None = None
    ce: Weight | None = None
    focal: Weight | None = None
    boundary: Weight | None = None
    epsilon: Positive | None = None
    dice_reduction: Reduction | None = None
    focal_gamma: FromZero | None = None
    tversky_alpha: FromZero | None = None
    tversky_beta: FromZero | None = None
    class_weights: ClassWeights | None = None
    train: TrainOverride = TrainOverride()

    @model_validator(mode="after")
    def _some_term(self) -> "Loss":
        if not self.weights():
            raise PydanticCustomError("no_term", "a loss needs at least one term: {terms}",
                                      {"terms": ", ".join(OPTIONS)})
        return self

    def weights(self) -> dict[str, float | str]:
        return self.model_dump(include=set(OPTIONS), exclude_none=True)


def resolved_loss(loss: Loss, constants: LossConstants) -> dict[str, Any]:
    """A loss as a variant's configuration has it: numbers for names, and the options of its terms alone."""
    weights = loss.weights()
    used = {option for term in weights for option in OPTIONS[term]}
    options = constants.model_dump(include=used) | loss.model_dump(include=used, exclude_none=True)
    return {"terms": {term: float(getattr(constants, weight) if isinstance(weight, str) else weight)
                      for term, weight in weights.items()}} | options
