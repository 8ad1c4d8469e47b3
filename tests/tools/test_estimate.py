"""Estimates: arithmetic against published counts and closed forms, pictures against their sources, sums by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seglib import params, resolve
from seglib.configs import ModelConfig, TrainConfig
from seglib.cores import physical_cores
from seglib.tools import estimate, studies
from seglib.tools.estimate import Cost, Pictures, cost_of, pictures_of
from seglib.tools.units import duration, size
from tests.conftest import ROOT, with_settings, write_config

RESNET = ModelConfig(kind="resnet_unet", arguments={"encoder": "resnet18", "weights": "imagenet", "stem": "standard",
                                                    "decoder": "matched", "norm": "batch"})


def test_the_arithmetic_of_dlstudios_network_is_what_was_counted_elsewhere():
    dlstudio = params.load(ROOT / "params.yaml").models["munet_dlstudio"].resolved()
    cost = cost_of(dlstudio, 5, (64, 64))
    # DLStudio's own code takes 3.36 and 10.06 GFLOP per picture and has 6,999,109 parameters and some buffers.
    assert cost.forward / 1e9 == pytest.approx(3.36, rel=0.01) and cost.step / 1e9 == pytest.approx(10.06, rel=0.01)
    assert cost.bytes == pytest.approx(4 * 6_999_109, rel=0.01)


def test_arithmetic_grows_with_pixels_and_a_frozen_encoder_saves_some_of_it():
    small, large = cost_of(RESNET, 8, (64, 64)), cost_of(RESNET, 8, (128, 128))  # and fetches no ImageNet weights
    assert large.step == pytest.approx(4 * small.step) and large.bytes == small.bytes
    assert small.forward < small.frozen_step < small.step < 3 * small.forward


def settings_of(raw: dict[str, Any], **run: list[Any]) -> params.Params:
    raw["run"] |= run
    return params.parse(raw)


def test_pictures_by_the_settings_and_by_what_is_published(raw_params: dict[str, Any], tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings = settings_of(raw_params, datasets=["shapes", "pets", "stanford", "coco"])
    counts = {name: pictures_of(settings, name) for name in settings.run.datasets}
    assert (counts["shapes"].train, counts["shapes"].val, counts["shapes"].test) == (2340, 260, 500)
    assert counts["pets"].train + counts["pets"].val == 3680 and counts["pets"].test == 3669
    assert sum((counts["stanford"].train, counts["stanford"].val, counts["stanford"].test)) == 715
    assert [of.source.startswith("unknown") for of in counts.values()] == [False, False, False, True]
    assert "mirror may hold fewer" not in counts["pets"].source
    raw_params["fetch"]["mirror"] = "some/where"
    assert "mirror may hold fewer" in pictures_of(params.parse(raw_params), "pets").source


def test_pictures_by_the_prepared_dataset_where_it_was_made_from_these_settings(
        raw_params: dict[str, Any], prepared_shapes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    settings = settings_of(raw_params, datasets=["shapes"])
    (tmp_path / "data/prepared").mkdir(parents=True)
    (tmp_path / "data/prepared/shapes").symlink_to(prepared_shapes)
    assert pictures_of(settings, "shapes").train == 2340  # nothing says what those are
    write_config(Path("conf/shapes.prepare.json"), resolve.prepare_config(settings, "shapes").content())
    write_config(Path("conf/shapes.fetch.json"), resolve.fetch_config(settings, "shapes").content())
    found = pictures_of(settings, "shapes")
    assert (found.train, found.val, found.test) == (38, 10, 12) and found.source == "data/prepared/shapes/contents.json"
    raw_params["datasets"]["shapes"]["train_images"] = 100
    assert pictures_of(params.parse(raw_params), "shapes").train == 90


@pytest.mark.parametrize(("train", "expected"), [
    ({"epochs": 3}, 3 * (100 * 30 + 10 * 10)), ({"epochs": 5, "freeze_encoder_epochs": 2},
                                                 3 * 100 * 30 + 2 * 100 * 20 + 5 * 10 * 10),
    ({"epochs": 4, "overfit": 8}, 4 * (8 * 30 + 8 * 10)), ({"epochs": 1, "overfit": 500}, 100 * 30 + 100 * 10)])
def test_a_trainings_arithmetic(training_config: Callable[..., TrainConfig], train: dict[str, Any], expected: float):
    settings = with_settings(training_config(), **train).train
    cost, pictures = Cost(step=30, frozen_step=20, forward=10, bytes=0), Pictures(train=100, val=10, test=9, source="")
    assert estimate._train_flop(settings, pictures, cost) == expected


def test_a_study_is_the_sum_of_its_trainings(raw_params: dict[str, Any], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    raw_params["datasets"]["shapes"] |= {"train_images": 100, "test_images": 20}
    raw_params["models"]["munet"]["width"] = 16
    raw_params["train"] |= {"epochs": 2, "threads": 1, "device": "cpu", "precision": "fp32"}
    found = estimate.estimate(settings_of(raw_params, models=["munet"], losses=["mse", "dice"], seeds=[1, 2, 3]))
    row, = found.rows
    assert row.trainings == 6 and row.pictures.train == 90 and not found.stops_early
    counting = estimate.COUNT_PICTURE + estimate.COUNT_PIXEL * 64 * 64 * 5
    assert found.predict == pytest.approx(estimate.START + 3 * (10 + 20) * counting)  # of three baselines
    assert row.at_once == 6 / math.ceil(6 / min(physical_cores(), 6))
    trainings = 6 * (estimate.START + (row.train_seconds - estimate.START) / row.at_once + row.evaluate_seconds)
    assert found.seconds == pytest.approx(trainings + found.predict + estimate.COMPARE)
    trained = 2 * (90 * row.flop + 10 * row.flop / 3) / row.rate
    assert row.train_seconds == pytest.approx(estimate.START + trained, rel=0.05)
    assert 1e8 < row.rate < 1e13
    # Prepared arrays twice; of each training and each baseline, predictions twice; weights four times.
    weights = cost_of(ModelConfig.of(raw_params["models"]["munet"]), 5, (64, 64)).bytes
    assert found.disk == 2 * 120 * 64 * 64 * 4 + (6 + 3) * 2 * 20 * 64 * 64 + 6 * 4 * weights
    text = str(found)
    assert text.startswith(f"about {duration(found.seconds)} on this machine (CPU, fp32, 1 thread), and ")
    assert "shapes munet" in text and "pictures of shapes: params.yaml" in text


@pytest.mark.parametrize(("asked", "threads", "count", "expected"), [
    (None, 1, 8, 4), (None, 1, 3, 3), (None, 1, 6, 3), (None, 2, 3, 1.5), (None, None, 8, 1), (1, 1, 8, 1),
    (2, 1, 8, 2), (9, 1, 8, 4), (None, 3, 8, 1)])
def test_how_many_trainings_run_at_once_on_four_cores(
        training_config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, asked: int | None,
        threads: int | None, count: int, expected: float):
    monkeypatch.setattr(estimate, "physical_cores", lambda: 4)
    monkeypatch.setattr("seglib.training.together.physical_cores", lambda: 4)
    settings = with_settings(training_config(), threads=threads, device="cpu").train
    assert estimate._at_once(settings, asked, count) == expected


def test_what_may_stop_early_is_said_and_states_that_are_kept_are_counted(raw_params: dict[str, Any], tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    raw_params["train"] |= {"threads": 1, "device": "cpu", "precision": "fp32"}
    raw_params["models"]["munet"]["width"] = 16
    without = estimate.estimate(settings_of(raw_params, losses=["mse"], seeds=[1]))
    raw_params["train"] |= {"schedule": "plateau", "patience": 3, "optimizer": "sgd", "keep": "best"}
    found = estimate.estimate(settings_of(raw_params, losses=["mse"], seeds=[1]))
    assert " at most on this machine" in str(found) and " at most" not in str(without)
    weights = cost_of(ModelConfig.of(raw_params["models"]["munet"]), 5, (64, 64)).bytes
    assert found.disk - without.disk == 3 * weights  # the weights, their momentum, the best


def test_a_dataset_of_unknown_size_is_said_to_be_one(raw_params: dict[str, Any], tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    raw_params["datasets"]["coco"]["image_size"] = 32
    found = estimate.estimate(settings_of(raw_params, datasets=["coco"], models=["munet"], losses=["mse"], seeds=[1]))
    assert "pictures of coco: unknown before they are prepared; this is for 1,000" in str(found)


def test_the_committed_studies_can_all_be_estimated_from(monkeypatch: pytest.MonkeyPatch):
    """Their networks can be counted; measuring them all would take minutes."""
    monkeypatch.chdir(ROOT)
    seen = set()
    for name in params.load(ROOT / "params.yaml").studies:
        settings = studies.settings(studies.changes_of(name))
        for model in settings.run.models:
            seen.add(json.dumps(settings.models[model].resolved().content()))
    for model in seen:
        cost = cost_of(ModelConfig.of(json.loads(model)), 3, (64, 64))
        assert cost.step > 2 * cost.forward
        assert math.isfinite(cost.bytes)


@pytest.mark.parametrize(("seconds", "text"), [(4, "4 s"), (119, "119 s"), (120, "2.0 min"), (3600, "60 min"),
                                               (7200, "2.0 h"), (86400, "24 h"), (20 * 86400, "20 days")])
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 kB"), (1500, "2 kB"), (2.5e6, "2.5 MB"), (1.234e10, "12.3 GB")])
def test_sizes(number: float, text: str):
    assert size(number) == text
