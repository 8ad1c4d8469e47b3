"""Which results belong together: seeds of one configuration, and names of one configuration."""

from seglib.comparison.variants import trained
from tests.comparison.conftest import BAD, GOOD, SAME, Compared


def test_one_configuration_under_two_names_is_one_variant(compared: Compared):
    assert [variant.label for variant in compared.variants] == [GOOD, SAME, BAD]
    assert all([result.seed for result in variant.results] == [1, 2, 3] for variant in compared.variants)
    assert sorted(compared.variants[0].names) == [("munet", "alias"), ("munet", "good")]


def test_seeds_of_one_configuration_are_one_variant(mixed: Compared):
    assert [variant.label for variant in mixed.variants] == ["unet ce", "convnet ce", "frequency"]
    assert [result.seed for result in mixed.variant("unet ce").results] == [1, 2, 3, 4]
    assert [variant.seeds for variant in mixed.variants] == [4, 3, None]


def test_only_what_was_trained_by_gradients_is_trained(mixed: Compared):
    assert [variant.fit for variant in mixed.variants] == ["gradients", "gradients", "counts"]
    assert trained(mixed.variants) == mixed.variants[:2]
