"""Average precision over pixels as a score: it is no ratio of sums, so it brings its own replicates.

Shapes: S seeds, N pictures, U units (see `cases`), K classes, B bins, R resamples, c resamples at once.
"""

from collections.abc import Sequence

import numpy as np

from seglib.metrics.cases import Cases
from seglib.metrics.draws import drawn
from seglib.metrics.inference import Blocks
from seglib.metrics.ranking import average_precision
from seglib.metrics.scores.score import Score, mean_of_known, mean_score

RESAMPLES = 1000  # each sums a histogram of every class: that is slow, and so many are enough for an interval
CHUNK = 100  # of them at once: bounds memory


class PixelAP(Score):
    """The value comes from the split's fine histogram, its variation from the coarse histograms of the pictures."""

    def by_class(self, cases: Cases) -> np.ndarray:
        if cases.histograms is None:
            return np.full(cases.present().shape, np.nan)
        return average_precision(cases.histograms.whole_KB2())

    def blocks(self, cases_S: Sequence[Cases], has_seeds: bool) -> Blocks:
        scores_S = np.array([mean_score(self.by_class(cases)) for cases in cases_S])
        return Blocks.from_replicates(scores_S, np.stack([_replicates_R(cases) for cases in cases_S]),
                                      cases_S[0].units, has_seeds)


def _replicates_R(cases: Cases) -> np.ndarray:
    """The score of the coarse histograms under drawn units, (R,); NaN without any class or histogram."""
    scores_R, scored_K = np.full(RESAMPLES, np.nan), cases.present()
    if cases.histograms is None or not scored_K.any():
        return scores_R
    histograms_UKB2 = cases.by_unit(cases.histograms.by_picture_NKB2()[:, scored_K].astype(np.float64))
    shape = histograms_UKB2.shape[1:]
    histograms_UX = histograms_UKB2.reshape(len(histograms_UKB2), -1)
    for rows, weights_rU in drawn(cases.units, RESAMPLES, CHUNK):
        scores_R[rows] = mean_of_known(average_precision((weights_rU @ histograms_UX).reshape(-1, *shape)))
    return scores_R
