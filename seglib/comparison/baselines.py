"""How far each variant is from the baselines, which never look at a picture. Shapes: N pictures, H, W."""


import numpy as np
import pandas as pd

from seglib.comparison.evidence import Evidence, known
from seglib.comparison.variants import Result, Variant, compared
from seglib.datasets.store import Split
from seglib.metrics.scores import HEADLINE
from seglib.tasks.task import Task

EQUAL = 0.99  # from this share of identical test pictures on, a variant is said to equal a baseline


def baseline_table(evidence: Evidence, test: Split, task: Task) -> pd.DataFrame:
    """One row per variant and baseline.

    identical: the share of test pictures whose masks are the same, mean over seeds; pixels to ignore do not count.
    difference, low, high: the variant's headline score less the baseline's, with its interval. No test is made of it,
    so it is part of no correction for several tests.
    """
    rows = []
    for variant in compared(evidence.variants):
        for baseline in (one for one in evidence.variants if one.baseline):
            difference = evidence.tested((variant, HEADLINE.name), (baseline, HEADLINE.name)).interval
            low, high = known(difference)
            rows.append({"variant": variant.label, "baseline": baseline.label,
                         "identical": _identical(variant, baseline.results[0], test, task),
                         "difference": float(difference.value), "low": low, "high": high})
    return pd.DataFrame(rows, columns=["variant", "baseline", "identical", "difference", "low", "high"])


def _identical(variant: Variant, baseline: Result, test: Split, task: Task) -> float:
    expected_NHW = np.load(baseline.files.predictions, mmap_mode="r")
    same = [((predicted_HW == expected_HW) | task.ignored(truth_HW)).all()
            for result in variant.results
            for truth_HW, expected_HW, predicted_HW in zip(
                test.masks, expected_NHW, np.load(result.files.predictions, mmap_mode="r"), strict=True)]
    return float(np.mean(same))
