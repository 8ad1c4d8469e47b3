"""Registries: an entry is found by its name, and its code is imported when it is used."""

import fractions
import subprocess
import sys

import pytest

from seglib.registry import LazyEntry, lookup
from tests.conftest import ROOT

ENTRIES = {"fraction": LazyEntry("fractions:Fraction"), "module": LazyEntry("fractions")}


def test_an_entry_is_an_attribute_or_a_module():
    assert lookup(ENTRIES, "fraction", "number").load() is fractions.Fraction
    assert lookup(ENTRIES, "module", "number").load() is fractions


@pytest.mark.parametrize(("name", "said"), [
    ("fractoin", "unknown number 'fractoin': did you mean 'fraction'?"),
    ("zzz", "unknown number 'zzz': known: fraction, module"),
    ("a" * 1000, "unknown number 'aaaa")])
def test_an_unknown_name_is_refused_with_the_names_that_are_known(name: str, said: str):
    with pytest.raises(ValueError) as error:
        lookup(ENTRIES, name, "number")
    assert str(error.value).startswith(said) and len(str(error.value)) < 300


def test_to_read_the_registries_imports_no_pytorch():
    """`resolve` does, on every `dvc repro`."""
    program = ("import sys; sys.modules['torch'] = None; import stages.resolve; from seglib.datasets import readers; "
               "from seglib.losses import TERMS; from seglib.models import KINDS; "
               "from seglib.training.optimizers import OPTIMIZERS; assert TERMS and KINDS and OPTIMIZERS; "
               "assert not {'seglib.datasets.coco', 'seglib.datasets.shapes'} & sys.modules.keys()")
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
