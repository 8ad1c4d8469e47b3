"""Random draws of pictures with replacement, for scores that are no ratio of sums (see `inference` for the others).

Shapes: N pictures (or groups), r draws of a chunk.
"""

from collections.abc import Iterator

import numpy as np


def drawn(pictures: int, count: int, chunk: int) -> Iterator[tuple[slice, np.ndarray]]:
    """How often each of `count` draws of N pictures with replacement took each picture.

    Yields rows and weights, float64 (r, N). Equal arguments give equal draws, so all variants have the same.
    """
    random = np.random.default_rng(0)
    for start in range(0, count, chunk):
        size = min(chunk, count - start)
        draws_rN = random.integers(pictures, size=(size, pictures)) + pictures * np.arange(size)[:, None]
        counts = np.bincount(draws_rN.ravel(), minlength=draws_rN.size)
        yield slice(start, start + size), counts.reshape(draws_rN.shape).astype(np.float64)
