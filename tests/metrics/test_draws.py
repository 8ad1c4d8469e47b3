"""Draws of pictures against their definition."""

import numpy as np

from seglib.metrics.draws import drawn


def test_weights_are_multinomial_counts():
    weights_RN = np.concatenate([weights for _, weights in drawn(20, 5000, 700)])
    assert weights_RN.shape == (5000, 20) and (weights_RN.sum(1) == 20).all()
    np.testing.assert_allclose(weights_RN.mean(0), 1, atol=0.06)
    np.testing.assert_allclose(weights_RN.var(0), 0.95, atol=0.12)  # N p (1 - p)


def test_rows_follow_each_other_and_equal_arguments_give_equal_draws():
    first, second = (list(drawn(7, 10, 4)) for _ in range(2))
    assert [rows for rows, _ in first] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    for (_, one), (_, other) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
