"""Experiments with known truth: pictures and seeds drawn from a model whose true scores follow by integration.

A training of variant v with seed s gives picture u the score

    logistic(level_v + seed_vs + picture_vu + both_vsu)

Half of the variance of picture_vu is shared by all variants. So scores are skewed, seeds and pictures interact, and
variants are paired over pictures. The seeds come in three shapes: normal; unequal (the variants' standard deviations
are 1/2, 2 and 1 times as large in turn); bimodal (one seed in five collapses).

A score is a plain mean over pictures, or a mean of 3 classes' ratios of sums: then a picture lacks each class with a
chance of 0.4, and its size is lognormal and larger where its score is higher.

Shapes: T experiments, V variants, S seeds, U pictures, K classes.
"""

import dataclasses
import math
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from seglib.metrics.inference import Blocks

SHAPES = ("normal", "unequal", "bimodal")
TIMES = {"normal": (1.0,), "unequal": (0.5, 2.0, 1.0), "bimodal": (1.0,)}
COLLAPSED, WIDTH = 0.2, 0.1  # the share of seeds that collapse; the others' sd as a share of the fall
LEVEL = 1.0  # the level of a variant whose seeds do not vary: a score of about 0.7
LARGEST = 0.06  # the largest standard deviation between seeds; for larger ratios, pictures vary less
CLASSES, PRESENT, SIZE_BY_SCORE, SIZE = 3, 0.6, 0.3, 0.5  # of ratios
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(31)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """Variants with equal true scores, unless `ahead` is given."""

    ratio: float
    """The standard deviation between seeds' true scores, as a multiple of the standard error that comes from pictures
    (of a variant whose seeds vary 1 time)"""
    pictures: int
    shape: str = "normal"
    is_ratio: bool = False
    ahead: float = 0.0
    """By how much the first variant's true score is higher"""

    @property
    def spread(self) -> float:
        """How much one training's score varies with seeds and pictures together, as a standard deviation."""
        return math.hypot(1, self.ratio) * self._picture_error(self.picture_sd)

    @cached_property
    def picture_sd(self) -> float:
        """The standard deviation of picture_vu, on the scale of the logistic function."""
        wanted = LARGEST / self.ratio
        if self._picture_error(1.0) <= wanted:
            return 1.0
        return brentq(lambda sd: self._picture_error(sd) - wanted, 1e-4, 1.0)

    @cached_property
    def _seed_scale(self) -> float:
        wanted = self.ratio * self._picture_error(self.picture_sd)
        return brentq(lambda scale: self._moments(LEVEL, scale)[1] - wanted, 1e-6, 8.0)

    def _scale(self, variant: int) -> float:
        times = TIMES[self.shape]
        return self._seed_scale * times[variant % len(times)]

    @cached_property
    def truth(self) -> float:
        """The true score of every variant but one that is ahead."""
        return self._moments(LEVEL, self._seed_scale)[0]

    def _level(self, variant: int) -> float:
        scale, truth = self._scale(variant), self.truth + (self.ahead if variant == 0 else 0.0)
        return brentq(lambda level: self._moments(level, scale)[0] - truth, -8.0, 20.0)

    def _moments(self, level: float, scale: float) -> tuple[float, float]:
        """Mean and standard deviation of a seed's true score over all seeds."""
        if self.shape == "bimodal":
            effects = np.concatenate([WIDTH * NODES, WIDTH * NODES - 1])
            weights = np.concatenate([(1 - COLLAPSED) * WEIGHTS, COLLAPSED * WEIGHTS])
        else:
            effects, weights = NODES, WEIGHTS
        scores = np.array([self._score(level + scale * effect, self.picture_sd) for effect in effects])
        mean = float(weights @ scores)
        return mean, math.sqrt(float(weights @ (scores - mean) ** 2))

    def _score(self, level: float, sd: float) -> float:
        """The true score of a seed: the mean over all pictures, weighted by their size."""
        values, weights, sizes = self._pictures(level, sd)
        return float((weights * sizes * values).sum() / (weights * sizes).sum())

    def _picture_error(self, sd: float) -> float:
        """The standard error of one training's score that comes from the pictures."""
        values, weights, sizes = self._pictures(LEVEL, sd)
        mean_size = (weights * sizes).sum()
        score = (weights * sizes * values).sum() / mean_size
        of_one = (weights * (sizes * (values - score)) ** 2).sum() / mean_size**2
        # The classes of a picture share its score. Their sizes are independent, and so is whether they are there.
        between_classes = (math.exp(SIZE**2) / PRESENT - 1) / CLASSES if self.is_ratio else 0.0
        return math.sqrt(of_one * (1 + between_classes) / self.pictures)

    def _pictures(self, level: float, sd: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """At the nodes of picture and interaction: the score, the node's weight, the size that goes with the score."""
        picture, both = np.meshgrid(NODES, NODES, indexing="ij")
        sizes = np.exp(SIZE_BY_SCORE * picture) if self.is_ratio else np.ones_like(picture)
        return expit(level + sd * (picture + both / 2)), np.outer(WEIGHTS, WEIGHTS), sizes

    def blocks(self, random: np.random.Generator, experiments: int, variants: int, seeds: int) -> list[Blocks]:
        """What inference is given, with an axis of experiments in front."""
        shared_TU = random.standard_normal((experiments, self.pictures))
        classes = CLASSES if self.is_ratio else 1
        size_TUK = np.ones((experiments, self.pictures, classes))
        if self.is_ratio:
            size_TUK = np.exp(SIZE * random.standard_normal(size_TUK.shape)) * (random.random(size_TUK.shape) < PRESENT)
        found = []
        for variant in range(variants):
            picture_TU = (shared_TU + random.standard_normal(shared_TU.shape)) / math.sqrt(2)
            effect_TS = random.standard_normal((experiments, seeds))
            if self.shape == "bimodal":
                effect_TS = WIDTH * effect_TS - (random.random(effect_TS.shape) < COLLAPSED)
            both_TSU = random.standard_normal((experiments, seeds, self.pictures), dtype=np.float32)
            scores_TSU = expit(self._level(variant) + self._scale(variant) * effect_TS[..., None]
                               + self.picture_sd * (picture_TU[:, None] + both_TSU / 2))
            weight_TUK = size_TUK * np.exp(SIZE_BY_SCORE * picture_TU)[..., None] if self.is_ratio else size_TUK
            weight_TSUK = np.broadcast_to(weight_TUK[:, None], (experiments, seeds, self.pictures, classes))
            found.append(Blocks.from_sums(scores_TSU[..., None] * weight_TSUK, weight_TSUK, np.ones(classes, bool)))
        return found
