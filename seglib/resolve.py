"""From params.yaml to one canonical configuration a variant, and four a dataset: all that later stages read of it."""

import dataclasses
from typing import Any

from pydantic import ValidationError

from seglib.params import Params, ParamsError
from seglib.params.datasets import Dataset
from seglib.params.losses import BOUNDED, ON_LOGITS, Loss, LossConstants, resolved_loss
from seglib.params.models import Frequency, Network
from seglib.params.strict import explain
from seglib.params.train import Train, resolved_train

# The `train` section of a model that only counts: nothing else of it has a meaning there.
WITHOUT_GRADIENTS = {"pixels": "unit", "targets": "unit", "output": "sigmoid", "batch_size": 64, "device": "cpu",
                     "precision": "fp32", "threads": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One training: its four names and the configuration that decides its bytes (no names in it)."""

    dataset: str
    model: str
    loss: str
    seed: int
    config: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.model}-{self.loss}-{self.seed}"


def resolve(params: Params) -> list[Variant]:
    """Every combination that `run` picks, defaults and overrides merged, what a variant does not use dropped.

    Overrides apply in the order dataset, model, loss. Raises ParamsError where a merged configuration contradicts
    itself.
    """
    run = params.run
    return [Variant(dataset=dataset, model=model, loss=loss, seed=seed,
                    config=_config(params, dataset, model, loss, seed))
            for dataset in run.datasets for model in run.models for loss in run.losses for seed in run.seeds]


def _config(params: Params, dataset: str, model: str, loss: str, seed: int) -> dict[str, Any]:
    parts = (params.datasets[dataset], params.models[model], params.losses[loss])
    merged = params.train.model_dump()
    for part in parts:
        merged |= part.train.model_dump(exclude_unset=True)
    where = f"{dataset} × {model} × {loss}"
    try:
        train = Train.model_validate(merged)
    except ValidationError as error:
        raise ParamsError(explain(error, f"train, for {where}")) from None
    network = params.models[model].resolved()
    if isinstance(params.models[model], Frequency):
        return {"model": network, "loss": {"terms": {}}, "train": WITHOUT_GRADIENTS, "seed": None}
    _refuse_what_does_not_fit(*parts, params.loss, train, where)
    return {"model": network, "loss": resolved_loss(params.losses[loss], params.loss),
            "train": resolved_train(train), "seed": seed}


def _refuse_what_does_not_fit(dataset: Dataset, model: Network, loss: Loss, constants: LossConstants, train: Train,
                              where: str) -> None:
    need_probabilities = [term for term in loss.weights() if term in (*ON_LOGITS, *BOUNDED)]
    if need_probabilities and train.output == "raw":
        raise ParamsError(f"{where}: {' and '.join(need_probabilities)} are of probabilities, train.output is raw; "
                          "choose output: sigmoid and targets: unit")
    if "ce" in loss.weights() and dataset.task() != "multiclass":
        raise ParamsError(f"{where}: ce is for classes that exclude each other, and this dataset's may overlap; "
                          "choose bce")
    weights = resolved_loss(loss, constants).get("class_weights")
    if isinstance(weights, list) and len(weights) != dataset.class_count():
        raise ParamsError(f"{where}: class_weights are {len(weights)} numbers, the dataset has {dataset.class_count()} "
                          "classes; give one each, or inverse_frequency")
    if train.freeze_encoder_epochs and not model.has_encoder():
        raise ParamsError(f"{where}: freeze_encoder_epochs is {train.freeze_encoder_epochs}, but the model has no "
                          "encoder of its own; choose a resnet_unet, or 0")


def fetch_config(params: Params, name: str) -> dict[str, Any]:
    """What decides the bytes of the raw data; with the `fetch` section if they come from the network."""
    dataset = params.datasets[name]
    config = dataset.model_dump(include=set(dataset.fetch_keys()))
    return config | ({"fetch": params.fetch.model_dump()} if dataset.from_network() else {})


def prepare_config(params: Params, name: str) -> dict[str, Any]:
    """What decides the bytes of `data/prepared/<name>/`, besides the raw data."""
    dataset = params.datasets[name]
    return dataset.model_dump(exclude={"train"}) | params.prepare.model_dump()


def compare_config(params: Params, name: str) -> dict[str, Any]:
    """How the dataset's variants are compared, and whether the coursework's questions are asked about them."""
    return params.compare.model_dump() | {"coursework": params.datasets[name].coursework}
