"""Predictors: whatever turns a picture into masks. Some are trained networks; the kinds in KINDS need no training.

A kind without training is evaluated once per dataset, however many losses and seeds a study picks. Nothing here imports
PyTorch: params and resolve read the declarations only. docs/adding-a-predictor.md says how to add one.
"""

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from seglib import tasks
from seglib.registry import Entry, lookup

if TYPE_CHECKING:
    from pathlib import Path

    from seglib.prediction.predictor import Predictor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind(Entry):
    """What is declared of a kind of predictor.

    fit: how it comes to be. "counts": one pass over the training pictures counts what it needs. "none": it needs none.
    title: its name in tables and on the page.
    tasks: the tasks that it works for.
    hint: what evaluation tells it of the truth, "boxes" or "points"; None: nothing (see `prediction.hints`).
    baseline: whether it is evaluated on every dataset of its tasks. A baseline has no rank, is in no test, and is never
    called best or worst.
    """

    fit: Literal["counts", "none"]
    title: str
    tasks: tuple[str, ...] = tasks.NAMES
    hint: Literal["boxes", "points"] | None = None
    baseline: bool = False


KINDS = {
    "background": Kind("seglib.prediction.baselines:Background", fit="none", title="all background",
                       tasks=("multilabel",), baseline=True),
    "foreground": Kind("seglib.prediction.baselines:Foreground", fit="none", title="all foreground",
                       tasks=("multilabel",), baseline=True),
    "most_frequent": Kind("seglib.prediction.baselines:MostFrequent", fit="none", title="most frequent class",
                          tasks=("multiclass",), baseline=True),
    "frequency": Kind("seglib.prediction.baselines:Frequency", fit="counts", title="pixel frequency", baseline=True),
    "otsu": Kind("seglib.prediction.otsu:Otsu", fit="none", title="Otsu's threshold", tasks=("multilabel",)),
}


def baselines_of(task: str) -> list[str]:
    """The kinds that are evaluated on every dataset of a task."""
    return [name for name, kind in KINDS.items() if kind.baseline and task in kind.tasks]


def build(config: dict[str, Any], dataset: "Path") -> "Predictor":
    """The predictor that a configuration describes (`kind` and that kind's keys), ready to predict.

    dataset: the folder of the prepared dataset. A kind with `fit: counts` reads its training pictures; nothing else is
    read. Raises ValueError for an unknown kind.
    """
    from seglib.datasets.store import DatasetInfo, Split

    kind, keys = lookup(KINDS, config["kind"], "predictor"), {k: v for k, v in config.items() if k != "kind"}
    predictor = kind.load()(DatasetInfo.read(dataset), **keys)
    if kind.fit == "counts":
        predictor.count(Split.open(dataset, "train"))
    return predictor
