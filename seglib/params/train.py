"""The `train` section: how a network is trained. A dataset, a model, a loss or a study may override any key of it."""

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from seglib.configs import NEUTRAL, Augmentation, TrainSettings
from seglib.metrics.overlap import OVERLAP
from seglib.names import brief
from seglib.strict import Once, Strict
from seglib.training.optimizers import OPTIMIZERS

Probability = Annotated[float, Field(ge=0, le=1)]
Area = Annotated[float, Field(gt=0, le=1)]
FromOne = Annotated[int, Field(ge=1, le=10_000_000)]

AUGMENTATIONS = {field.name for field in dataclasses.fields(Augmentation)}


class Train(Strict):
    optimizer: Literal[tuple(OPTIMIZERS)]
    schedule: Literal["one_cycle", "constant", "cosine", "plateau"]
    lr: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    one_cycle_momentum: Literal["constant", "cycled"]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_epochs: Annotated[float, Field(ge=0)]
    plateau_factor: Annotated[float, Field(gt=0, lt=1)]
    plateau_patience: FromOne
    clip: Annotated[float, Field(gt=0)] | None
    batch_size: FromOne
    epochs: FromOne
    pictures_per_epoch: FromOne | None
    patience: FromOne | None
    freeze_encoder_epochs: Annotated[int, Field(ge=0, le=10_000_000)]
    freeze_lr: Annotated[float, Field(gt=0)]
    output_bias: Literal["prior", "zero", "default"]
    pixels: Literal["unit", "raw", "imagenet"]
    targets: Literal["unit", "label"]
    output: Literal["sigmoid", "raw"]
    keep: Literal["best", "last"]
    best_by: Literal[(*OVERLAP, "loss")]
    flip: Probability
    vertical_flip: Probability
    rotation: Annotated[float, Field(ge=0, le=180)]
    crop_min: Area
    crop_max: Area
    color: Probability
    overfit: FromOne | None
    snapshots: Annotated[list[FromOne], Once]
    log_every: FromOne
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]
    threads: FromOne | None

    @model_validator(mode="after")
    def _nothing_contradicts_itself(self) -> "Train":
        contradictions = {
            "a sigmoid ends at 1 and targets: label reach 250; choose output: raw, or targets: unit":
                self.output == "sigmoid" and self.targets == "label",
            "schedule: one_cycle warms up by itself; choose another, or warmup_epochs: 0":
                self.schedule == "one_cycle" and self.warmup_epochs > 0,
            "warmup_epochs must be fewer than the epochs that follow freeze_encoder_epochs":
                self.warmup_epochs > 0 and self.warmup_epochs >= self.epochs - self.freeze_encoder_epochs,
            "freeze_encoder_epochs must be fewer than epochs, which count both":
                self.freeze_encoder_epochs >= self.epochs,
            "warmup_epochs must be fewer than freeze_encoder_epochs, which warm up too":
                0 < self.freeze_encoder_epochs <= self.warmup_epochs,
            "crop_min is larger than crop_max": self.crop_min > self.crop_max,
        }
        for message, holds in contradictions.items():
            if holds:
                raise PydanticCustomError("contradiction", message)
        return self


def _auto_or_count(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise PydanticCustomError("together", "expected auto, or how many from 1; found {value}", {"value": brief(value)})


class TrainSection(Train):
    """The `train` section itself. It holds one key more, which nothing overrides, because it changes no result."""

    together: Annotated[Literal["auto"] | int, BeforeValidator(_auto_or_count)]


# The keys of a training, each optional: a dataset, a model, a loss or a study may override them.
TrainOverride = create_model(
    "TrainOverride", __base__=Strict,
    **{name: (field.rebuild_annotation(), None) for name, field in Train.model_fields.items()})


def resolved_train(train: Train) -> TrainSettings:
    """The section as a training's configuration has it: None for what is not used, augmentations in one object."""
    augment = Augmentation(**train.model_dump(include=AUGMENTATIONS))
    depends_on_best = train.keep == "best" or train.schedule == "plateau" or train.patience is not None
    is_unused = {
        "momentum": not OPTIMIZERS[train.optimizer].takes_momentum,
        "one_cycle_momentum": train.schedule != "one_cycle",
        "plateau_factor": train.schedule != "plateau",
        "plateau_patience": train.schedule != "plateau",
        "freeze_lr": not train.freeze_encoder_epochs,
        "best_by": not depends_on_best,
        # Whether a model can learn a few pictures by heart is asked of these pictures, not of others made from them.
        "augment": augment == NEUTRAL or train.overfit is not None,
    }
    content = train.model_dump(exclude=AUGMENTATIONS) | {"augment": augment}
    return TrainSettings(**{key: None if is_unused.get(key, False) else value for key, value in content.items()})
