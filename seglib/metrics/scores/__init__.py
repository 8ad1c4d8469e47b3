"""Every score. A new one is one entry, of `metrics.overlap.OVERLAP` if it follows from TP, FP, FN and TN, else of
`SCORES`: tables, page, claims and MLflow take it from there; docs/adding-a-score.md shows it.

Shapes: N pictures, K classes.
"""

import numpy as np

from seglib.metrics.cases import GROUPS, Cases
from seglib.metrics.objects import SEEN
from seglib.metrics.overlap import OVERLAP
from seglib.metrics.scores.pixel_ap import PixelAP
from seglib.metrics.scores.ratio import (
    Ratio,
    both_aggregations,
    counted,
    of_objects,
    overlap_scores,
    summed_over_classes,
)
from seglib.metrics.scores.score import PAIRS, Score

IOU, DICE = OVERLAP["iou"], OVERLAP["dice"]
OTHERS = {base: overlap for base, overlap in OVERLAP.items() if overlap not in (IOU, DICE)}
OWN_SIZE = {"size": "own_", "tables": ("size",)}
ONE_EMPTY_0 = "in the image mean, left out if both masks are empty; 0 if only one is"
HARD = (("size", "small"), ("overlap", "covered"))  # groups of objects that are easily missed
NEVER_COVERED = {"overlap": "overlapping"}  # objects of classes that exclude each other share no pixel


def distances(cases: Cases) -> np.ndarray:
    """HD95 of each picture and class; 0 if both masks are empty."""
    return np.nan_to_num(cases["hd95"])


def has_distance(cases: Cases) -> np.ndarray:
    """Whether a picture and class has an HD95, as 0 or 1."""
    return (~np.isnan(cases["hd95"])).astype(np.float64)


def one_is_empty(cases: Cases) -> np.ndarray:
    """Whether one of the two masks of a picture and class is empty, and not both: bool (N, K)."""
    return (cases["tp"] + cases["fn"] > 0) != (cases["tp"] + cases["fp"] > 0)


# The tables of the page show them in this order.
SCORES: tuple[Score, ...] = (
    *overlap_scores("iou", IOU, tables=("main", "size"), by_class=True, paired=("dataset", "image_mean")),
    *both_aggregations("iou_own", "IoU at own size", IOU.formula, IOU.numerator, IOU.denominator, **OWN_SIZE),
    *overlap_scores("dice", DICE, tables=("main", "size"), by_class=True, paired=("dataset",)),
    *both_aggregations("dice_own", "Dice at own size", DICE.formula, DICE.numerator, DICE.denominator, **OWN_SIZE),
    *(score for base, overlap in OTHERS.items()
      for score in overlap_scores(base, overlap, tables=("rest",), by_class=True)),
    Ratio(base="overall_accuracy", heading="overall accuracy", tables=("rest",), shown_if="exclusive",
          formula="TP of all classes / (TP + FN) of all classes: if classes exclude each other, the share of pixels "
                  "that are given their class",
          empty="a picture without the class adds its pixels of the other classes",
          numerator=summed_over_classes("tp"),
          denominator=lambda cases: summed_over_classes("tp")(cases) + summed_over_classes("fn")(cases)),
    *both_aggregations("boundary_iou", "boundary IoU",
                       "IoU of the two masks' boundary regions (Cheng et al. 2021)",
                       {"boundary_tp": 1}, {"boundary_tp": 1, "boundary_fp": 1, "boundary_fn": 1}, empty=ONE_EMPTY_0,
                       tables=("main",), by_class=True, paired=("dataset",)),
    *both_aggregations("nsd", "surface distance, normalised",
                       "the share of both surfaces that lies within the tolerance of the other (Nikolov et al. 2018)",
                       {"surface_hits": 1}, {"surface_total": 1}, empty=ONE_EMPTY_0, tables=("rest",)),
    Ratio(base="hd95", heading="HD95", aggregation="image_mean", better="lower", unit="pixels", highest=np.inf,
          digits=2, tables=("rest",),
          formula="the larger of the two 95th percentiles of the distances from one surface to the other, as MONAI has "
                  "it", n_of=PAIRS,
          empty="left out if both masks are empty; the picture's diagonal if only one is",
          numerator=distances, denominator=has_distance),
    Ratio(base="hd95_one_empty", heading="HD95, one mask empty", better="lower", tables=("rest",), n_of=PAIRS,
          formula="the share of the pairs in HD95 in which only one mask is empty, so that the picture's "
                  "diagonal replaces the distance", empty="left out if both masks are empty",
          numerator=lambda cases: one_is_empty(cases).astype(np.float64), denominator=has_distance),
    Ratio(base="hd95_penalty", heading="HD95, part of penalties", better="lower", unit="pixels", highest=np.inf,
          digits=2, tables=("rest",), n_of=PAIRS,
          formula="how much of HD95 comes from pairs in which only one mask is empty",
          empty="left out if both masks are empty",
          numerator=lambda cases: np.where(one_is_empty(cases), distances(cases), 0.0), denominator=has_distance),
    PixelAP(base="pixel_ap", heading="pixel AP", tables=("rest",),
            formula="the area under the interpolated precision-recall curve over all pixels of the split, ranked by "
                    "how sure the predictor is (VOC, all points); the plain mean over classes",
            empty="a picture without the class adds its pixels as negatives"),
    Ratio(base="hole_share", heading="holes", better="lower", tables=("seen",), paired=True,
          formula="pixels missing inside the predicted objects (their 3×3 closing, filled), as a share of these",
          empty="an empty prediction adds nothing",
          numerator=counted({"hole_pixels": 1}), denominator=counted({"extent_pixels": 1})),
    Ratio(base="specks", heading="specks", better="lower", unit="per picture and class", highest=np.inf, digits=2,
          tables=("seen",), paired=True, formula="predicted components that touch no pixel of their class",
          n_of=PAIRS, empty="an empty prediction has none; if the true mask is empty, every component is a speck",
          numerator=counted({"specks": 1}), denominator=lambda cases: np.ones_like(cases["specks"])),
    of_objects("completeness", "completeness", "the share of a true object's pixels that is found, mean over objects",
               "found", tables=("seen",), paired=True),
    Ratio(base="displayed", heading="displayed",
          formula="of the true pixels that are found, the share whose raw output lies in the display band that "
                  "DLStudio's code gives the class; of networks trained on label values only",
          empty="a picture with an empty mask adds nothing",
          numerator=counted({"displayed": 1}), denominator=counted({"tp": 1})),
    of_objects("wrong_class", "wrong class",
               f"true objects that another class's prediction covers, by at least {SEEN:.0%} and more than their own "
               "does", "wrong", better="lower", tables=("seen",), paired=True),
    of_objects("missed", "missed", f"true objects of which less than {SEEN:.0%} is found", "missed", better="lower",
               tables=("seen",), paired=True),
    *(of_objects("completeness", "completeness", "completeness of these objects", "found", group=group,
                 shown_if=NEVER_COVERED.get(group[0])) for group in GROUPS),
    *(of_objects("missed", "missed", "missed, of these objects", "missed", group=group, better="lower",
                 tables=("seen",) if group[0] != "objects" else (), shown_if=NEVER_COVERED.get(group[0]),
                paired=group in HARD)
      for group in GROUPS),
)
BY_NAME = {score.name: score for score in SCORES}
HEADLINE: Ratio = BY_NAME["iou_dataset"]  # the score that ranks
PAIRED: tuple[Ratio, ...] = tuple(score for score in SCORES if score.paired)


def class_scores(cases: Cases) -> dict[str, np.ndarray]:
    """Every score by class, (K,), by its name."""
    return {name: score.by_class(cases) for name, score in BY_NAME.items()}
