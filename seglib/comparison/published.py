"""published.yaml: the figures that sources printed, with the data and the recipe that gave them, as data.

`agreement` holds them against the results at hand. `seglib reproduce NAME` repeats the experiment behind an entry.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from seglib.comparison.published_values import DATA, TRAINED
from seglib.configs import Augmentation, TrainSettings
from seglib.metrics.scores import BY_NAME
from seglib.names import nearest
from seglib.strict import Strict, Text, explain, read_yaml

TRAIN_KEYS = [field.name for of in (TrainSettings, Augmentation) for field in dataclasses.fields(of)
              if field.name != "augment"]
QUANTITIES = [*TRAINED, *BY_NAME]
FromZero = Annotated[float, Field(ge=0)]


def _known(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise PydanticCustomError("name", "no {what} is called '{name}', {hint}",
                                  {"what": what, "name": name, "hint": nearest(name, known)})


def _keys_of_train(train: dict[str, Any]) -> dict[str, Any]:
    for key in train:
        _known(key, TRAIN_KEYS, "key of train")
    return train


TrainKeys = Annotated[dict[str, Any], AfterValidator(_keys_of_train)]


class Recipe(Strict):
    """How the source trained, and what the study assumes if the source does not say. Other keys may have any value."""

    dataset: dict[str, Any] = {}  # keys of the dataset in params.yaml
    train: TrainKeys
    models: dict[str, dict[str, Any]] = Field(min_length=1)  # arguments, and keys of `train` that are this model's own
    losses: dict[str, dict[str, Any]] = Field(min_length=1)  # `terms` with their weights, and options

    @model_validator(mode="after")
    def _parts(self) -> "Recipe":
        for model in self.models.values():
            _keys_of_train(model.get("train", {}))
        for name, loss in self.losses.items():
            if not isinstance(loss.get("terms"), dict):
                raise PydanticCustomError("terms", "the loss {name} needs terms: {{TERM: WEIGHT}}", {"name": name})
        return self

    def train_of(self, model: str) -> dict[str, Any]:
        """The keys of `train` for one model."""
        return self.train | self.models[model].get("train", {})


class Value(Strict):
    """A published number: its quantity, its definition, and how far our number may differ from it."""

    quantity: str
    definition: Text
    tolerance: FromZero
    reason: Text  # of the tolerance
    not_comparable: Text | None = None  # why no result of ours can be held against it


class DataFigure(Value):
    """A number about the data: a count, a size, a loss."""

    value: float

    @model_validator(mode="after")
    def _whole(self) -> "DataFigure":
        _known(self.quantity, list(DATA), "quantity of data")
        return self


class Figure(Value):
    """A number about a variant: one `value`, or `values` by iteration or epoch."""

    model: str | None = None
    loss: str | None = None
    predictor: str | None = None  # in place of a model and a loss
    minus: str | None = None  # if given, the figure is the difference from this model, same loss
    value: float | None = None
    values: dict[Annotated[int, Field(ge=1)], float] | None = Field(default=None, min_length=1)
    share_of: int | None = None  # divide the values by the value at this iteration or epoch

    @model_validator(mode="after")
    def _whole(self) -> "Figure":
        _known(self.quantity, QUANTITIES, "quantity or score")
        if (self.predictor is None) != (self.model is not None and self.loss is not None):
            raise PydanticCustomError("side", "a figure is of a model and a loss, or of a predictor")
        if self.predictor is not None and self.quantity in TRAINED:
            raise PydanticCustomError("side", "{quantity} is of a training, and a predictor has none",
                                      {"quantity": self.quantity})
        if (self.value is None) == (self.values is None) or (self.values is None) == (self.quantity in TRAINED):
            raise PydanticCustomError("value", "a score has a value, and {trained} have values {{WHEN: VALUE}}",
                                      {"trained": ", ".join(TRAINED)})
        if self.share_of is not None and self.share_of not in (self.values or {}):
            raise PydanticCustomError("share", "share_of is one of the moments in values")
        return self

    def points(self) -> dict[int | None, float]:
        """The published numbers by iteration or epoch; a single number has the key None."""
        if self.values is None:
            return {None: self.value}
        if self.share_of is None:
            return dict(self.values)
        whole = self.values[self.share_of]
        return {when: value / whole for when, value in self.values.items() if when != self.share_of}


class Reproduction(Strict):
    """One experiment of a source: its figures, and the study of params.yaml that repeats it.

    An experiment may have no figures. Then it only decides the claims that name it.
    """

    title: Text
    source: Text  # what was published and where, and what is unknown about it
    study: str
    dataset: str
    data: dict[str, DataFigure] = {}
    recipe: Recipe
    figures: dict[str, Figure] = {}

    @model_validator(mode="after")
    def _names(self) -> "Reproduction":
        for name, figure in self.figures.items():
            for key, known in (("model", self.recipe.models), ("minus", self.recipe.models),
                               ("loss", self.recipe.losses)):
                found = getattr(figure, key)
                if found is not None and found not in known:
                    raise PydanticCustomError("name", "{figure}: the recipe has no {key} '{found}', {hint}", {
                        "figure": name, "key": key, "found": found, "hint": nearest(found, list(known))})
        return self

    def variants(self) -> set[tuple[str, str]]:
        """The models and losses that its figures are about."""
        return {(figure.model, figure.loss) for figure in self.figures.values() if figure.predictor is None}


def load(path: Path) -> dict[str, Reproduction]:
    """Read published.yaml, by the entries' names. Raises ValueError with one line per problem, which names the entry.
    """
    try:
        return TypeAdapter(dict[Text, Reproduction]).validate_python(read_yaml(path))
    except ValidationError as error:
        raise ValueError(explain(error, path.name)) from None


def find(entries: Mapping[str, Reproduction], name: str) -> Reproduction:
    """The entry of that name. Raises ValueError if there is none."""
    if name not in entries:
        raise ValueError(f"published.yaml has no reproduction '{name}': {nearest(name, list(entries))}")
    return entries[name]
