"""scores.json and tables of scores, all derived from counts.parquet. Shapes: N images, K classes."""

import math
from typing import Any

import numpy as np
import pandas as pd

from seglib.metrics.counts import COUNTS, class_scores, mean_score


def counts_of(table: pd.DataFrame, split: str, classes: list[str]) -> np.ndarray:
    """The counts of one split, int64 (N, K, 4), in the order of the table's images."""
    rows = table[table["split"] == split]
    return rows[list(COUNTS)].to_numpy().reshape(-1, len(classes), len(COUNTS))


def summarize(table: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """For val and test: how many images, every score a class and its mean over classes; None where there is none.

    A class that is in no picture of the split has no score, and takes no part in the mean.
    """
    summary = {}
    for split in ("val", "test"):
        counts_NK4 = counts_of(table, split, classes)
        by_class = class_scores(counts_NK4)
        summary[split] = {
            "images": len(counts_NK4),
            "images_with_class": dict(zip(classes, (counts_NK4[..., 0] + counts_NK4[..., 2] > 0).sum(0).tolist(),
                                          strict=True)),
            "classes": {name: {score: none_for_nan(values[k]) for score, values in by_class.items()}
                        for k, name in enumerate(classes)},
            "mean": {score: none_for_nan(mean_score(values)) for score, values in by_class.items()},
        }
    return summary


def none_for_nan(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)
