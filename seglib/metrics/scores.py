"""Every score, as a ratio of two sums over pictures: so one engine gives its value, its interval and its tests.

Shapes: N pictures, K classes. *Cases* are the columns of counts.parquet and what `objects.parquet` adds up to, by name,
each float64 (N, K).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglib.metrics.boundary import BOUNDARY
from seglib.metrics.counts import COUNTS, OWN
from seglib.metrics.objects import SEEN, SHAPE

Cases = Mapping[str, np.ndarray]
COLUMNS = (*COUNTS, *BOUNDARY, *SHAPE, "displayed", *OWN)
SIZES = ("small", "medium", "large")  # thirds of the test objects, by their pixels
CROWDS = ("1", "2", "3", "4", "5 or more")  # objects in a picture
OVERLAPS = ("free", "covered")  # covered: shares pixels with an object of another class


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """`numerator` and `denominator` turn cases into (N, K); the class score is the ratio of their sums over pictures.

    The score of a dataset is the plain mean over its classes. A class that no picture's truth holds takes no part, nor
    does one whose denominator is 0.
    """

    name: str
    title: str
    formula: str
    better: str  # "higher" | "lower"
    numerator: Callable[[Cases], np.ndarray]
    denominator: Callable[[Cases], np.ndarray]
    unit: str = ""
    group: tuple[str, str] | None = None  # (size | objects | overlap, which): the score of these objects alone
    size: str = ""  # "own_" for a score of the pictures at their own size

    def present(self, cases: Cases) -> np.ndarray:
        """Which classes the truth of any picture holds at that size, bool (K,)."""
        return present(cases, self.size)

    def of(self, cases: Cases) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numerator and denominator (N, K), and which classes are scored, bool (K,)."""
        numerator, denominator = self.numerator(cases), self.denominator(cases)
        return numerator, denominator, self.present(cases) & (denominator.sum(0) > 0)


def present(cases: Cases, size: str = "") -> np.ndarray:
    """Which classes the truth of any picture holds, bool (K,); `size` "own_": at the pictures' own size.

    False alarms on any other cannot be told from a class that was never asked for: it has no score.
    """
    return (cases[f"{size}tp"] + cases[f"{size}fn"]).sum(0) > 0


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _counted(weights: Mapping[str, float], size: str = "") -> Callable[[Cases], np.ndarray]:
    return lambda cases: sum(weight * cases[size + name] for name, weight in weights.items())


def _both_ways(name: str, title: str, formula: str, numerator: Mapping[str, float],
               denominator: Mapping[str, float], size: str = "") -> list[Score]:
    """A share of counts, pooled over pictures (`_dataset`) and as the mean of each picture's (`_image_mean`)."""
    above, below = _counted(numerator, size), _counted(denominator, size)

    def whole(cases: Cases) -> np.ndarray:
        """A class that is there but has nothing to divide by (precision, never predicted) scores 0, not nothing."""
        counts = below(cases)
        never = (counts.sum(0) == 0) & present(cases, size)
        return np.where(never, 1.0, counts)

    def of_picture(cases: Cases) -> np.ndarray:
        return _ratio(above(cases), below(cases))

    def has_score(cases: Cases) -> np.ndarray:
        scored = (below(cases) > 0).astype(np.float64)
        return np.where((scored.sum(0) == 0) & present(cases, size), 1.0, scored)

    return [Score(name=f"{name}_dataset", title=f"{title}, all pixels", formula=formula, better="higher", size=size,
                  numerator=above, denominator=whole),
            Score(name=f"{name}_image_mean", title=f"{title}, image mean", formula=formula, better="higher", size=size,
                  numerator=lambda cases: np.nan_to_num(of_picture(cases)), denominator=has_score)]


def _of_all_classes(column: str) -> Callable[[Cases], np.ndarray]:
    """A column summed over the classes, the same for each of them: (N, K)."""
    return lambda cases: np.broadcast_to(cases[column].sum(1, keepdims=True), cases[column].shape)


def _objects(name: str, title: str, formula: str, column: str, *, better: str, group: tuple[str, str] | None = None
             ) -> Score:
    """The mean of an object's `column` over objects; of one group of them where `group` says which."""
    suffix = f" {group[0]} {group[1]}" if group else ""
    return Score(name=name, title=title, formula=formula, better=better, group=group,
                 numerator=lambda cases: cases[column + suffix], denominator=lambda cases: cases["objects" + suffix])


def _named(kind: str, which: str) -> str:
    """The end of a group's score name: small, covered, 3_objects."""
    return f"{which.split()[0]}_objects" if kind == "objects" else which


GROUPS = [("size", which) for which in SIZES] + [("objects", which) for which in CROWDS] + [
    ("overlap", which) for which in OVERLAPS]

IOU = ("TP / (TP + FP + FN)", {"tp": 1}, {"tp": 1, "fp": 1, "fn": 1})
DICE = ("2 TP / (2 TP + FP + FN)", {"tp": 2}, {"tp": 2, "fp": 1, "fn": 1})

SCORES: tuple[Score, ...] = (
    *_both_ways("iou", "IoU", *IOU),
    *_both_ways("dice", "Dice", *DICE),
    *_both_ways("iou_own", "IoU at own size", *IOU, size="own_"),
    *_both_ways("dice_own", "Dice at own size", *DICE, size="own_"),
    *_both_ways("precision", "precision", "TP / (TP + FP)", {"tp": 1}, {"tp": 1, "fp": 1}),
    *_both_ways("recall", "recall", "TP / (TP + FN)", {"tp": 1}, {"tp": 1, "fn": 1}),
    *_both_ways("specificity", "specificity", "TN / (TN + FP)", {"tn": 1}, {"tn": 1, "fp": 1}),
    *_both_ways("pixel_accuracy", "pixel accuracy", "(TP + TN) / (TP + FP + FN + TN)", {"tp": 1, "tn": 1},
                {"tp": 1, "fp": 1, "fn": 1, "tn": 1}),
    Score(name="overall_accuracy", title="overall accuracy", better="higher",
          formula="TP of all classes / (TP + FN) of all classes: where classes exclude each other, the share of pixels "
                  "that are given their class",
          numerator=_of_all_classes("tp"),
          denominator=lambda cases: _of_all_classes("tp")(cases) + _of_all_classes("fn")(cases)),
    *_both_ways("boundary_iou", "boundary IoU", "IoU of the two masks' boundary regions (Cheng et al. 2021)",
                {"boundary_tp": 1}, {"boundary_tp": 1, "boundary_fp": 1, "boundary_fn": 1}),
    *_both_ways("nsd", "surface distance, normalised", "the share of both surfaces that lies within the tolerance of "
                "the other (Nikolov et al. 2018)", {"surface_hits": 1}, {"surface_total": 1}),
    Score(name="hd95_image_mean", title="HD95, image mean", unit="pixels", better="lower",
          formula="the larger of the two 95th percentiles of the distances from one surface to the other, as MONAI has "
                  "it; the picture's diagonal where one mask is empty",
          numerator=lambda cases: np.nan_to_num(cases["hd95"]),
          denominator=lambda cases: (~np.isnan(cases["hd95"])).astype(np.float64)),
    Score(name="hole_share", title="holes", better="lower",
          formula="pixels missing inside the predicted objects (their 3×3 closing, filled), as a share of these",
          numerator=_counted({"hole_pixels": 1}), denominator=_counted({"extent_pixels": 1})),
    Score(name="specks", title="specks", unit="a picture and class", better="lower",
          formula="predicted components that touch no pixel of their class",
          numerator=_counted({"specks": 1}), denominator=lambda cases: np.ones_like(cases["specks"])),
    _objects("completeness", "completeness", "the share of a true object's pixels that is found, mean over objects",
             "found", better="higher"),
    _objects("wrong_class", "wrong class", f"true objects that another class's prediction covers, by at least "
             f"{SEEN:.0%} and more than their own does", "wrong", better="lower"),
    _objects("missed", "missed", f"true objects of which less than {SEEN:.0%} is found", "missed", better="lower"),
    *(_objects(f"{name}_{_named(*group)}", f"{name}, {_named(*group).replace('_', ' ')}", formula, column,
               better=better, group=group)
      for name, column, better, formula in (("completeness", "found", "higher", "completeness of these objects"),
                                            ("missed", "missed", "lower", "missed, of these objects"))
      for group in GROUPS),
    Score(name="displayed", title="displayed", better="higher",
          formula="of the true pixels that are found, the share whose raw output lies in the display band that "
                  "DLStudio's code gives the class; of networks trained on label values only",
          numerator=_counted({"displayed": 1}), denominator=_counted({"tp": 1})),
)
BY_NAME = {score.name: score for score in SCORES}
AGGREGATIONS = {
    "image_mean": "the score of each image, then their mean; an image where the denominator is 0 is left out "
                  "(for IoU and Dice: no such class in the truth and none predicted), "
                  "one with false positives only scores 0",
    "dataset": "the counts of all images added up, then the score of the sums; 0 where a class that is there is never "
               "predicted",
}


def cases_of(counts: pd.DataFrame, objects: pd.DataFrame, split: str, classes: Sequence[str],
             sizes: Sequence[float]) -> dict[str, np.ndarray]:
    """The cases of one split, from counts.parquet and objects.parquet; `sizes` as `size_edges` gives them."""
    rows = counts[counts["split"] == split]
    cases = {name: rows[name].to_numpy(np.float64).reshape(-1, len(classes)) for name in COLUMNS}
    found = objects[objects["split"] == split]
    pictures = pd.Index(rows["image"].to_numpy()[::len(classes)])
    place = (pictures.get_indexer(found["image"]), found["class"].to_numpy(np.int64))

    def summed(values: np.ndarray, which: np.ndarray) -> np.ndarray:
        total = np.zeros((len(pictures), len(classes)))
        np.add.at(total, place, np.where(which, values, 0.0))
        return total

    share = found["found"].to_numpy() / found["area"].to_numpy()
    taken = found["taken_for"].to_numpy()
    columns = {"objects": np.ones(len(found)), "found": share, "missed": share < SEEN,
               "wrong": (taken >= 0) & (taken != place[1])}
    crowd = found.groupby("image")["image"].transform("size").to_numpy(np.int64)
    members = {
        "size": np.digitize(found["area"].to_numpy(), sizes), "objects": np.minimum(crowd, len(CROWDS)) - 1,
        "overlap": (found["covered"].to_numpy() > 0).astype(int)}
    everything = np.ones(len(found), bool)
    groups = {"": everything} | {f" {kind} {which}": members[kind] == names.index(which)
                                 for kind, names in (("size", SIZES), ("objects", CROWDS), ("overlap", OVERLAPS))
                                 for which in names}
    return cases | {name + suffix: summed(values, which)
                    for name, values in columns.items() for suffix, which in groups.items()}


def size_edges(objects: pd.DataFrame) -> list[float]:
    """The areas, in pixels, from which an object is medium and large: thirds of the test objects."""
    areas = objects.loc[objects["split"] == "test", "area"]
    return np.quantile(areas, [1 / 3, 2 / 3]).tolist() if len(areas) else [0.0, 0.0]


def class_scores(cases: Cases) -> dict[str, np.ndarray]:
    """Every score by class, (K,); NaN for a class that the truth never holds, or with nothing to divide by."""
    found = {}
    for score in SCORES:
        numerator, denominator, scored = score.of(cases)
        found[score.name] = np.where(scored, _ratio(numerator.sum(0), denominator.sum(0)), np.nan)
    return found


def image_scores(cases: Cases, name: str) -> np.ndarray:
    """The score `name` ("iou": no aggregation) of each picture and class, (N, K); NaN with nothing to score."""
    score = BY_NAME.get(f"{name}_dataset") or BY_NAME[name]
    return _ratio(score.numerator(cases), score.denominator(cases))


def mean_score(by_class: np.ndarray) -> float:
    """The plain mean over the classes that have a score; NaN when none has."""
    scored = by_class[~np.isnan(by_class)]
    return float(scored.mean()) if scored.size else float("nan")


def summarize(counts: pd.DataFrame, objects: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """For val and test: how many images, every score a class and its mean over classes; None where there is none."""
    summary = {}
    for split in ("val", "test"):
        cases = cases_of(counts, objects, split, classes, size_edges(objects))
        by_class = class_scores(cases)
        with_class = (cases["tp"] + cases["fn"] > 0).sum(0)
        summary[split] = {
            "images": len(cases["tp"]),
            "images_with_class": dict(zip(classes, with_class.tolist(), strict=True)),
            "classes": {name: {score: none_for_nan(values[k]) for score, values in by_class.items()}
                        for k, name in enumerate(classes)},
            "mean": {score: none_for_nan(mean_score(values)) for score, values in by_class.items()},
        }
    return summary


def none_for_nan(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)
