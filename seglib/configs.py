"""The configuration of each stage: what `resolve` writes into conf/, as one frozen dataclass per consumer.

A file has two keys. "config" holds every field of its dataclass and nothing else; a field that is not used is null.
"code" says which code decides the result, see `seglib.pipeline.code`. Which values are allowed is decided once, in
`seglib.params`; nothing else has a default.
"""

import dataclasses
import inspect
import typing
from pathlib import Path
from typing import Any, Self

from seglib.files import read_json
from seglib.names import brief, nearest

RESOLVE = "dvc repro resolve/dvc.yaml"  # the command that writes conf/


class Config:
    """What all configurations share: each is read from JSON, and gives the same JSON again."""

    @classmethod
    def read(cls, path: Path, *, part: str = "config") -> Self:
        """Read one part of a file of conf/, "config" or "code".

        Raises ValueError, naming file and key, if the keys of that part are not exactly the fields.
        """
        try:
            content = read_json(path)
            _check_keys(content, ["code", "config"])
            return cls.of(content[part])
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist; `{RESOLVE}` writes it if `run` in params.yaml picks it"
                             ) from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}; `{RESOLVE}` writes it anew") from None

    @classmethod
    def of(cls, content: Any) -> Self:
        """Build one from what `content` gives. Raises ValueError for a key that is missing or unknown."""
        types = typing.get_type_hints(cls)
        _check_keys(content, list(types))
        return cls(**{name: _typed(name, types[name], content[name]) for name in types})

    def content(self) -> dict[str, Any]:
        """The JSON object that `of` reads."""
        return {field.name: value.content() if isinstance(value := getattr(self, field.name), Config) else value
                for field in dataclasses.fields(self)}


def used(content: dict[str, Any]) -> dict[str, Any]:
    """A JSON object without its null values, also in the objects inside it. People are shown configurations so."""
    return {key: used(value) if isinstance(value, dict) else value for key, value in content.items()
            if value is not None}


def _check_keys(content: Any, known: list[str]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"expected an object with the keys {', '.join(known)}; found {brief(content)}")
    for key in content:
        if key not in known:
            raise ValueError(f"unknown key {brief(key)}: {nearest(key, known)}")
    if missing := [key for key in known if key not in content]:
        raise ValueError(f"missing key {missing[0]!r}")


def _typed(name: str, kind: Any, value: Any) -> Any:
    """A field's value: a dataclass of this file if the field's type is one (or one or None), else the value itself."""
    classes = [one for one in (kind, *typing.get_args(kind)) if inspect.isclass(one) and issubclass(one, Config)]
    if not classes or value is None and kind is not classes[0]:
        return value
    try:
        return classes[0].of(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DownloadConfig(Config):
    """How files come from the network."""

    mirror: str | None
    """A folder laid out as HOST/PATH with a SHA256SUMS, which is read in place of the network."""
    workers: int
    """How many files are downloaded at once."""
    retries: int
    """How often a file is tried."""
    timeout: float
    """Seconds without an answer before a try is given up."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchConfig(Config):
    """conf/<dataset>.fetch.json: what decides the raw data."""

    kind: str
    """A key of `seglib.datasets.readers.KINDS`."""
    options: dict[str, Any]
    """The reader's own keys that decide what is fetched."""
    download: DownloadConfig | None
    """None if the data do not come from the network."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig(Config):
    """conf/<dataset>.prepare.json: what decides the prepared data, besides the raw data."""

    kind: str
    """A key of `seglib.datasets.readers.KINDS`."""
    options: dict[str, Any]
    """The reader's own keys."""
    image_size: int | None
    """Pixels: the side of the network's square pictures. None if the dataset's pictures have one size already."""
    resize: str
    """How pictures are brought to that size: "stretch", "pad" or "crop"."""
    val_fraction: float
    """The part of the training pictures that becomes val, if the dataset has no val split of its own."""
    max_rejected: float
    """The largest part of all pictures that may be left out."""
    allow: list[str]
    """Keys of `seglib.datasets.truth.DEGENERATE`: what may be wrong with the truth."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """A model: `{"kind": KIND, ARGUMENT: VALUE, ...}` in JSON."""

    kind: str
    """A key of `seglib.models.KINDS`."""
    arguments: dict[str, Any]
    """Keyword arguments of the model's class; None for one that is not used."""

    @classmethod
    def of(cls, content: Any) -> Self:
        if not isinstance(content, dict) or "kind" not in content:
            raise ValueError(f"expected an object with the key 'kind'; found {brief(content)}")
        return cls(kind=content["kind"], arguments={key: content[key] for key in content if key != "kind"})

    def content(self) -> dict[str, Any]:
        return {"kind": self.kind} | self.arguments


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig(Config):
    """A loss: `{"terms": {TERM: WEIGHT, ...}, OPTION: VALUE, ...}` in JSON."""

    terms: dict[str, float]
    """The weight of each term, in the order in which they are logged."""
    options: dict[str, Any]
    """The options of these terms."""

    @classmethod
    def of(cls, content: Any) -> Self:
        if not isinstance(content, dict) or not isinstance(content.get("terms"), dict):
            raise ValueError(f"expected an object whose key 'terms' gives a weight for each term; "
                             f"found {brief(content)}")
        return cls(terms=content["terms"], options={key: content[key] for key in content if key != "terms"})

    def content(self) -> dict[str, Any]:
        return {"terms": self.terms} | self.options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation(Config):
    """How training pictures and their masks are changed at random."""

    flip: float
    """The probability of mirroring a picture left to right."""
    vertical_flip: float
    """The probability of mirroring it top to bottom."""
    rotation: float
    """Degrees: the angle is uniform between minus and plus this."""
    crop_min: float
    """The smallest share of a picture's area that a crop keeps."""
    crop_max: float
    """The largest; the share is uniform between the two."""
    color: float
    """Brightness, contrast and saturation each change by a factor that is uniform in 1 ± this."""


NEUTRAL = Augmentation(flip=0.0, vertical_flip=0.0, rotation=0.0, crop_min=1.0, crop_max=1.0, color=0.0)
"""The augmentation that changes nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(Config):
    """How a network is trained. The `train` section of params.yaml explains each key."""

    optimizer: str
    schedule: str
    lr: float
    momentum: float | None
    """The momentum of "sgd". None for the other optimizers."""
    one_cycle_momentum: str | None
    """None unless the schedule is "one_cycle"."""
    weight_decay: float
    warmup_epochs: float
    plateau_factor: float | None
    """None unless the schedule is "plateau", as `plateau_patience`."""
    plateau_patience: int | None
    clip: float | None
    """None: gradients are not clipped."""
    batch_size: int
    epochs: int
    pictures_per_epoch: int | None
    """None: an epoch shows every training picture once."""
    patience: int | None
    """None: no training stops early."""
    freeze_encoder_epochs: int
    freeze_lr: float | None
    """None unless some epochs freeze the encoder."""
    output_bias: str
    pixels: str
    targets: str
    output: str
    keep: str
    best_by: str | None
    """None if nothing depends on which epoch is best."""
    augment: Augmentation | None
    """None if pictures are shown as they are."""
    overfit: int | None
    """None: all training pictures are used."""
    snapshots: list[int]
    log_every: int
    device: str
    precision: str
    threads: int | None
    """None: one thread per physical core."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """conf/<dataset>/<training>/train.json: what decides the bytes of a training, besides the prepared data."""

    model: ModelConfig
    loss: LossConfig
    train: TrainSettings
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineConfig(Config):
    """conf/machine.json: how this machine is used. No result depends on it, so that its key "code" is null."""

    together: int | None
    """How many trainings run at once. None: on a CPU one per physical core, on a GPU as many as memory and speed allow.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """conf/<dataset>/<training>/evaluate.json: what decides an evaluation, besides weights and pictures."""

    model: ModelConfig
    tolerance: int
    """Pixels: how far apart two outlines may lie and still count as the same (normalised surface distance)."""
    boundary_band: int | None
    """Pixels: how wide boundary IoU's band along the inside of an outline is. None: 2 % of the picture's diagonal, as
    its authors define it (`metrics.boundary.band_of`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictorConfig(Config):
    """One predictor of `PredictConfig`."""

    model: ModelConfig
    """Its kind, a key of `seglib.prediction.KINDS`, and that kind's arguments."""
    title: str
    """Its name in tables and on the page."""
    fit: str
    hint: str | None
    baseline: bool
    """These three are declared by the kind: see `seglib.prediction.Kind`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig(Config):
    """conf/<dataset>.predict.json: the predictors of a dataset that no loss trains."""

    predictors: dict[str, PredictorConfig]
    tolerance: int
    boundary_band: int | None
    """`tolerance` and `boundary_band`: see `EvaluateConfig`."""

    @classmethod
    def of(cls, content: Any) -> Self:
        _check_keys(content, ["predictors", "tolerance", "boundary_band"])
        return cls(predictors={name: PredictorConfig.of(one) for name, one in content["predictors"].items()},
                   tolerance=content["tolerance"], boundary_band=content["boundary_band"])

    def content(self) -> dict[str, Any]:
        return {"predictors": {name: one.content() for name, one in self.predictors.items()},
                "tolerance": self.tolerance, "boundary_band": self.boundary_band}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareConfig(Config):
    """conf/<dataset>.compare.json: how the variants of a dataset are compared and shown."""

    pictures: int
    """Test pictures in the printed figure."""
    gallery: int
    """Test pictures on the page."""
    margin: float
    """The smallest difference that matters, for scores from 0 to 1."""
    failed_below: float | None
    """A training has failed if its test IoU is not above this; None: not above that of the best baseline."""
    tolerance: int
    boundary_band: int | None
    """The settings of the evaluations, see `EvaluateConfig`."""
    absent_costs: dict[str, dict[str, float]]
    """The result of `seglib.losses.absent_costs` for each loss, by the loss's name: the terms in which a class that a
    picture lacks costs the same whatever is predicted, with that cost."""
    coursework: bool
    """Whether the coursework's questions are asked about the dataset."""
    generated: bool
    """Whether the data are a generated stand-in, so that no published figure can be held against the results."""
    prepare: PrepareConfig
    """How the data were prepared: a published figure may hold for one way only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportConfig(Config):
    """conf/report.json: what decides the page, besides the comparisons."""

    datasets: list[str]
    """Those that the page shows, in its order."""
