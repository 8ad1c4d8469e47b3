"""Predictors: whatever turns a picture into masks. Some are trained networks; the kinds in KINDS need no training.

A kind without training is evaluated once per dataset, however many losses and seeds a study picks. Nothing here imports
PyTorch: params and resolve read the declarations only. docs/adding-a-predictor.md says how to add one.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from seglib import tasks
from seglib.configs import ModelConfig
from seglib.registry import LazyEntry, lookup

if TYPE_CHECKING:
    from pathlib import Path

    from seglib.prediction.predictor import Predictor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind(LazyEntry):
    """What is known of a kind of predictor before its code is imported.

    path: of its class.
    fit: how it comes to be. "counts": one pass over the training pictures counts what it needs. "none": it needs none.
    tasks: the tasks that it works for.
    hint: what evaluation tells it of the truth, "boxes" or "points"; None: nothing (see `prediction.hints`).
    baseline: its name in tables and on the page, if it is evaluated on every dataset of its tasks. A baseline has no
    rank, is in no test, and is never called best or worst. None: params.yaml names it, and `run.predictors` picks it.
    """

    path: str
    fit: Literal["counts", "none"]
    tasks: tuple[str, ...] = tasks.NAMES
    hint: Literal["boxes", "points"] | None = None
    baseline: str | None = None


KINDS = {
    "background": Kind(path="seglib.prediction.baselines:Background", fit="none", tasks=("multilabel",),
                       baseline="all background"),
    "foreground": Kind(path="seglib.prediction.baselines:Foreground", fit="none", tasks=("multilabel",),
                       baseline="all foreground"),
    "most_frequent": Kind(path="seglib.prediction.baselines:MostFrequent", fit="none", tasks=("multiclass",),
                          baseline="most frequent class"),
    "frequency": Kind(path="seglib.prediction.baselines:Frequency", fit="counts", baseline="pixel frequency"),
    "otsu": Kind(path="seglib.prediction.otsu:Otsu", fit="none", tasks=("multilabel",)),
}


def build(model: ModelConfig, dataset: "Path") -> "Predictor":
    """Make the predictor that a configuration describes, ready to predict.

    dataset: the folder of the prepared dataset. A kind with `fit: counts` reads its training pictures; nothing else is
    read. Raises ValueError for an unknown kind.
    """
    from seglib.datasets.store import DatasetInfo, Split

    kind = lookup(KINDS, model.kind, "kind of predictor")
    predictor = kind.load()(DatasetInfo.read(dataset), **model.arguments)
    assert predictor.hint == kind.hint, f"{kind.path} and its entry in KINDS declare different hints"
    if kind.fit == "counts":
        predictor.count(Split.open(dataset, "train"))
    return predictor
