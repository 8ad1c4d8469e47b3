"""From params.yaml to one canonical configuration a variant, and four a dataset: all that later stages read of it."""

import dataclasses
from typing import Any

from pydantic import ValidationError

from seglib.params import Params, ParamsError, Train, explain


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
    try:
        Train.model_validate(merged)
    except ValidationError as error:
        raise ParamsError(explain(error, f"train, for {dataset} × {model} × {loss}")) from None
    if merged["optimizer"] != "sgd":
        del merged["momentum"]

    constants = params.loss
    weights = {term: float(getattr(constants, weight) if isinstance(weight, str) else weight)
               for term, weight in params.losses[loss].weights().items()}
    loss_config: dict[str, Any] = {"terms": weights}
    if "dice" in weights:
        loss_config |= {"epsilon": constants.epsilon, "dice_reduction": constants.dice_reduction}

    model_config = params.models[model].model_dump(exclude={"train"}, exclude_none=True)
    return {"model": model_config, "loss": loss_config, "train": merged, "seed": seed}


def fetch_config(params: Params, name: str) -> dict[str, Any]:
    """What decides the bytes of `data/raw/<name>/`; the `fetch` section joins only where the network is asked."""
    dataset = params.datasets[name]
    config = dataset.model_dump(include=set(dataset.fetch_keys()))
    return config | ({"fetch": params.fetch.model_dump()} if dataset.from_network() else {})


def prepare_config(params: Params, name: str) -> dict[str, Any]:
    """What decides the bytes of `data/prepared/<name>/`, besides the raw data."""
    dataset = params.datasets[name]
    return dataset.model_dump(exclude={"train"}) | params.prepare.model_dump()
