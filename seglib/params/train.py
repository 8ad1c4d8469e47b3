"""The `train` section: how a network is trained. A dataset, a model, a loss or a study may override any key of it."""

from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from seglib.params.strict import Once, Strict

Probability = Annotated[float, Field(ge=0, le=1)]
Area = Annotated[float, Field(gt=0, le=1)]
FromOne = Annotated[int, Field(ge=1, le=10_000_000)]

# What each augmentation is where nothing happens.
NEUTRAL = {"flip": 0.0, "vertical_flip": 0.0, "rotation": 0.0, "crop_min": 1.0, "crop_max": 1.0, "color": 0.0}


class Train(Strict):
    optimizer: Literal["adamw", "adam", "radam", "sgd"]
    schedule: Literal["one_cycle", "constant", "cosine", "plateau"]
    lr: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_epochs: Annotated[float, Field(ge=0)]
    plateau_factor: Annotated[float, Field(gt=0, lt=1)]
    plateau_patience: FromOne
    clip: Annotated[float, Field(gt=0)] | None
    batch_size: FromOne
    epochs: FromOne
    patience: FromOne | None
    freeze_encoder_epochs: Annotated[int, Field(ge=0, le=10_000_000)]
    freeze_lr: Annotated[float, Field(gt=0)]
    pixels: Literal["unit", "raw", "imagenet"]
    targets: Literal["unit", "label"]
    output: Literal["sigmoid", "raw"]
    keep: Literal["best", "last"]
    best_by: Literal["iou", "dice", "pixel_accuracy", "loss"]
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
    precision: Literal["auto", "fp32", "bf16"]
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


# The same keys, each optional: what a dataset, a model, a loss or a study may override.
TrainOverride = create_model(
    "TrainOverride", __base__=Strict,
    **{name: (field.rebuild_annotation(), None) for name, field in Train.model_fields.items()})


def resolved_train(train: Train) -> dict[str, Any]:
    """The section as a variant's configuration has it: what it does not use is dropped, augmentations are gathered."""
    used = train.model_dump(exclude=set(NEUTRAL))
    augment = {key: getattr(train, key) for key, neutral in NEUTRAL.items() if getattr(train, key) != neutral}
    if "crop_min" in augment:
        augment["crop_max"] = train.crop_max
    judges = train.keep == "best" or train.schedule == "plateau" or train.patience is not None
    unused = {
        "momentum": train.optimizer != "sgd",
        "warmup_epochs": not train.warmup_epochs,
        "plateau_factor": train.schedule != "plateau",
        "plateau_patience": train.schedule != "plateau",
        "clip": train.clip is None,
        "patience": train.patience is None,
        "freeze_encoder_epochs": not train.freeze_encoder_epochs,
        "freeze_lr": not train.freeze_encoder_epochs,
        "best_by": not judges,
        "overfit": train.overfit is None,
        "snapshots": not train.snapshots,
    }
    used = {key: value for key, value in used.items() if not unused.get(key)}
    # Whether a model can fit a few pictures is asked of these pictures, not of others made from them.
    return used | ({"augment": augment} if augment and train.overfit is None else {})
