"""Which runs belong together: seeds of one configuration, names of one configuration, and models that have no seed."""

from tests.comparison.conftest import BAD, GOOD, SAME, Compared


def test_one_configuration_under_two_names_is_one_variant(compared: Compared):
    assert [variant.label for variant in compared.variants] == [GOOD, SAME, BAD]
    assert all([run.seed for run in variant.runs] == [1, 2, 3] for variant in compared.variants)
    assert sorted(compared.variants[0].names) == [("munet", "alias"), ("munet", "good")]


def test_without_loss_and_seed_there_is_one_run_under_the_models_name(mixed: Compared):
    assert [variant.label for variant in mixed.variants] == ["unet ce", "convnet ce", "frequency"]
    counted, = mixed.variant("frequency").runs
    assert counted.seed is None and counted.files.name == "frequency-ce-1"
    assert mixed.variant("frequency").names == [("frequency", "ce")]
    assert [run.seed for run in mixed.variant("unet ce").runs] == [1, 2, 3, 4]
    assert [variant.seeds for variant in mixed.variants] == [4, 3, None]
