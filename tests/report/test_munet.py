"""The page's section on mUnet: there if a study trained one, with the figures that compare counted."""

from typing import Any

import pytest

from tests.report.synthetic import Study


def test_it_is_there_only_if_an_munet_was_trained(built: Any):
    text, _ = built(Study(models=("unet",)))
    assert "d1-munet" not in text and "docs/munet.md" not in text
    assert "What explains the variations?" in text


@pytest.mark.parametrize("coursework", [True, False])
def test_its_networks_are_a_table(built: Any, coursework: bool):
    text, _ = built(Study(models=("munet", "unet"), coursework=coursework))
    assert 'id="d1-munet"' in text and 'href="#d1-munet"' in text
    section = text[text.index('id="d1-munet"'):text.index('id="d1-data"')]
    for part in ('<th scope="row">munet</th>', ">643,877<", ">185,376<", ">100%<", "docs/munet.md"):
        assert part in section
    assert "has a defect" not in section and "With ASPP" not in section


def test_the_defect_and_the_pyramid_are_told_of_those_that_have_them(built: Any):
    text, _ = built(Study(models=("munet_faithful", "munet_aspp")))
    section = text[text.index('id="d1-munet"'):text.index('id="d1-data"')]
    assert "25% of the pixels" in section and "With ASPP" in section and ">2, 4<" in section
    assert "munet_faithful</em> has this defect" in section or "munet_faithful has this defect" in section
