"""The page as text, and what is put beside it."""

import base64
import dataclasses
import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.files import read_json
from seglib.report import tables, views
from seglib.report.builder import build, build_everything
from seglib.report.charts import axis, extent
from seglib.report.scripts import packed_runs, script_json
from seglib.report.words import brief
from tests.report.conftest import EVIL, QUOTED, STANFORD
from tests.report.synthetic import Study, write


def test_figures_and_tables_are_numbered_through_all_datasets(page: Path):
    text = page.read_text()
    for kind in ("Figure", "Table"):
        numbers = [int(n) for n in re.findall(rf"<b>{kind} (\d+)\.</b>", text)]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 12


@pytest.mark.parametrize("which", ["page", "everything"])
def test_every_part_and_every_file_is_there(request: pytest.FixtureRequest, which: str):
    page = request.getfixturevalue(which)
    text = page.read_text()
    for link in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{link}"' in text
    for file in re.findall(r'(?:src|href)="([^"#][^":]*)"', text):
        assert (page.parent / unquote(html.unescape(file))).is_file(), file
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


def test_where_annotations_ended_and_what_was_allowed_is_told(page: Path):
    text = page.read_text(encoding="utf-8")
    assert "<td>crowd</td><td>it marks a crowd</td><td class=\"n\">3</td><td>annotations.json annotation 7</td>" in text
    assert "in params.yaml:</strong> the class star never occurs in test." in text


@pytest.mark.parametrize(("band", "said"), [
    ({"pixels": 7, "share": 0.02}, "the outermost 7 pixels of each mask (2 % of the picture's diagonal);"),
    ({"pixels": 7, "share": 0.02}, "for NSD, outlines that lie at most 2 pixels apart agree"),
    ({"pixels": 1, "share": None}, "the outermost 1 pixel of each mask;")])
def test_the_widths_at_outlines_are_told(tmp_path: Path, band: dict[str, Any], said: str):
    summary = write(Study(), tmp_path / "comparisons") / "tables/summary.json"
    summary.write_text(json.dumps(read_json(summary) | {"boundary_band": band}))
    (tmp_path / "reports").mkdir()
    build(["shapes"], tmp_path / "comparisons", tmp_path / "reports")
    assert said in html.unescape((tmp_path / "reports/index.html").read_text())


def test_names_from_data_are_escaped(page: Path):
    text, data = page.read_text(), (page.parent / "data/coco.js").read_text()
    assert EVIL not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert QUOTED not in text and "it&#39;s &#34;quoted&#34; &amp; \\slashed" in text
    assert "<" not in data and ">" not in data and "&" not in data


def test_data_in_scripts_are_safe_and_come_back_whole():
    content = {"name": "</script><!-- & \u2028\u2029 \"quoted\""}
    text = script_json(content)
    assert not set("<>&\u2028\u2029") & set(text) and json.loads(text) == content


def unpacked(packed: str) -> list[int]:
    numbers, value, scale = [], 0, 1
    for byte in base64.b64decode(packed):
        value, scale = value + (byte & 127) * scale, scale * 128
        if byte < 128:
            numbers.append(value)
            value, scale = 0, 1
    return numbers


@pytest.mark.parametrize("runs", [[0, 1], [0, 4096], [3, 127, 0, 128, 2**30, 262144], [2**31 - 1, 16384, 5, 2**21]])
def test_run_lengths_survive_packing(runs: list[int]):
    assert unpacked(packed_runs(runs)) == runs


def test_the_headline_has_scores_and_interval(built: Any):
    headline = built(Study())[1]["shapes"]
    assert set(headline) == {"munet-mse_dice20", "munet-mse_dice", "munet-mse", "munet-dice"}
    assert headline["munet-mse"] == pytest.approx({"iou": 0.79, "dice": 0.782, "iou_low": 0.776, "iou_high": 0.804})


def test_an_absent_class_is_said_to_be(built: Any):
    text, _ = built(Study(absent=("star",)))
    assert text.count("class absent</span>") == 2 * 4  # one cell per variant and split


def test_nothing_that_can_be_ranked(built: Any):
    study = Study(absent=Study.classes)
    text, headline = built(study)
    assert "nothing can be ranked" in text and "nothing was compared" in text
    assert headline["shapes"]["munet-mse"] == {"iou": None, "dice": None, "iou_low": None, "iou_high": None}


def test_one_variant_of_one_seed(built: Any):
    text, _ = built(Study(losses=("mse",), seeds=(1,)))
    assert "only variant" in text and "nothing was compared" in text
    assert "There are too few seeds to say how much it varies" in text


def test_published_figures_stand_beside_ours(built: Any):
    text, _ = built(Study(coursework=True))
    assert "1 agree, 1 differ, 1 are not comparable." in text and "MSE on Shapes" in text
    assert "440 – 470.5" in text and "12,346<small>one seed" in text and "not comparable: not run: munet mse" in text


def test_a_study_of_nothing_published_has_no_such_section(built: Any):
    text, _ = built(Study(coursework=False))
    assert "Published figures" not in text


def test_an_empty_study_has_a_page(tmp_path: Path):
    assert build([], tmp_path, tmp_path) == {}
    assert "<h1>" in (tmp_path / "index.html").read_text()


def test_tables_without_rows_are_left_out(tmp_path: Path):
    folder = write(Study(pictures=0), tmp_path / "comparisons",
                   empty=("groups", "confusion", "dice_names", "gradients", "curves"))
    (folder / "tables/claims.json").write_text("[]")
    (tmp_path / "reports").mkdir()
    build(["shapes"], tmp_path / "comparisons", tmp_path / "reports")
    text = (tmp_path / "reports/index.html").read_text()
    for said in ("no confusion matrix", "did not compare definitions", "No claim is about", "none is shown",
                 "did not train MSE and Dice together"):
        assert said in text


def test_class_names_that_look_like_missing_values_stay_names(tmp_path: Path):
    folder = write(Study(classes=("None", "1", "NA")), tmp_path)
    assert views.classes(tables.read(folder))["names"] == ["None", "1", "NA"]


def test_of_many_pairs_those_of_the_best_come_first(tmp_path: Path):
    comparison = tables.read(write(Study(models=("munet", "unet")), tmp_path))
    forest = views.forest(comparison)
    assert (len(forest["first"]), len(forest["rest"]), forest["all"]) == (7, 21, 28)
    assert all(pair["a"] == "munet mse_dice20" for pair in forest["first"])


def test_settings_in_common_are_told_once(tmp_path: Path):
    shown = views.configurations(tables.read(write(Study(), tmp_path)))
    assert {("train.lr", "0.02"), ("train.augment.flip", "0.5"), ("train.snapshots", "[1, 2]")} <= set(shown["same"])
    assert dict(shown["rows"]) == {
        "munet mse_dice20": [[("terms.dice", "20"), ("terms.mse", "1")]],
        "munet mse_dice": [[("terms.dice", "1"), ("terms.mse", "1")]],
        "munet mse": [[("terms.mse", "1")]], "munet dice": [[("terms.dice", "1")]]}
    assert shown["parts"] == ["loss"]


def test_a_model_without_a_loss_shares_no_settings_but_has_its_own(tmp_path: Path):
    shown = views.configurations(tables.read(write(STANFORD, tmp_path)))
    assert ("loss.terms.ce", "1") in shown["same"] and shown["parts"] == ["model"]
    rows = dict(shown["rows"])
    assert rows["frequency"] == [[("kind", "frequency")]]
    assert rows["convnet ce_weighted"] == [[("kind", "convnet")]]


@pytest.mark.parametrize(("value", "said"), [
    (1e-4, "0.0001"), ([1, 16], "[1, 16]"), (None, "null"), (True, "true"), ([], "[]"), ("iou", "iou"), (12, "12"),
    ([0.5, None], "[0.5, null]")])
def test_settings_read_as_in_params_yaml(value: Any, said: str):
    assert views.setting(value) == said


def test_exclusive_classes_of_resized_pictures(built: Any):
    text, headline = built(STANFORD)
    assert "IoU at own size" in text and "Each pixel has one class: sky" in text
    assert "overall accuracy" in text and "it belongs to the likeliest of them" in text
    assert "missed, covered" not in text and "by overlap" not in text and "exactly one class or to none" not in text
    assert "Seeds: 1234, 1235, 1236. The predictions of frequency do not depend on a seed." in text
    assert "frequency" in headline["stanford"] and "Should Dice be scaled" not in text


def test_what_only_resized_or_exclusive_pictures_have_is_not_asked_of_others(built: Any):
    text, _ = built(Study())
    assert "own size" not in text and "overall accuracy" not in text and "Each pixel has one" not in text
    assert "missed, covered" in text and "by overlap" in text and "Should Dice be scaled" in text


def test_trainings_say_where_they_ended(built: Any):
    text, _ = built(Study())
    assert text.count("of 40: stopped early") == 3 and "8 pictures, which it could not learn" in text
    assert "21<br>22<br>23<small>best val IoU</small>" in text and "12 %<br>12 %<br>12 %" in text


def test_snapshots_have_a_figure_a_variant_the_best_first(everything: Path):
    text = everything.read_text()
    figures = re.findall(r'<img src="(stanford/stanford/figures/snapshots_\d.png)"', text)
    assert figures == [f"stanford/stanford/figures/snapshots_{n}.png" for n in range(1, 9)]
    assert "What <em>resnet18_unet_frozen ce_weighted</em> predicts for val pictures" in text


def test_a_study_that_only_counted_has_a_page(built: Any):
    text, _ = built(Study(models=(), frequency=True))
    assert "Nothing was trained." in text and "there are no seeds to vary" in text and "no seeds" in text


def test_everything_has_a_section_a_study(everything: Path):
    text = everything.read_text()
    names = re.findall(r'<section id="d\d" class="dataset" data-dataset="([^"]+)"', text)
    assert names == ["scale &amp; sweep (shapes)", "shapes", "stanford"]
    numbers = [int(n) for n in re.findall(r"<b>Table (\d+)\.</b>", text)]
    assert numbers == list(range(1, len(numbers) + 1))
    script = (everything.parent / "scale & sweep/shapes/page.js").read_text()
    assert script.startswith('(window.seglibData ??= {})["scale \\u0026 sweep (shapes)"] = ')
    assert '"file":"scale%20%26%20sweep/shapes/gallery/0.png"' in script.replace("\\u0026", "&")
    assert "make everything" in text


def test_everything_gives_the_headline_of_each_study(tmp_path: Path):
    write(Study(losses=("mse",)), tmp_path / "one")
    write(Study(losses=("dice",)), tmp_path / "two")
    found = build_everything(tmp_path, command="make everything")
    assert {study: list(of["shapes"]) for study, of in found.items()} == {"one": ["munet-mse"], "two": ["munet-dice"]}


def test_everything_of_nothing_says_what_was_expected(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no comparison: expected .*<study>/<dataset>/tables/summary.json"):
        build_everything(tmp_path, command="make everything")


def test_what_was_left_out_is_told_and_else_nothing(tmp_path: Path):
    comparison = tables.read(write(Study(), tmp_path))
    assert views.left_out(comparison) == [
        ("train2017", "picture", "does not pass the dataset's rule", "51 of 74"),
        ("train", "picture", "does not decode", "3")]
    assert views.annotations(comparison) == [
        ("crowd", "it marks a crowd", "3", "annotations.json annotation 7"),
        ("drawn", "its mask is part of the truth", "1,200", "")]
    whole = comparison.summary | {"rejected": [], "selection": {"all": {"pictures": 9, "selected": 9}}}
    assert views.left_out(dataclasses.replace(comparison, summary=whole)) == []


@pytest.mark.parametrize(("values", "ticks"), [
    ([0.72, 0.86], ["0.70", "0.75", "0.80", "0.85", "0.90"]),
    ([-0.04, 0.15], ["-0.05", "0.00", "0.05", "0.10", "0.15"]), ([0.5], ["0.4", "0.6"]),
    ([3, 97], ["0", "25", "50", "75", "100"]), ([], ["0.00", "0.25", "0.50", "0.75", "1.00"])])
def test_axes_have_round_ticks_around_all_values(values: list[float], ticks: list[str]):
    made = axis(values)
    assert [made.text(tick) for tick in made.ticks] == ticks
    assert all(made.low <= value <= made.high for value in values)
    np.testing.assert_allclose([made.at(made.low), made.at(made.high), made.at(made.high + 1)], [0, 100, 100])


@given(st.lists(st.floats(0, 100) | st.none()))
def test_the_dots_of_a_column_span_its_width_in_their_order(values: list[float | None]):
    scale, known = extent(values), sorted(value for value in values if value is not None)
    places = [scale.at(value) for value in known]
    assert places == sorted(places) and all(0 <= place <= 100 for place in places)
    if known:
        assert (places[0], places[-1]) == ((0, 100) if known[0] < known[-1] else (50, 50))


def test_a_table_shows_the_scores_that_name_it_and_that_a_variant_has(tmp_path: Path):
    comparison = tables.read(write(Study(), tmp_path))
    found = views.score_table(comparison, "main")
    assert [(group["title"], group["columns"]) for group in found["groups"][:1]] == [
        ("IoU", [("iou_dataset", "all pixels"), ("iou_image_mean", "image mean")])]
    rest = {group["title"]: group for group in views.score_table(comparison, "rest")["groups"]}
    assert rest["HD95"]["lower"] and rest["HD95"]["unit"] == "pixels" and not rest["precision"]["lower"]
    assert rest["pixel AP"]["columns"] == [("pixel_ap", "")] and "overall accuracy" not in rest
    digits = [cell["digits"] for cell in views.score_table(comparison, "seen")["rows"][0]["cells"]]
    assert sorted(set(digits)) == [2, 3]
    without = comparison.scores.assign(mean=comparison.scores["mean"].where(comparison.scores["score"] != "pixel_ap"))
    found = views.score_table(dataclasses.replace(comparison, scores=without), "rest")
    assert "pixel AP" not in {group["title"] for group in found["groups"]}


def test_a_definition_is_given_once_for_all_datasets_whose_tables_show_it(tmp_path: Path):
    plain = tables.read(write(Study(), tmp_path))
    exclusive = tables.read(write(Study(dataset="other", task="multiclass"), tmp_path))
    alone, both = ([score["heading"] for score in views.definitions(of)] for of in ([plain], [plain, exclusive]))
    assert set(both) - set(alone) == {"IoU at own size", "Dice at own size", "overall accuracy"}
    assert len(set(both)) == len(both) and "missed, covered" in both


@pytest.mark.parametrize(("value", "said"), [(1184.2, "1,180"), (0.0123456, "0.0123"), (20.0, "20"), (-2.5, "−2.5"),
                                             (None, "–"), (1e-9, "1e−09")])
def test_numbers_of_any_scale_are_brief(value: float | None, said: str):
    assert brief(value) == said


def test_summary_is_read_as_written(tmp_path: Path):
    folder = write(Study(), tmp_path)
    assert tables.read(folder).summary == read_json(folder / "tables/summary.json")


def test_columns_of_scores_say_what_their_n_counts(tmp_path: Path):
    comparison = tables.read(write(Study(pictures=3, frequency=True, baseline=True), tmp_path))
    groups = {group["title"]: group["n"] for group in views.score_table(comparison, "main")["groups"]}
    assert groups["IoU"] == [{"test": "500 pictures", "val": "500 pictures"},
                             {"test": "1,000 to 1,003 pairs", "val": "1,000 to 1,003 pairs"}]  # without the baseline
    told = {score["heading"]: score["n_of"] for score in views.definitions(iter([comparison]))}
    assert told["IoU"] == "pictures (all pixels), pairs (image mean)" and told["missed"] == "objects"


def test_the_page_says_how_empty_masks_count_and_of_how_many_a_score_is(built: Any):
    text, _ = built(Study(pictures=3))
    assert "Empty masks: how iou counts empty masks." in text and "Empty masks: how hd95 counts empty masks." in text
    assert '<small data-split="test">n = 1,000 to 1,003 pairs</small>' in text
