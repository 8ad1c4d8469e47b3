"""Average precision over pixels as a score: it is no ratio of sums, so it brings its own replicates.

Shapes: S seeds, N pictures, U units (see `cases`), K classes, B bins, R resamples, c resamples at once.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from seglib.metrics.cases import Cases
from seglib.metrics.ranking import average_precision
from seglib.metrics.scores.score import Sample, Score, mean_of_known, mean_score
from seglib.metrics.statistics import Replicates, Resamples, resample_seeds

RESAMPLES = 1000  # each sums a histogram of every class: that is slow, and so many are enough for an interval
CHUNK = 100  # of them at once: bounds memory


class PixelAP(Score):
    """The value comes from the split's fine histogram, its variation from the coarse histograms of the pictures."""

    def by_class(self, cases: Cases) -> np.ndarray:
        if cases.histograms is None:
            return np.full(cases.present().shape, np.nan)
        return average_precision(cases.histograms.whole_KB2())

    @classmethod
    def replicates(cls, samples: Sequence[Sample], resamples: Resamples) -> list[Replicates]:
        """Each has `RESAMPLES` replicates, however many `resamples` asks for."""
        few = dataclasses.replace(resamples, count=RESAMPLES)
        return [_replicates(sample, few) for sample in samples]


def _replicates(sample: Sample, resamples: Resamples) -> Replicates:
    scores_SR = np.full((len(sample.cases_S), resamples.count), np.nan)
    for cases, scores_R in zip(sample.cases_S, scores_SR, strict=True):
        scored_K = cases.present()
        if cases.histograms is None or not scored_K.any():
            continue
        histograms_UKB2 = cases.by_unit(cases.histograms.by_picture_NKB2()[:, scored_K].astype(np.float64))
        shape = histograms_UKB2.shape[1:]
        histograms_UX = histograms_UKB2.reshape(len(histograms_UKB2), -1)
        for rows, weights_rU in resamples.weights():
            for start in range(rows.start, rows.stop, CHUNK):
                weights_cU = weights_rU[start - rows.start:start - rows.start + CHUNK]
                precisions_cK = average_precision((weights_cU @ histograms_UX).reshape(-1, *shape))
                scores_R[start:start + len(weights_cU)] = mean_of_known(precisions_cK)
        coarse = mean_score(average_precision(histograms_UX.sum(0).reshape(shape)))
        scores_R += mean_score(sample.score.by_class(cases)) - coarse
    return resample_seeds(sample.variant, scores_SR, resamples.seed)
