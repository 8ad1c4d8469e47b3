"""Scores that are a ratio of two sums over pictures: one engine gives the value, the interval and the tests of all.

Shapes: S seeds, N pictures, U units (see `cases`), K classes.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from seglib.metrics.cases import Cases
from seglib.metrics.inference import Blocks
from seglib.metrics.overlap import Overlap
from seglib.metrics.scores.score import OBJECTS, PAIRS, PICTURES, Score, group_name

Column = Callable[[Cases], np.ndarray]  # float64 (N, K)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio(Score):
    """The score of a class is the ratio of the sums over pictures of `numerator` and `denominator`.

    A class whose denominator is 0 has no score, nor has one that no picture's truth holds (see `absent_count`).
    """

    numerator: Column
    denominator: Column
    size: str = ""
    """The prefix of the counts' names: "own_" for a score of the pictures at their own size"""
    absent_count: bool = False
    """Whether a class that no picture's truth holds takes part"""

    def by_class(self, cases: Cases) -> np.ndarray:
        numerator_K, denominator_K = self.numerator(cases).sum(0), self.denominator(cases).sum(0)
        return np.where(self._scored_K(cases), divided(numerator_K, denominator_K), np.nan)

    def by_picture(self, cases: Cases) -> np.ndarray:
        """The score of each picture and class, float64 (N, K); NaN if its denominator is 0.

        Scores that differ in their aggregation alone have the same scores of pictures.
        """
        return divided(self.numerator(cases), self.denominator(cases))

    def n(self, cases: Cases) -> int:
        """See `Score.n`. Pairs and objects are counted by the sum of the denominator."""
        if self.n_of == PICTURES:
            return cases.pictures
        return int(self.denominator(cases)[:, self._scored_K(cases)].sum())

    def blocks(self, cases_S: Sequence[Cases], has_seeds: bool) -> Blocks:
        return Blocks.from_sums(*self._sums(cases_S), has_seeds)

    def class_blocks(self, cases_S: Sequence[Cases], has_seeds: bool) -> dict[int, Blocks]:
        """The blocks of each class that has a score, by its index."""
        numerator_SUK, denominator_SUK, scored_K = self._sums(cases_S)
        return {int(k): Blocks.from_sums(numerator_SUK, denominator_SUK, np.arange(scored_K.size) == k, has_seeds)
                for k in np.flatnonzero(scored_K)}

    def _sums(self, cases_S: Sequence[Cases]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numerators and denominators of a variant's trainings, summed over the pictures of each unit, (S, U, K).

        The last element tells which classes take part, (K,). One for which a training has no score does not.
        """
        numerator_SUK = np.stack([cases.by_unit(self.numerator(cases)) for cases in cases_S])
        denominator_SUK = np.stack([cases.by_unit(self.denominator(cases)) for cases in cases_S])
        scored_K = self._scored_K(cases_S[0]) & ~np.isnan(numerator_SUK).any((0, 1))
        return np.nan_to_num(numerator_SUK), denominator_SUK, scored_K

    def _scored_K(self, cases: Cases) -> np.ndarray:
        present_K = cases.present(self.size)
        return np.ones_like(present_K) if self.absent_count else present_K


def divided(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The ratio; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def counted(weights: Mapping[str, float], size: str = "") -> Column:
    """The weighted sum of columns of the cases; `size` "own_" takes their counts at the pictures' own size."""
    return lambda cases: sum(weight * cases[size + name] for name, weight in weights.items())


def summed_over_classes(column: str) -> Column:
    """The sum over the classes, which is the same for each of them: (N, K)."""
    return lambda cases: np.broadcast_to(cases[column].sum(1, keepdims=True), cases[column].shape)


def of_empty_masks(numerator: Mapping[str, float], denominator: Mapping[str, float]) -> str:
    """How the image mean of a ratio of TP, FP, FN and TN counts empty masks, in words: "left out if ...; 0 if ..."."""
    def value(*counts: str) -> str:
        above, below = ([weights.get(count, 0) for count in counts] for weights in (numerator, denominator))
        return "left out" if not any(below) else "0" if not any(above) else "1" if above == below else "below 1"

    no_truth, no_prediction = value("fp", "tn"), value("fn", "tn")
    said = {value("tn"): ["both masks are empty"]}
    if no_truth == no_prediction:
        said.setdefault(no_truth, []).append("only one is")
    else:
        said.setdefault(no_truth, []).append("only the true mask is")
        said.setdefault(no_prediction, []).append("only the predicted mask is")
    return "in the image mean, " + "; ".join(f"{what} if {' or '.join(which)}" for what, which in said.items())


def both_aggregations(base: str, heading: str, formula: str, numerator: Mapping[str, float],
                      denominator: Mapping[str, float], *, empty: str | None = None, size: str = "",
                      tables: tuple[str, ...] = (), by_class: bool = False,
                      paired: tuple[str, ...] = ()) -> list[Ratio]:
    """A ratio of counts as two scores: of the sums over pictures, and as the mean of each picture's ratio.

    Args:
        numerator, denominator: the weight of each column of the cases.
        empty: how empty masks count; None: as follows from the weights of TP, FP, FN and TN.
        by_class: whether the page offers the first of them in its table of classes.
        paired: the aggregations by which variants are compared in pairs.
    """
    above, below = counted(numerator, size), counted(denominator, size)

    def never_divides(cases: Cases) -> np.ndarray:
        """Which classes are there but have nothing to divide by (precision, never predicted): they score 0."""
        return (below(cases).sum(0) == 0) & cases.present(size)

    def sums(cases: Cases) -> np.ndarray:
        return np.where(never_divides(cases), 1.0, below(cases))

    def of_picture(cases: Cases) -> np.ndarray:
        return np.nan_to_num(divided(above(cases), below(cases)))

    def has_score(cases: Cases) -> np.ndarray:
        return np.where(never_divides(cases), 1.0, below(cases) > 0)

    shared: dict[str, Any] = {"base": base, "heading": heading, "formula": formula, "size": size,
                              "empty": empty or of_empty_masks(numerator, denominator)}
    return [Ratio(**shared, aggregation="dataset", numerator=above, denominator=sums,
                  tables=(*tables, "class") if by_class else tables, paired="dataset" in paired),
            Ratio(**shared, aggregation="image_mean", numerator=of_picture, denominator=has_score, n_of=PAIRS,
                  tables=tables, paired="image_mean" in paired)]


def overlap_scores(base: str, overlap: Overlap, **options: Any) -> list[Ratio]:
    """An entry of `metrics.overlap.OVERLAP` as two scores; see `both_aggregations` for the options."""
    return both_aggregations(base, overlap.title, overlap.formula, overlap.numerator, overlap.denominator, **options)


def of_objects(base: str, heading: str, formula: str, column: str, *, group: tuple[str, str] | None = None,
               **options: Any) -> Ratio:
    """The mean of an object's `column` over all objects, or over those of one group."""
    suffix = ""
    if group:
        suffix = f" {group[0]} {group[1]}"
        heading = f"{heading}, {group_name(group).replace('_', ' ')}"
    return Ratio(base=base, heading=heading, formula=formula, group=group, n_of=OBJECTS,
                 empty="a picture without the class adds no object; an empty prediction finds nothing of any object",
                 numerator=lambda cases: cases[column + suffix],
                 denominator=lambda cases: cases["objects" + suffix], **options)
