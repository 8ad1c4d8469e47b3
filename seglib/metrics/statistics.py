"""How far off a score may be, and whether two variants differ: resampled pictures, resampled seeds, swapped pictures.

Pictures of a group are resampled together, as one: what is called a picture here is then a group, whose counts are
sums over its pictures.

Shapes: S seeds (the trainings of one variant), N pictures (or groups), K classes, R resamples, r resamples of a chunk,
C columns. Everything is float64 unless said.

A training's class score is a ratio of sums over the pictures, and its score the plain mean over the classes. Under
picture weights w the sums are w @ numerator and w @ denominator, so one matrix product gives all trainings under all
weights. What follows from the numbers (Holm's correction, ranks, how many more pictures) is in `decisions`.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CHUNK = 2**21  # weights generated at a time: 16 MB; larger chunks are no faster
PICTURES, SEEDS, SWAPS = range(3)  # the streams of random numbers, apart from each other


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """One variant's trainings under one score, on the N pictures that all variants share."""

    name: str
    """The variant. Its seeds are drawn from a stream of this name, so that other variants do not change its draws"""
    numerator_SNK: np.ndarray
    denominator_SNK: np.ndarray
    """Both (S, N, K), finite. Dataset IoU: TP over TP + FP + FN. A mean over pictures: the picture's score over 1,
    and 0 over 0 for a picture without a score"""
    scored_K: np.ndarray
    """bool (K,): the classes that take part, fixed by the whole split. If none does, scores are NaN and p is 1"""

    @property
    def seeds(self) -> int:
        return self.numerator_SNK.shape[0]

    @property
    def pictures(self) -> int:
        return self.numerator_SNK.shape[1]

    def scores_S(self) -> np.ndarray:
        """The score of each training on the pictures as they are, (S,)."""
        return _mean_over_classes(_columns_2SKN(self).sum(axis=-1, keepdims=True))[:, 0]


@dataclass(frozen=True, kw_only=True)
class Resamples:
    """Random weights of N pictures. Equal Resamples give equal weights.

    They are drawn again at each use and never kept: 10,000 x 5,000 of them take about a second.
    """

    pictures: int
    count: int = 10_000
    seed: int = 0

    def weights(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Bootstrap: how often each of N draws with replacement took each picture. Yields rows and (r, N)."""
        random = np.random.default_rng([self.seed, PICTURES])
        for rows in self._chunks():
            size = rows.stop - rows.start
            draws_rN = random.integers(self.pictures, size=(size, self.pictures))
            draws_rN += self.pictures * np.arange(size)[:, None]
            counts = np.bincount(draws_rN.ravel(), minlength=draws_rN.size)
            yield rows, counts.reshape(draws_rN.shape).astype(np.float64)

    def swaps(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Permutation: 1 or 0 by a fair coin for each picture. Yields rows and (r, N)."""
        random = np.random.default_rng([self.seed, SWAPS])
        for rows in self._chunks():
            size = (rows.stop - rows.start, self.pictures)
            yield rows, random.integers(2, size=size, dtype=np.bool_).astype(np.float64)

    def _chunks(self) -> Iterator[slice]:
        step = max(1, CHUNK // self.pictures)
        for start in range(0, self.count, step):
            yield slice(start, min(start + step, self.count))


class Replicates(NamedTuple):
    """What a variant's score would have been, (R,) each; NaN if a resample holds no scored class.

    Replicate r has the same pictures for all variants, so the replicates of a difference are their differences.
    """

    both_R: np.ndarray
    """Other pictures and other seeds: for intervals"""
    pictures_R: np.ndarray
    """Other pictures and the same seeds: for the pictures' part of the variance"""


def bootstrap(ratios: Sequence[Ratios], resamples: Resamples) -> list[Replicates]:
    """Two-way bootstrap of many variants and scores at once.

    Replicate r is the mean over resampled seeds of f_s(w_r), with f_s(w) the score of seed s under picture weights w.
    Pictures are resampled for all alike, and seeds for each variant on its own. The plain bootstrap of a mean of S
    seeds understates its variance by (S - 1) / S. So the step from the mean of all seeds to that of the resampled ones,
    under the same pictures, is stretched by sqrt(S / (S - 1)). With one seed only pictures are resampled. A class whose
    denominator is 0 in a resample is left out of that resample's mean.

    If seeds vary more than pictures do, the intervals of few seeds are still too narrow: 2 seeds have 3 possible means.
    `python -m benchmarks.statistics coverage` measures by how much.
    """
    spans = _spans([2 * one.seeds * int(one.scored_K.sum()) for one in ratios])
    columns_CN = np.empty((spans[-1].stop, resamples.pictures))
    for one, span in zip(ratios, spans, strict=True):
        columns_CN[span] = _columns_2SKN(one).reshape(-1, resamples.pictures)
    scores_SR = [np.empty((one.seeds, resamples.count)) for one in ratios]
    for rows, weights_rN in resamples.weights():
        sums_Cr = columns_CN @ weights_rN.T
        for one, span, out_SR in zip(ratios, spans, scores_SR, strict=True):
            shape = (2, one.seeds, int(one.scored_K.sum()), len(weights_rN))
            out_SR[:, rows] = _mean_over_classes(sums_Cr[span].reshape(shape))
    return [resample_seeds(one.name, found, resamples.seed) for one, found in zip(ratios, scores_SR, strict=True)]


def resample_seeds(name: str, scores_SR: np.ndarray, seed: int) -> Replicates:
    """Resample the seeds of scores whose pictures are resampled already.

    Args:
        scores_SR: the score of each training under each resample's pictures.
    """
    plain_R, seeds = scores_SR.mean(axis=0), len(scores_SR)
    if seeds == 1:
        return Replicates(plain_R, plain_R)
    random = np.random.default_rng([seed, SEEDS, zlib.crc32(name.encode())])
    drawn_SR = random.integers(seeds, size=scores_SR.shape)
    step_R = np.take_along_axis(scores_SR, drawn_SR, axis=0).mean(axis=0) - plain_R
    return Replicates(plain_R + math.sqrt(seeds / (seeds - 1)) * step_R, plain_R)


def interval(replicates_R: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The percentile interval, low and high. Replicates without a score are left out; NaN, NaN if none has one."""
    known = replicates_R[~np.isnan(replicates_R)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def permutation_p(ratios: Sequence[Ratios], pairs: Sequence[tuple[int, int]], resamples: Resamples) -> np.ndarray:
    """Two-sided p of "these two variants' results on a picture could change places", one per pair of indices.

    Both of a pair are under one score and have the same scored classes. A variant with several seeds enters with its
    seed-mean numerator and denominator. So the statistic is the difference of the ratios of those, which differs a
    little from the difference of mean scores. The test is about these trainings alone and knows nothing of the variance
    between seeds; for this reason `decisions.settled` asks the interval too. p = (1 + as extreme) / (R + 1) is at least
    1 / (R + 1): from 0.05 (R + 1) pairs on, 500 by default, none passes Holm's correction.
    """
    # Sums over seeds, brought to one number of seeds by whole factors: counts stay whole, and an absent class's
    # denominator stays exactly 0.
    common = math.lcm(*{one.seeds for one in ratios})
    sums_2KN = [_on_grid(_columns_2SKN(one).sum(axis=1) * (common // one.seeds), one.pictures) for one in ratios]
    totals_2K = [sums.sum(axis=-1) for sums in sums_2KN]
    columns_CN = np.concatenate([sums.reshape(-1, resamples.pictures) for sums in sums_2KN])
    spans = _spans([sums.shape[0] * sums.shape[1] for sums in sums_2KN])
    means = [float(_mean_over_classes(total[:, None, :, None])[0, 0]) for total in totals_2K]
    extreme = np.ones(len(pairs))
    for _, swaps_rN in resamples.swaps():
        kept_Cr = columns_CN @ swaps_rN.T
        for index, (a, b) in enumerate(pairs):
            # A picture whose coin says 1 keeps its result; the others exchange theirs with the other variant.
            moved_2Kr = (kept_Cr[spans[a]] - kept_Cr[spans[b]]).reshape(*totals_2K[a].shape, len(swaps_rN))
            swapped_2AKr = np.stack([totals_2K[b][..., None] + moved_2Kr, totals_2K[a][..., None] - moved_2Kr], axis=1)
            found_a_r, found_b_r = _mean_over_classes(swapped_2AKr)
            # Equal differences may round apart. NaN (no class left) is "not less": it counts against a difference.
            least = abs(means[a] - means[b]) - 1e-12 * (abs(means[a]) + abs(means[b]))
            extreme[index] += np.count_nonzero(~(np.abs(found_a_r - found_b_r) < least))
    return extreme / (resamples.count + 1)


def _columns_2SKN(ratios: Ratios) -> np.ndarray:
    """Numerators and denominators of the scored classes, pictures last, (2, S, K scored, N)."""
    both = [_on_grid(part[..., ratios.scored_K], ratios.pictures)
            for part in (ratios.numerator_SNK, ratios.denominator_SNK)]
    return np.stack(both).transpose(0, 1, 3, 2)


def _on_grid(values: np.ndarray, pictures: int) -> np.ndarray:
    """Rounded to steps of at most N / 2^50 of the largest value: then every sum over the N pictures is exact.

    Exact sums are the same in any order: the same bytes for any number of threads, any BLAS, any chunk. Whole counts
    are not touched.
    """
    largest = float(np.abs(values).max(initial=0)) * pictures
    step = 2.0 ** (math.frexp(largest)[1] - 51)  # 53 bits of a float64, less two for sums of sums
    return np.round(np.asarray(values, dtype=np.float64) / step) * step


def _mean_over_classes(sums_2SKR: np.ndarray) -> np.ndarray:
    """Ratios of numerators to denominators, their mean over the classes whose denominator is not 0, (S, R)."""
    numerator_SKR, denominator_SKR = sums_2SKR
    present_SKR = denominator_SKR > 0
    if present_SKR.size and present_SKR.all():  # nearly always, and twice as fast
        return (numerator_SKR / denominator_SKR).mean(axis=1)
    ratio_SKR = np.divide(numerator_SKR, denominator_SKR, out=np.zeros(numerator_SKR.shape), where=present_SKR)
    classes_SR = present_SKR.sum(axis=1)
    return np.divide(ratio_SKR.sum(axis=1), classes_SR, out=np.full(classes_SR.shape, np.nan), where=classes_SR > 0)


def _spans(lengths: Sequence[int]) -> list[slice]:
    ends = np.cumsum(lengths).tolist()
    return [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
