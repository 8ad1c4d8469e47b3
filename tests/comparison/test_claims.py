"""claims.yaml: what the repository claims, what a file may hold, and what is said of one that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from seglib import params, prediction
from seglib.comparison import claims
from seglib.comparison.claims import Claim, load
from tests.conftest import ROOT

GOOD, BAD = ({"model": "munet", "loss": loss} for loss in ("good", "bad"))


def claim(*parts: dict[str, Any], **changes: Any) -> Claim:
    return Claim.model_validate({"id": "x", "claim": "X.", "whose": "yours", "source": "us", "datasets": ["shapes"],
                                 "parts": list(parts)} | changes)


def test_the_repositorys_claims_name_what_there_is():
    settings, found = params.load(ROOT / "params.yaml"), load(ROOT / "claims.yaml")
    assert len({one.id for one in found}) == len(found) >= 15
    assert {one.whose for one in found} == {"source", "ours"}
    predictors = {name for name, kind in prediction.KINDS.items() if kind.baseline} | settings.predictors.keys()
    for one in found:
        assert set(one.datasets) <= set(settings.datasets)
        assert set(one.train) <= set(params.TrainSection.model_fields)
        for part in one.parts:
            sides = [side for side in (part.a, part.b) if side is not None]
            for key, known in (("model", settings.models), ("loss", settings.losses), ("predictor", predictors)):
                named = {getattr(side, key) for side in sides} - {None} | set(part.each.get(key, []))
                assert named <= set(known), one.id


def test_the_study_of_shapes_can_decide_every_claim_on_label_values():
    """What a claim about label-valued Shapes needs is in the study that trains there."""
    study = params.load(ROOT / "params.yaml").studies["shapes"]
    have = {(model, loss) for model in study.models for loss in study.losses}
    for one in load(ROOT / "claims.yaml"):
        if one.train.get("targets") == study.train.targets:
            for part in one.parts:
                for names in part.expanded():
                    sides = [names | side.model_dump(exclude_none=True) for side in (part.a, part.b) if side]
                    assert {(side["model"], side["loss"]) for side in sides} <= have, one.id


def test_every_claim_on_pets_stanford_and_coco_has_a_study_that_decides_it():
    """One that has its variants, on its dataset, for as many epochs as it needs."""
    settings = params.load(ROOT / "params.yaml")
    for one in load(ROOT / "claims.yaml"):
        if "shapes" in one.datasets:
            continue
        sides = [names | side.model_dump(exclude_none=True) for part in one.parts if part.score != claims.BALANCE
                 for names in part.expanded() for side in (part.a, part.b) if side]
        needed = {(side["model"], side["loss"]) for side in sides if "predictor" not in side}
        assert any(
            set(one.datasets) <= set(study.datasets)
            and needed <= {(model, loss) for model in study.models for loss in study.losses}
            and all(epochs_of(settings, study, model) >= one.epochs for model, _ in needed)
            for study in settings.studies.values()), one.id


def epochs_of(settings: params.Params, study: Any, model: str) -> int:
    """What a study trains a model for: the model's own number goes before the study's."""
    of_study = study.train.epochs if "epochs" in study.train.model_fields_set else settings.train.epochs
    own = settings.models[model].train
    return own.epochs if "epochs" in own.model_fields_set else of_study


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
    assert str(error.value).startswith("claims.yaml: claims.0.parts.0")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "said"), [
    ("- {id: [", "claims.yaml is not YAML: "), ("a: b: c", "claims.yaml is not YAML: "),
    ("", "claims.yaml: claims: expected a list"), ("just words", "expected a list"),
    ("- id: x", "claims.yaml: claims.0.claim: this key is missing")])
def test_a_file_that_holds_no_claims(tmp_path: Path, text: str, said: str):
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        load(path)
    assert said in str(error.value)


def test_an_id_that_stands_twice_is_said(tmp_path: Path):
    text = (ROOT / "claims.yaml").read_text()
    (tmp_path / "claims.yaml").write_text(text + text[text.index("- id: aspp-helps"):])
    with pytest.raises(ValueError, match="^claims.yaml: the id 'aspp-helps@dice' stands twice$"):
        load(tmp_path / "claims.yaml")
