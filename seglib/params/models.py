"""The `models` section: one class per kind of model. Its fields are the arguments of the class in `seglib/models/`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from seglib import models
from seglib.configs import ModelConfig
from seglib.params.train import TrainOverride
from seglib.strict import OfAKind, Strict, Text

Norm = Literal["batch", "after_relu", "none"]


class AnyKind(Strict):
    """What all models share."""

    kind: str
    train: TrainOverride = TrainOverride()

    @property
    def declared(self) -> models.Kind:
        """What the registry of models says of this kind."""
        return models.KINDS[self.kind]

    def user_paths(self) -> tuple[str, ...]:
        """The keys whose values lead to files that the user owns."""
        return ()

    def resolved(self) -> ModelConfig:
        """The model as a training's configuration has it."""
        return ModelConfig(kind=self.kind, arguments=self.model_dump(exclude={"kind", "train"}))


class MUnet(AnyKind):
    kind: Literal["munet"]
    depth: int = Field(ge=4, le=1000, multiple_of=2)
    width: int = Field(ge=2, le=10_000, multiple_of=2)
    upsampling: Literal["learned", "dlstudio"]
    skip_connections: bool = True
    aspp_rates: list[Annotated[int, Field(ge=1, le=1000)]] | None = Field(default=None, min_length=1)


class UNet(AnyKind):
    kind: Literal["unet"]
    width: int = Field(ge=1, le=10_000)
    upsampling: Literal["bilinear", "transposed"]
    norm: Norm = "batch"


class ResNetUNet(AnyKind):
    kind: Literal["resnet_unet"]
    encoder: Literal["resnet18", "resnet34"]
    weights: Text  # imagenet | none | a path
    stem: Literal["standard", "full"] = "standard"
    decoder: Literal["matched", "published"] = "matched"
    norm: Literal["batch", "none"] = "batch"

    def user_paths(self) -> tuple[str, ...]:
        return () if self.weights in ("imagenet", "none") else ("weights",)

    @model_validator(mode="after")
    def _as_published(self) -> "ResNetUNet":
        if self.decoder == "published" and self.stem != "full":
            raise PydanticCustomError("stem", "decoder: published belongs to stem: full, the two were published as one")
        if self.decoder == "published" and self.norm != "batch":
            raise PydanticCustomError("norm", "decoder: published ends in a batch norm; choose norm: batch, or "
                                              "decoder: matched")
        if self.weights != "none" and self.stem == "full":
            raise PydanticCustomError("stem", "pretrained weights have a stem of their own; choose stem: standard, or "
                                              "weights: none")
        return self


class ConvNet(AnyKind):
    kind: Literal["convnet"]
    width: int = Field(ge=1, le=10_000)
    layers: int = Field(ge=1, le=1000)
    norm: Norm = "batch"


Model = Annotated[MUnet | UNet | ResNetUNet | ConvNet, Field(discriminator="kind"), OfAKind]
