"""The `predictors` section: one class per kind of predictor that needs no training.

The fields are the arguments of the class in `seglib/prediction/`. Baselines have no entry: every dataset has them.
"""

from typing import Literal

from seglib.configs import ModelConfig
from seglib.strict import Strict


class Predictor(Strict):
    """What all kinds share."""

    def user_paths(self) -> tuple[str, ...]:
        """The keys whose values lead to files that the user owns."""
        return ()

    def resolved(self) -> ModelConfig:
        """Its kind and its arguments."""
        return ModelConfig(kind=self.kind, arguments=self.model_dump(exclude={"kind"}))


class Otsu(Predictor):
    kind: Literal["otsu"]
    bright: bool = True


AnyPredictor = Otsu
