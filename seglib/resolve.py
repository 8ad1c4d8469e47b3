"""From params.yaml to the configurations in conf/: all that later stages read of it. Nothing here imports PyTorch."""

import dataclasses

from pydantic import ValidationError

from seglib import prediction
from seglib.configs import (
    CompareConfig,
    DownloadConfig,
    EvaluateConfig,
    FetchConfig,
    LossConfig,
    MachineConfig,
    ModelConfig,
    PredictConfig,
    PredictorConfig,
    PrepareConfig,
    TrainConfig,
)
from seglib.losses import TERMS, absent_costs
from seglib.models import KINDS
from seglib.params import Params, ParamsError
from seglib.params.datasets import Dataset
from seglib.params.losses import Loss, LossConstants, resolved_loss
from seglib.params.models import AnyKind
from seglib.params.train import Train, resolved_train
from seglib.strict import explain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """One variant (model × loss) with one seed on one dataset.

    Its configurations hold no names: variants with equal configurations are one variant under several names.
    """

    dataset: str
    model: str
    loss: str
    seed: int
    train: TrainConfig
    evaluate: EvaluateConfig

    @property
    def name(self) -> str:
        return f"{self.model}-{self.loss}-{self.seed}"


def resolve(params: Params) -> list[Training]:
    """Every combination that `run` picks, with defaults and overrides merged. What a training does not use is None.

    Overrides apply in the order dataset, model, loss. Raises ParamsError if a merged configuration contradicts itself.
    """
    run = params.run
    return [_training(params, dataset, model, loss, seed)
            for dataset in run.datasets for model in run.models for loss in run.losses for seed in run.seeds]


def _training(params: Params, dataset: str, model: str, loss: str, seed: int) -> Training:
    train = merged_train(params, dataset, model, loss)
    _refuse_what_does_not_fit(params.datasets[dataset], params.models[model], params.losses[loss], params.loss, train,
                              f"{dataset} × {model} × {loss}")
    network = params.models[model].resolved()
    return Training(
        dataset=dataset, model=model, loss=loss, seed=seed,
        train=TrainConfig(model=network, loss=_loss(params.models[model], params.losses[loss], params.loss),
                          train=resolved_train(train), seed=seed),
        evaluate=EvaluateConfig(model=network, **params.evaluate.model_dump()))


def merged_train(params: Params, dataset: str, model: str, loss: str) -> Train:
    """The `train` section with the overrides of a dataset, a model and a loss, in this order.

    Raises ParamsError if the result contradicts itself.
    """
    merged = params.train.model_dump(exclude={"together"})
    for part in (params.datasets[dataset], params.models[model], params.losses[loss]):
        merged |= part.train.model_dump(exclude_unset=True)
    try:
        return Train.model_validate(merged)
    except ValidationError as error:
        raise ParamsError(explain(error, f"train, for {dataset} × {model} × {loss}")) from None


def _loss(model: AnyKind, loss: Loss, constants: LossConstants) -> LossConfig:
    """The model's own terms if it computes its loss itself, else those that params.yaml names."""
    if model.declared.owns_loss:
        return LossConfig(terms=dict.fromkeys(model.declared.loss_terms, 1.0), options={})
    return resolved_loss(loss, constants)


def _refuse_what_does_not_fit(dataset: Dataset, model: AnyKind, loss: Loss, constants: LossConstants, train: Train,
                              where: str) -> None:
    if model.declared.owns_loss and not loss.own:
        raise ParamsError(f"{where}: a {model.kind} computes its loss itself, and no other term may be combined with "
                          "it; choose a loss with own: true")
    if loss.own and not model.declared.owns_loss:
        raise ParamsError(f"{where}: own: true is for a model that computes its loss itself, and a {model.kind} does "
                          "not; choose a loss with terms")
    terms = list(loss.weights())
    need_probabilities = [term for term in terms if TERMS[term].needs_probabilities]
    if need_probabilities and train.output == "raw":
        raise ParamsError(f"{where}: {' and '.join(need_probabilities)} need probabilities, and train.output is raw; "
                          "choose output: sigmoid and targets: unit")
    for term in terms:
        if not TERMS[term].works_for(dataset.task()):
            others = ", ".join(name for name, entry in TERMS.items() if entry.works_for(dataset.task()))
            raise ParamsError(f"{where}: {term} is for task {' or '.join(TERMS[term].tasks)}, and this dataset's is "
                              f"{dataset.task()}; choose among {others}")
    class_weights = resolved_loss(loss, constants).options.get("class_weights")
    if isinstance(class_weights, list) and len(class_weights) != dataset.class_count():
        raise ParamsError(f"{where}: class_weights are {len(class_weights)} numbers, the dataset has "
                          f"{dataset.class_count()} classes; give one each, or inverse_frequency")
    if train.freeze_encoder_epochs and not model.declared.has_encoder:
        having = " or ".join(kind for kind, declared in KINDS.items() if declared.has_encoder)
        raise ParamsError(f"{where}: freeze_encoder_epochs is {train.freeze_encoder_epochs}, but the model has no "
                          f"encoder of its own; choose a {having}, or 0")


def fetch_config(params: Params, name: str) -> FetchConfig:
    """What decides the bytes of the dataset's raw data."""
    return params.datasets[name].fetch_config(DownloadConfig(**params.fetch.model_dump()))


def prepare_config(params: Params, name: str) -> PrepareConfig:
    """What decides the bytes of `data/prepared/<name>/`, besides the raw data."""
    return params.datasets[name].prepare_config(params.prepare.max_rejected)


def predict_config(params: Params, name: str) -> PredictConfig:
    """The baselines of the dataset's task, then those of the predictors that `run` picks that work for this task.

    Raises ParamsError if a picked predictor works for no dataset that `run` picks.
    """
    task = params.datasets[name].task()
    found = {kind: PredictorConfig(model=ModelConfig(kind=kind, arguments={}), title=declared.baseline,
                                   fit=declared.fit, hint=declared.hint, baseline=True)
             for kind, declared in prediction.KINDS.items()
             if declared.baseline is not None and task in declared.tasks}
    for picked in params.run.predictors:
        model = params.predictors[picked].resolved()
        declared = prediction.KINDS[model.kind]
        picked_tasks = {params.datasets[dataset].task() for dataset in params.run.datasets}
        if not picked_tasks & set(declared.tasks):
            raise ParamsError(f"run.predictors: {picked} is for task {' or '.join(declared.tasks)}, and run picks no "
                              "dataset of it; take it out, or pick another dataset")
        if task in declared.tasks:
            found[picked] = PredictorConfig(model=model, title=picked, fit=declared.fit, hint=declared.hint,
                                            baseline=False)
    return PredictConfig(predictors=found, **params.evaluate.model_dump())


def machine_config(params: Params) -> MachineConfig:
    """How this machine is used. It decides no byte of a result, and no stage depends on it."""
    together = params.train.together
    return MachineConfig(together=None if together == "auto" else together)


def compare_config(params: Params, name: str) -> CompareConfig:
    """How the dataset's variants are compared, and what decides which questions and published figures are theirs."""
    dataset = params.datasets[name]
    absent = {loss: absent_costs(resolved_loss(params.losses[loss], params.loss)) for loss in params.run.losses}
    return CompareConfig(**params.compare.model_dump(), **params.evaluate.model_dump(), absent_costs=absent,
                         coursework=dataset.coursework, generated=dataset.generated(),
                         prepare=prepare_config(params, name))
