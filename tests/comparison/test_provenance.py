"""The table of provenance, and the warnings if results were made in different ways."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from seglib.comparison.findings import warnings
from seglib.comparison.provenance import made, provenance_table
from seglib.files import read_json, write_json
from tests.comparison.conftest import Compared

UNET, CONVNET = "unet ce", "convnet ce"
SAME_WAY = {"variants": [], "seeds": []}


@pytest.fixture
def study(mixed_study: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compared:
    """A copy of the provenance files of unet, seeds 1 to 4, convnet, seeds 1 to 3, and frequency. We stand in it."""
    for path in mixed_study.folder.rglob("provenance.json"):
        copy = tmp_path / path.relative_to(mixed_study.folder)
        copy.parent.mkdir(parents=True)
        shutil.copyfile(path, copy)
    monkeypatch.chdir(tmp_path)
    return mixed_study


def remade(step: str, names: str, **changed: Any) -> None:
    """Change the provenance of the trainings or evaluations whose names match."""
    paths = list(Path({"training": "runs", "evaluation": "results"}[step], "shapes").glob(f"{names}/*/provenance.json"))
    assert paths
    for path in paths:
        write_json(path, read_json(path) | changed)


def made_of(study: Compared) -> dict[str, Any]:
    return made(provenance_table(study.variants), compared=[variant.label for variant in study.variants])


def said(found: dict[str, Any]) -> list[str]:
    return warnings({"failures": None, "equals_baseline": [], "made": found})


def test_the_table_has_a_row_per_step_of_each_result(study: Compared):
    table = provenance_table(study.variants)
    assert table["step"].value_counts().to_dict() == {"evaluation": 8, "training": 7}
    row = table[(table["result"] == "unet-ce-2") & (table["step"] == "training")].iloc[0]
    assert (row["variant"], row["seed"], row["precision"], row["fingerprint"]) == (UNET, 2, "fp32", "0" * 64)
    assert table[table["seed"].isna()]["result"].tolist() == ["frequency"]


def test_results_made_in_one_way_have_no_difference(study: Compared):
    assert made_of(study) == SAME_WAY and said(SAME_WAY) == []


def test_threads_and_the_code_of_other_models_are_no_difference(study: Compared):
    remade("training", "unet-ce-1", threads=64)
    remade("training", "convnet-*", fingerprint="1" * 64)
    assert made_of(study) == SAME_WAY


def test_variants_that_were_trained_with_different_packages(study: Compared):
    remade("training", "*", torch="2.12.0")
    remade("training", "convnet-*", torch="2.13.0")
    found = made_of(study)
    assert found == {"seeds": [], "variants": [{"field": "torch", "steps": ["training"], "values": [
        {"value": "2.12.0", "variants": [UNET]}, {"value": "2.13.0", "variants": [CONVNET]}]}]}
    assert said(found) == ["the variants were trained with different versions of torch (2.12.0: unet ce; 2.13.0: "
                           "convnet ce), so a difference between them may come from that"]


def test_variants_made_on_different_gpus_differ_in_one_field_of_both_steps(study: Compared):
    for step in ("training", "evaluation"):
        remade(step, "unet-*", device="cuda", gpu="GPU A")
        remade(step, "convnet-*", device="cuda", gpu="GPU B")
    assert said(made_of(study)) == ["the variants were trained and evaluated on different devices (GPU A: unet ce; "
                                    "GPU B: convnet ce), so a difference between them may come from that"]


def test_a_predictor_is_compared_by_its_packages_alone(study: Compared):
    for name in ("unet-*", "convnet-*"):
        remade("evaluation", name, device="cuda", gpu="GPU A", precision="bf16", numpy="1")
    [difference] = made_of(study)["variants"]
    assert (difference["field"], difference["steps"]) == ("numpy", ["evaluation"])
    assert difference["values"][0] == {"value": "1", "variants": [UNET, CONVNET]}
    assert [of["variants"] for of in difference["values"][1:]] == [["frequency"]]


def test_what_is_not_compared_is_no_difference(study: Compared):
    remade("training", "convnet-*", torch="2.13.0")
    assert made(provenance_table(study.variants), compared=[UNET]) == SAME_WAY


def test_seeds_of_different_precision(study: Compared):
    remade("training", "unet-ce-1", precision="bf16")
    found = made_of(study)
    assert found["seeds"] == [{"variants": [UNET], "differences": [
        {"field": "precision", "steps": ["training"],
         "values": [{"value": "bf16", "seeds": [1]}, {"value": "fp32", "seeds": [2, 3, 4]}]}]}]
    assert said(found) == [
        "the variants were trained in different precisions (bf16: unet ce; fp32: unet ce and convnet ce), so a "
        "difference between them may come from that",
        "the seeds of unet ce were made in different ways (precision of training bf16: seed 1; fp32: seeds 2, 3 and "
        "4), so their spread is not that of seeds alone"]


def test_variants_with_the_same_share_of_each_way_differ_in_their_seeds_alone(study: Compared):
    remade("training", "*-ce-[12]", precision="bf16")
    table = provenance_table(study.variants)
    found = made(table[table["seed"] != 4], compared=[UNET, CONVNET])
    assert found["variants"] == [] and [row["variants"] for row in found["seeds"]] == [[UNET, CONVNET]]


def test_seeds_whose_evaluations_or_code_differ(study: Compared):
    remade("evaluation", "unet-ce-2", pillow="1")
    remade("training", "convnet-ce-3", fingerprint="1" * 64)
    found = made_of(study)["seeds"]
    assert {(row["variants"][0], of["field"], *of["steps"]) for row in found for of in row["differences"]} == {
        (UNET, "pillow", "evaluation"), (CONVNET, "fingerprint", "training")}
    assert said({"variants": [], "seeds": found})[1] == (
        "the seeds of convnet ce were made in different ways (code of training 00000000: seeds 1 and 2; 11111111: "
        "seed 3), so their spread is not that of seeds alone")


@pytest.mark.parametrize(("content", "error"), [
    (None, "does not exist; `dvc repro` makes it anew"), ("{", "Expecting property name .*; `dvc repro --force` makes"),
    ("{}", "missing key 'device'; `dvc repro --force` makes all results anew")])
def test_a_file_that_cannot_be_read_is_named(study: Compared, content: str | None, error: str):
    path = Path("runs/shapes/unet-ce-1/trained/provenance.json")
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=f"^{path}.*{error}"):
        provenance_table(study.variants)
