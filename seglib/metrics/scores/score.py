"""What a score is. The kinds of scores are `Ratio` and `PixelAP`; every score of seglib stands in `metrics.scores`.

Shapes: S seeds, N pictures, K classes.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from seglib.metrics.cases import Cases
from seglib.metrics.inference import Blocks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aggregation:
    title: str
    definition: str


AGGREGATIONS = {
    "dataset": Aggregation(
        title="all pixels",
        definition="the counts of all images added up, then the score of the sums; 0 for a class that is there and "
                   "never predicted"),
    "image_mean": Aggregation(
        title="image mean",
        definition="the score of each image, then their mean; an image whose denominator is 0 is left out (for IoU and "
                   "Dice: no such class in the truth and none predicted), one with false positives only scores 0"),
}
PICTURES, PAIRS, OBJECTS = "pictures", "pairs", "objects"  # what the n of a score counts; a pair: picture and class
# The tables of the page, and what a dataset must be for them to be shown; None: they always are.
TABLES: dict[str, str | None] = {"main": None, "size": "resized", "rest": None, "seen": None, "class": None}


class Facts(NamedTuple):
    """What decides which scores say something about a dataset."""

    resized: bool
    """Whether its pictures have other sizes than the network's"""
    exclusive: bool
    """Whether each pixel has one class and no more"""

    def hold(self, condition: str | None) -> bool:
        return {None: True, "resized": self.resized, "exclusive": self.exclusive,
                "overlapping": not self.exclusive}[condition]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(abc.ABC):
    """A number with a name, a definition and a direction, and how it is computed from what an evaluation counted."""

    base: str
    """What is scored: iou, missed. Scores of one base differ in their aggregation or their group"""
    heading: str
    """How the page calls it, without its aggregation"""
    formula: str
    """Its definition, in words that the page shows"""
    empty: str
    """How empty masks count, in words that the page shows"""
    n_of: str = PICTURES
    """What n counts: `PICTURES`, `PAIRS` or `OBJECTS`"""
    better: Literal["higher", "lower"] = "higher"
    aggregation: str | None = None
    """How counts of many pictures become one number: a key of `AGGREGATIONS`. None if there is but one way"""
    group: tuple[str, str] | None = None
    """The kind and the name of a group of objects (see `cases.GROUPS`), if only those are scored"""
    unit: str = ""
    highest: float = 1.0
    """The largest value that it can have; the smallest is 0"""
    digits: int = 3
    """Decimals that the page shows"""
    tables: tuple[str, ...] = ()
    """The tables of the page that show it: keys of `TABLES`"""
    shown_if: Literal["exclusive", "overlapping"] | None = None
    """The datasets about which it says something; None: all"""
    paired: bool = False
    """Whether variants are compared by it in pairs"""

    @property
    def name(self) -> str:
        """How tables, claims.yaml and MLflow call it: iou_dataset, missed_small."""
        part = self.aggregation or (group_name(self.group) if self.group else "")
        return f"{self.base}_{part}" if part else self.base

    @property
    def title(self) -> str:
        """How the page calls it: IoU, all pixels."""
        return f"{self.heading}, {AGGREGATIONS[self.aggregation].title}" if self.aggregation else self.heading

    def is_shown(self, facts: Facts) -> bool:
        return facts.hold(self.shown_if)

    def described(self, facts: Facts) -> dict[str, Any]:
        """What summary.json says of it to the page of a dataset."""
        tables = [table for table in self.tables if self.is_shown(facts) and facts.hold(TABLES[table])]
        told = ("name", "title", "heading", "base", "aggregation", "group", "formula", "empty", "n_of", "better",
                "unit", "digits")
        return {key: getattr(self, key) for key in told} | {"tables": tables}

    @abc.abstractmethod
    def by_class(self, cases: Cases) -> np.ndarray:
        """The score of each class, float64 (K,); NaN for a class that the truth never holds or that has no score."""

    def n(self, cases: Cases) -> int:
        """How many pictures, pairs or objects (see `n_of`) the score is computed from."""
        return cases.pictures

    @abc.abstractmethod
    def blocks(self, cases_S: Sequence[Cases], has_seeds: bool) -> Blocks:
        """What inference needs to know of a variant's trainings; NaN scores if they have no such score.

        Args:
            has_seeds: whether the variant is trained from a seed. If not, it has one element of `cases_S`.
        """


def group_name(group: tuple[str, str]) -> str:
    """small, covered, 3_objects."""
    kind, which = group
    return f"{which.split()[0]}_objects" if kind == "objects" else which


def mean_of_known(values: np.ndarray, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    """The mean along `axis` of the values that are not NaN; NaN if none is known."""
    known = ~np.isnan(values)
    total, number = np.where(known, values, 0).sum(axis), known.sum(axis)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def mean_score(by_class_K: np.ndarray) -> float:
    """The plain mean over the classes that have a score; NaN if none has."""
    return float(mean_of_known(by_class_K))

