"""Names in claims.yaml that params.yaml or published.yaml does not define: the error names the claim."""

import shutil
from pathlib import Path

import pytest

from seglib import params
from seglib.params import ParamsError, claimed
from tests.conftest import ROOT

CLAIM = """- id: mine
  claim: A claim.
  whose: yours
  source: a hunch
  published: pets
  datasets: [shapes]
  each: {model: [munet]}
  parts:
    - {score: iou_dataset, is: higher, a: {loss: mse}, b: {loss: dice}}
    - {score: iou_dataset, is: higher, a: {predictor: otsu}, b: {predictor: frequency}, each: {loss: [mse]}}
"""


def check(folder: Path, text: str) -> None:
    (folder / "claims.yaml").write_text(text)
    shutil.copyfile(ROOT / "published.yaml", folder / "published.yaml")
    claimed.check(folder / "claims.yaml", params.load(ROOT / "params.yaml"))


def test_names_that_are_defined_pass(tmp_path: Path):
    check(tmp_path, CLAIM)


@pytest.mark.parametrize(("right", "wrong", "said"), [
    ("[munet]", "[munnet]", "mine: params.yaml has no model 'munnet', did you mean 'munet'?"),
    ("{loss: dice}", "{loss: dicee}", "mine: params.yaml has no loss 'dicee', did you mean 'dice'?"),
    ("{loss: [mse]}", "{loss: [mes]}", "mine: params.yaml has no loss 'mes', did you mean 'mse'?"),
    ("predictor: otsu", "predictor: ostu", "mine: params.yaml has no predictor 'ostu', did you mean 'otsu'?"),
    ("published: pets", "published: petz", "mine: published.yaml has no entry 'petz', did you mean 'pets'?"),
    ("[shapes]", "[shape]", "mine: params.yaml has no dataset 'shape', did you mean 'shapes'?")])
def test_one_that_is_not_names_the_claim_and_the_nearest(tmp_path: Path, right: str, wrong: str, said: str):
    assert CLAIM.count(right) == 1
    with pytest.raises(ParamsError) as error:
        check(tmp_path, CLAIM.replace(right, wrong))
    first, advice = str(error.value).splitlines()
    assert said in first and advice == "Correct the name, or take the claim out"


@pytest.mark.parametrize("text", ["", "3", "- 3", "a: b", "- {id: x, datasets: 3, parts: {a: 1}, each: [model]}",
                                  "- {parts: [{a: munet, each: {model: munet}}, 7]}"])
def test_what_has_not_the_form_of_claims_is_left_to_compare(tmp_path: Path, text: str):
    check(tmp_path, text)


def test_what_is_not_yaml_is_said(tmp_path: Path):
    with pytest.raises(ParamsError, match="claims.yaml is not YAML"):
        check(tmp_path, "- {id: [")
