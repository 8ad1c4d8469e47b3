"""The code that decides the outputs of one run of a stage: which it is, and whether it is still what it was.

`resolve` writes the fingerprint of that code into the run's file in conf/, beside its configuration. DVC sees the file
change if the code does. The stage itself compares: when it starts, and again before it writes. Without that, an edit
while the pipeline runs would be recorded in DVC's run cache under the fingerprint of the code before.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

from seglib import models
from seglib.configs import (
    CompareConfig,
    Config,
    EvaluateConfig,
    FetchConfig,
    PredictConfig,
    PrepareConfig,
    ReportConfig,
    TrainConfig,
)
from seglib.metrics.overlap import recorded
from seglib.pipeline.fingerprint import Fingerprinter

MOST_NAMED = 4  # files, in an error

Uses = Mapping[str, Collection[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Code(Config):
    """The key "code" of a file in conf/: the arguments of `Fingerprinter.of`, and what it gave.

    Registries and configurations are named as "package.module:NAME" and "package.module".
    """

    entries: list[str]
    uses: dict[str, list[str]]
    messages: bool
    extra: list[str]
    fingerprint: str

    @classmethod
    def of_run(cls, config: Config, fingerprinter: Fingerprinter, *, task: str | None = None) -> "Code":
        """The code of the stage that reads this configuration. task: of the dataset; the report has none.

        Raises ValueError if a file of it is not Python.
        """
        stage, uses, messages, extra = _STAGE_OF[type(config)], _uses(config, task), False, []
        entries = [f"stages.{stage}"]
        match config:
            case FetchConfig() | PrepareConfig():
                messages = True  # they reach rejected.csv
            case ReportConfig():
                entries.append("seglib.pipeline.workspace")
                extra = ["seglib/report/templates/*.html", "seglib/report/*.css", "seglib/report/*.js"]
            case CompareConfig():
                entries += ["seglib.pipeline.workspace", "seglib.pipeline.provenance"]  # which files are read, and how
        arguments = {"uses": {key: sorted(names) for key, names in sorted(uses.items())}, "messages": messages,
                     "extra": extra}
        return cls(entries=entries, **arguments, fingerprint=fingerprinter.of(entries, **arguments))


_STAGE_OF: dict[type[Config], str] = {
    FetchConfig: "fetch", PrepareConfig: "prepare", TrainConfig: "train", EvaluateConfig: "evaluate",
    PredictConfig: "predict", CompareConfig: "compare", ReportConfig: "report"}


def _uses(config: Config, task: str | None) -> Uses:
    """The entries of registries that a stage with this configuration loads. It runs no code of the others."""
    # Only those configuration classes count that the stage imports, and only those scores that a training records.
    uses: dict[str, Collection[str]] = {"seglib.configs": [], "seglib.metrics.overlap:OVERLAP": []}
    if task is not None:
        uses["seglib.tasks:NAMES"] = [task]
    match config:
        case FetchConfig(kind=kind) | PrepareConfig(kind=kind):
            uses["seglib.datasets.readers:KINDS"] = [kind]
        case TrainConfig(model=model, loss=loss, train=train):
            uses["seglib.models:KINDS"] = [model.kind]
            uses["seglib.losses:TERMS"] = [] if models.KINDS[model.kind].owns_loss else [*loss.terms]
            uses["seglib.training.optimizers:OPTIMIZERS"] = [train.optimizer]
            uses["seglib.metrics.overlap:OVERLAP"] = recorded(train.best_by)
        case EvaluateConfig(model=model):
            uses["seglib.models:KINDS"] = [model.kind]
            uses["seglib.prediction:KINDS"] = []
        case PredictConfig(predictors=predictors):
            uses["seglib.prediction:KINDS"] = {one.model.kind for one in predictors.values()}
        case CompareConfig():
            del uses["seglib.metrics.overlap:OVERLAP"]  # all count
            uses["seglib.models:KINDS"] = []  # it counts the layers of mUnets alone, which it imports itself
    return uses


class RunningCode:
    """The code of the stage that runs now, by its file in conf/.

    Raises ValueError if there is other code now than when `resolve` wrote the file.
    """

    def __init__(self, path: Path):
        self._code = Code.read(path, part="code")
        self._modules, fingerprint = self._now()
        if fingerprint != self._code.fingerprint:
            raise ValueError(f"the code was edited since {path} was written; run `dvc repro`, which writes it again")

    @property
    def fingerprint(self) -> str:
        """sha256, as 64 hex digits."""
        return self._code.fingerprint

    def check(self) -> None:
        """Raise ValueError if this code was edited since the stage started. Call it before outputs are written."""
        now, fingerprint = self._now()
        if fingerprint == self._code.fingerprint:
            return
        changed = sorted(name for name in now.keys() | self._modules.keys() if now.get(name) != self._modules.get(name))
        more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        raise ValueError(f"the code was edited while it ran ({', '.join(changed[:MOST_NAMED]) or 'a template'}{more}), "
                         "so no output was written; run `dvc repro` again")

    def _now(self) -> tuple[dict[str, str], str]:
        """The modules of this code as they are on the disk now, and their fingerprint."""
        code, fingerprinter = self._code, Fingerprinter()
        modules = fingerprinter.modules(code.entries, uses=code.uses, messages=code.messages)
        return modules, fingerprinter.of(code.entries, uses=code.uses, messages=code.messages, extra=code.extra)
