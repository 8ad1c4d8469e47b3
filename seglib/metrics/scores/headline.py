"""The main scores of an evaluation in one line, for the terminal. No output depends on them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seglib.metrics.cases import cases_of, size_edges
from seglib.metrics.scores import SCORES
from seglib.metrics.scores.score import mean_score


def headline(counts: pd.DataFrame, objects: pd.DataFrame, classes: Sequence[str]) -> str:
    """The main scores of all test pixels, from the tables that `evaluation.evaluate` makes."""
    cases = cases_of(counts, objects, "test", classes, size_edges(objects))
    told = []
    for score in SCORES:
        if "main" in score.tables and score.aggregation == "dataset":
            value = mean_score(score.by_class(cases))
            told.append(f"{score.heading} {'none' if np.isnan(value) else f'{value:.3f}'}")
    return f"{', '.join(told)} (all pixels of {cases.pictures} pictures, mean over classes)"
