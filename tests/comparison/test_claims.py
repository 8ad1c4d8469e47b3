"""claims.yaml: what the repository claims, what a file may hold, and what is said of one that is wrong."""

import contextlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from seglib import params, resolve
from seglib.comparison import agreement, claims, published
from seglib.comparison.claims import Claim, load
from seglib.comparison.published import Reproduction
from seglib.configs import NEUTRAL
from seglib.params import Params, claimed
from seglib.tools import studies
from tests.conftest import ROOT

ENTRIES = published.load(ROOT / "published.yaml")
GOOD, BAD = ({"model": "munet", "loss": loss} for loss in ("good", "bad"))


def claim(*parts: dict[str, Any], **changes: Any) -> Claim:
    return Claim.model_validate({"id": "x", "claim": "X.", "whose": "yours", "source": "us", "datasets": ["shapes"],
                                 "parts": list(parts)} | changes)


def test_the_repositorys_claims_are_of_sources_and_of_us():
    found = load(ROOT / "claims.yaml")
    assert len({one.id for one in found}) == len(found) >= 15
    assert {one.whose for one in found} == {"source", "ours"}
    claimed.check(ROOT / "claims.yaml", params.load(ROOT / "params.yaml"))


def sides_of(claim: Claim) -> list[dict[str, str]]:
    return [names | side.model_dump(exclude_none=True) for part in claim.parts if part.score != claims.BALANCE
            for names in part.expanded() for side in (part.a, part.b) if side]


def needed_by(claim: Claim) -> set[tuple[str, str]]:
    return {(side["model"], side["loss"]) for side in sides_of(claim) if "predictor" not in side}


def test_some_study_decides_every_claim():
    """One that has its variants, on its dataset, trained as it says and for as many epochs as it needs.

    A source's claim needs the data and the recipe of its entry in published.yaml.
    """
    every = {name: settings_of(name) for name in (None, *params.load(ROOT / "params.yaml").studies)}
    found = [(settings, {(one.model, one.loss): one.train.content() for one in resolve.resolve(settings)})
             for settings in every.values()]
    for one in load(ROOT / "claims.yaml"):
        assert any(decides(one, *study) for study in found), one.id


def settings_of(study: str | None) -> Params:
    """params.yaml as it stands for a study, or for `run`."""
    with contextlib.chdir(ROOT):
        return studies.settings(studies.changes_of(study) if study is not None else [])


def decides(one: Claim, settings: Params, trainings: dict[tuple[str, str], dict[str, Any]]) -> bool:
    """Whether a study with these trainings decides a claim."""
    if not set(one.datasets) <= set(settings.run.datasets) or not needed_by(one) <= trainings.keys():
        return False
    if one.published is not None:
        return is_the_sources(one, ENTRIES[one.published], settings, trainings)
    for name in needed_by(one):
        train = trainings[name]["train"]
        train = train | (train["augment"] or NEUTRAL.content())
        if train["epochs"] < one.epochs or any(train[key] != value for key, value in one.train.items()):
            return False
    return True


def is_the_sources(one: Claim, entry: Reproduction, settings: Params,
                   trainings: dict[tuple[str, str], dict[str, Any]]) -> bool:
    dataset = settings.datasets[entry.dataset].model_dump()
    return one.datasets == [entry.dataset] and all(dataset[key] == value for key, value in entry.recipe.dataset.items()
        ) and not any(agreement.other_recipe(entry.recipe, name, trainings[name]) for name in needed_by(one))


def test_a_sources_claim_names_variants_of_its_recipe_alone():
    for one in load(ROOT / "claims.yaml"):
        assert (one.whose == "source") == (one.published is not None) and not (one.published and one.train), one.id
        if one.published is not None:
            recipe = ENTRIES[one.published].recipe
            assert needed_by(one) <= set(itertools.product(recipe.models, recipe.losses)), one.id


def test_a_sources_claim_with_epochs_is_about_these_epochs_alone():
    for one in load(ROOT / "claims.yaml"):
        if one.published is not None:
            ends = {re.search(r"_epoch_(\d+)$", part.score) for part in one.parts}
            assert {int(end[1]) for end in ends if end} == ({one.epochs} if one.epochs else set()), one.id
            assert not one.epochs or all(ends), one.id


def test_a_source_that_names_no_experiment_is_one_line(tmp_path: Path):
    path = tmp_path / "claims.yaml"
    path.write_text("- {id: x, claim: c, whose: source, source: s, datasets: [shapes], parts: [\n"
                    "   {score: class_imbalance, is: above, than: 4}]}\n")
    with pytest.raises(ValueError, match="^claims.yaml: x: 'whose: source' needs published: the entry of [^\n]*$"):
        load(path)


def test_a_statement_asked_of_our_networks_is_ours_and_stands_beside_the_sources():
    whose = {one.id: one.whose for one in load(ROOT / "claims.yaml")}
    here = [name for name in whose if name.split("@")[0].endswith("-here")]
    assert len(here) >= 10
    sources = {name.split("@")[0] for name, of in whose.items() if of == "source"}
    for name in here:
        assert whose[name] == "ours" and name.split("@")[0].removesuffix("-here") in sources


@pytest.mark.parametrize("each", ["munet", "{model: munet}", "{model: []}", "[munet]", "{net: [a]}"])
def test_an_odd_each_is_one_line(tmp_path: Path, each: str):
    (tmp_path / "claims.yaml").write_text(
        f"- {{id: one, claim: c, whose: yours, source: s, datasets: [shapes], each: {each}, parts: [\n"
        "   {score: iou_dataset, is: above, than: 0.4, a: {model: munet, loss: mse}}]}\n")
    with pytest.raises(ValueError, match="each") as caught:
        load(tmp_path / "claims.yaml")
    assert len(str(caught.value).splitlines()) == 1


BASE = {"score": "iou_dataset", "is": "higher", "a": GOOD, "b": BAD}


@pytest.mark.parametrize(("part", "said"), [
    ({"score": "iou_datasets"}, "no score is called 'iou_datasets', did you mean 'iou_dataset'?"),
    ({"a": GOOD | {"score": "completenes"}}, "no score is called 'completenes', did you mean 'completeness'?"),
    ({"is": "better"}, "is: expected 'higher', 'lower', "),
    ({"b": None}, "'is: higher' needs b"),
    ({"is": "equal"}, "'is: equal' needs within"),
    ({"is": "above"}, "'is: above' needs than"),
    ({"is": "opposite"}, "'is: opposite' needs against"),
    ({"than": "much"}, "than: expected a number"),
    ({"wihtin": 3}, "wihtin: unknown key (found 3)"),
    ({"b": {"loss": "bad"}}, "which model? Name it in a and b, or in each"),
    ({"a": {}, "b": {}, "each": {"model": ["munet"]}}, "which loss? Name it in a and b, or in each"),
    ({"each": {"loss": []}}, "each.loss: expected at least 1, found 0"),
    ({"each": {"losses": ["mse"]}}, "expected 'model' or 'loss'"),
    ({"score": "class_imbalance"}, "class_imbalance is of a dataset: it can be above or below a number"),
    ({"is": "opposite", "against": "class_imbalance"}, "class_imbalance is of a dataset"),
    ({"a": GOOD | {"score": "curve_roughness"}}, "'curve_roughness' and 'iou_dataset' cannot be compared"),
])
def test_a_mistake_is_one_line(tmp_path: Path, part: dict[str, Any], said: str):
    content = json.loads(claim(BASE).model_dump_json(by_alias=True))
    content["parts"] = [BASE | part]
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps([content]))  # JSON is YAML
    with pytest.raises(ValueError) as error:
        load(path)
    assert str(error.value).startswith("claims.yaml: x: parts.0")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "said"), [
    ("- {id: [", "claims.yaml is not YAML: "), ("a: b: c", "claims.yaml is not YAML: "),
    ("", "claims.yaml: expected a list of claims, found NoneType"), ("just words", "expected a list of claims"),
    ("- id: x", "claims.yaml: x: claim: this key is missing"), ("- claim: x", "claims.yaml: claim 1: id: this key is"),
    ("- 3", "claims.yaml: claim 1: expected keys and their values (found 3)")])
def test_a_file_that_holds_no_claims(tmp_path: Path, text: str, said: str):
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        load(path)
    assert said in str(error.value)


def test_a_mistake_in_a_claim_for_each_name_is_one_line_with_the_claims_own_id(tmp_path: Path):
    (tmp_path / "claims.yaml").write_text(
        "- {id: one, claim: c, whose: mine, source: s, datasets: [shapes], each: {model: [munet, unet]}, registered: "
        "once, parts: [\n   {score: iou_dataset, is: above, than: 0.4, a: {loss: mse}}]}\n")
    with pytest.raises(ValueError, match="one: whose: expected 'source', 'ours' or 'yours'") as caught:
        load(tmp_path / "claims.yaml")
    whose, registered = str(caught.value).splitlines()
    assert registered.startswith("claims.yaml: one: registered: ")


def test_an_id_that_stands_twice_is_said(tmp_path: Path):
    text = (ROOT / "claims.yaml").read_text()
    balanced = re.search(r"- id: shapes-is-balanced\n(  .*\n)+", text)[0]
    (tmp_path / "claims.yaml").write_text(text + balanced)
    with pytest.raises(ValueError, match="^claims.yaml: the id 'shapes-is-balanced' stands twice$"):
        load(tmp_path / "claims.yaml")
