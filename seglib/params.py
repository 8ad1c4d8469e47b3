"""params.yaml, typed and validated: what may stand in it, and in which range.

A wrong key, type, range or name is a `ParamsError`: one line a problem, with the key's path and what would do.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML, YAMLError

from seglib.names import nearest

NAME_PATTERN = r"^[A-Za-z0-9_]+$"  # names join with "-" into stage names, and `-S` cannot address a "+"


class ParamsError(ValueError):
    """params.yaml cannot be used as it stands."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        known = list(cls.model_fields)
        for key in value if isinstance(value, dict) else ():
            if key not in known:
                raise PydanticCustomError("unknown_key", "unknown key '{key}': {hint}",
                                          {"key": key, "hint": nearest(str(key), known)})
        return value


def _unique(values: list) -> list:
    if len(set(values)) != len(values):
        raise PydanticCustomError("not_unique", "each entry may stand once, found {values}", {"values": values})
    return values


class Run(Strict):
    datasets: list[str] = Field(min_length=1)
    models: list[str] = Field(min_length=1)
    losses: list[str] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(min_length=1)

    _once = field_validator("datasets", "models", "losses", "seeds")(_unique)


class Fetch(Strict):
    mirror: str | None
    workers: int = Field(ge=1, le=128)
    retries: int = Field(ge=1, le=100)
    timeout: float = Field(gt=0)


class Prepare(Strict):
    max_rejected: float = Field(ge=0, le=1)


class Evaluate(Strict):
    tolerance: int = Field(ge=1)


class Compare(Strict):
    pictures: int = Field(ge=3)
    gallery: int = Field(ge=3)
    resamples: int = Field(ge=1000, le=100_000)


class LossConstants(Strict):
    dice_scale: float = Field(ge=0)
    epsilon: float = Field(gt=0)
    dice_reduction: Literal["image", "batch"]


class Train(Strict):
    optimizer: Literal["adamw", "sgd"]
    schedule: Literal["one_cycle", "constant"]
    lr: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    pixels: Literal["unit", "raw"]
    targets: Literal["unit", "label"]
    output: Literal["sigmoid", "raw"]
    keep: Literal["best", "last"]
    log_every: int = Field(ge=1)
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    threads: int | None = Field(ge=1)

    @model_validator(mode="after")
    def _targets_within_reach(self) -> "Train":
        if self.output == "sigmoid" and self.targets == "label":
            raise PydanticCustomError("out_of_reach", "a sigmoid ends at 1 and targets: label reach 250; "
                                                      "choose output: raw, or targets: unit")
        return self


# The same keys, each optional: what a dataset, a model or a loss may override.
TrainOverride = create_model(
    "TrainOverride", __base__=Strict,
    **{name: (field.annotation, Field(default=None, **_limits))
       for name, field in Train.model_fields.items()
       for _limits in [{key: getattr(limit, key) for limit in field.metadata
                        for key in ("gt", "ge", "lt", "le") if hasattr(limit, key)}]})

CONSTANTS = ("dice_scale",)  # the keys of `loss` that a weight may name


def _weight(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if not is_number and value not in CONSTANTS:
        raise PydanticCustomError("weight", "a weight is a number from 0 or one of: {known}; found {value}",
                                  {"known": ", ".join(CONSTANTS), "value": repr(value)})
    return value


Weight = Annotated[float | str, BeforeValidator(_weight)]


class Loss(Strict):
    """A weighted sum of terms: a weight is a number or names a constant of the `loss` section."""

    mse: Weight | None = None
    dice: Weight | None = None
    train: TrainOverride = TrainOverride()

    @model_validator(mode="after")
    def _some_term(self) -> "Loss":
        if not self.weights():
            raise PydanticCustomError("no_term", "a loss needs at least one term: mse or dice")
        return self

    def weights(self) -> dict[str, float | str]:
        return self.model_dump(exclude={"train"}, exclude_none=True)


class MUnet(Strict):
    kind: Literal["munet"]
    depth: int = Field(ge=4, multiple_of=2)
    width: int = Field(ge=2, multiple_of=2)
    upsampling: Literal["learned", "dlstudio"]
    skip_connections: bool = True
    aspp_rates: list[int] | None = Field(default=None, min_length=1)
    train: TrainOverride = TrainOverride()


class Dataset(Strict):
    """What all datasets share. `fetch_keys` decide what is fetched; the others only how it is prepared."""

    val_fraction: float = Field(gt=0, lt=1)
    train: TrainOverride = TrainOverride()

    def fetch_keys(self) -> tuple[str, ...]:
        raise AssertionError("each dataset names its own")

    def from_network(self) -> bool:
        raise AssertionError("each dataset knows its own source")


class Shapes(Dataset):
    kind: Literal["shapes"]
    source: str = Field(min_length=1)
    train_images: int = Field(ge=2)
    test_images: int = Field(ge=1)
    seed: int = Field(ge=0)
    background: Literal["dark", "varied"]

    def fetch_keys(self) -> tuple[str, ...]:
        counts = ("kind", "source", "train_images", "test_images")
        return (*counts, "seed", "background") if self.source == "generated" else counts

    def from_network(self) -> bool:
        return self.source == "purdue"


class Coco(Dataset):
    kind: Literal["coco"]
    classes: list[str] = Field(min_length=1, max_length=31)
    min_box: float = Field(ge=0)
    instances: Literal["single", "any"]
    image_size: int = Field(ge=8)

    _once = field_validator("classes")(_unique)

    def fetch_keys(self) -> tuple[str, ...]:
        return ("kind", "classes", "min_box", "instances")

    def from_network(self) -> bool:
        return True


class Study(Run):
    """A named selection, for `seglib study NAME`: what `run` would hold, changes to `train`, other keys to `set`."""

    train: TrainOverride = TrainOverride()
    set: dict[str, int | float | str] = {}  # by path, as `-S` has it: datasets.shapes.train_images


class Params(Strict):
    """The whole of params.yaml."""

    run: Run
    studies: dict[str, Study]
    fetch: Fetch
    prepare: Prepare
    evaluate: Evaluate
    compare: Compare
    loss: LossConstants
    losses: dict[str, Loss]
    models: dict[str, MUnet]
    datasets: dict[str, Annotated[Shapes | Coco, Field(discriminator="kind")]]
    train: Train

    @field_validator("losses", "models", "datasets", "studies")
    @classmethod
    def _plain_names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        for name in entries:
            if not re.match(NAME_PATTERN, name):
                raise PydanticCustomError("name", "the name '{name}' may hold letters, digits and underscores only",
                                          {"name": name})
        return entries

    @model_validator(mode="after")
    def _run_picks_what_is_defined(self) -> "Params":
        selections = {"run": self.run} | {f"studies.{name}": study for name, study in self.studies.items()}
        for where, picked in selections.items():
            for section in ("datasets", "models", "losses"):
                known = list(getattr(self, section))
                for name in getattr(picked, section):
                    if name not in known:
                        raise PydanticCustomError("undefined", "{where}.{section}: '{name}' is not defined, {hint}",
                                                  {"where": where, "section": section, "name": name,
                                                   "hint": nearest(name, known)})
        return self


def load(path: Path) -> Params:
    """Read and validate a params.yaml. YAML 1.2, as DVC reads it, so `1e-06` is a number in both.

    Raises ParamsError: one line a problem.
    """
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ParamsError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        sections = ", ".join(Params.model_fields)
        raise ParamsError(f"{path.name} must hold the sections {sections}; found {type(raw).__name__}")
    return parse(raw)


def parse(raw: dict[str, Any]) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(explain(error)) from None


def as_overrides(study: Study) -> list[str]:
    """A study as the options of `dvc exp run`: `-S key=value` for each thing it changes."""
    picked = {f"run.{key}": f"[{','.join(map(str, getattr(study, key)))}]" for key in Run.model_fields}
    changed = {f"train.{key}": "null" if value is None else value
               for key, value in study.train.model_dump(exclude_unset=True).items()}
    return [part for key, value in (picked | changed | study.set).items() for part in ("-S", f"{key}={value}")]


def explain(error: ValidationError, where: str = "") -> str:
    """One line a problem: the key's path, what is wrong with it, what was found."""
    return "\n".join(_line(item, where) for item in error.errors(include_url=False))


def _line(item: Any, where: str) -> str:
    path = [str(part) for part in item["loc"]]
    if path[:1] == ["datasets"] and len(path) > 2:
        del path[2]  # the tag of the union, which stands in no params.yaml
    if item["type"] == "union_tag_invalid":
        known = re.findall(r"'(\w+)'", item["ctx"]["expected_tags"])
        message = f"unknown kind '{item['ctx']['tag']}': {nearest(item['ctx']['tag'], known)}"
    else:
        message = item["msg"][:1].lower() + item["msg"][1:]
    if not isinstance(item["input"], dict) and "found" not in message:
        message += f" (found {item['input']!r})"
    return ": ".join(filter(None, [where, ".".join(path), message]))
