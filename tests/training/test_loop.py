"""The training loop: it learns, repeats to the byte, resumes to the byte, says when it fails."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seglib.files import file_sha256, write_json
from seglib.training import history, weights
from seglib.training.batches import epoch_order
from seglib.training.loop import Training
from tests.conftest import ROOT

Make = Callable[..., dict[str, Any]]


def train(config: dict[str, Any], dataset: Path, out: Path, **arguments: Any) -> tuple[str, str]:
    """The sha256 of weights and history."""
    outcome = Training(config, dataset, **arguments).run(title="test")
    weights.save(out / "weights.safetensors", outcome.state, outcome.header)
    history.write(out / "history.csv", outcome.history)
    return file_sha256(out / "weights.safetensors"), file_sha256(out / "history.csv")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_configuration_gives_the_same_bytes(variant_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                     precision: str):
    config = variant_config(precision=precision, threads=2)
    torch.manual_seed(1)
    first = train(config, prepared_shapes, tmp_path / "first")
    torch.manual_seed(2)  # the process's own random state must not matter
    assert train(config, prepared_shapes, tmp_path / "second") == first
    assert train(config | {"seed": 6}, prepared_shapes, tmp_path / "third")[0] != first[0]


@pytest.mark.parametrize("overrides", [{"optimizer": "adamw", "schedule": "one_cycle", "keep": "best"},
                                       {"optimizer": "sgd", "momentum": 0.9, "schedule": "constant", "keep": "last"}])
def test_a_resumed_training_ends_in_the_same_bytes(variant_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                   overrides: dict):
    config = variant_config(epochs=3, log_every=4, **overrides)  # windows that cross the ends of epochs
    undisturbed = train(config, prepared_shapes, tmp_path / "undisturbed")
    checkpoint = tmp_path / "last.pt"
    told = []

    class Killed(Exception):
        pass

    def die_after_two_epochs(rows: list) -> None:
        told.append(rows)
        if len(told) == 2:
            raise Killed

    with pytest.raises(Killed):
        Training(config, prepared_shapes, checkpoint_path=checkpoint).run(title="test", on_epoch=die_after_two_epochs)
    resumed = Training(config, prepared_shapes, checkpoint_path=checkpoint)
    assert resumed.epoch == 2
    assert train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=checkpoint) == undisturbed
    assert [rows[-1]["epoch"] for rows in told] == [1, 2]


def test_a_killed_process_resumes_to_the_same_bytes(variant_config: Make, prepared_shapes: Path, tmp_path: Path):
    config = variant_config(epochs=12)
    write_json(tmp_path / "config.json", config)
    program = (
        "import sys; from pathlib import Path; from seglib.files import read_json;"
        "from tests.training.test_loop import train;"
        f"print(train(read_json(Path({str(tmp_path / 'config.json')!r})), Path({str(prepared_shapes)!r}),"
        "Path(sys.argv[1]), checkpoint_path=Path(sys.argv[1]) / 'last.pt'))")

    def start(out: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", program, str(tmp_path / out)], cwd=ROOT, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    expected = start("whole").communicate()[0]
    victim = start("killed")
    while not (tmp_path / "killed/last.pt").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert not (tmp_path / "killed/weights.safetensors").exists()
    assert start("killed").communicate()[0].splitlines()[-1] == expected.splitlines()[-1]


def test_a_damaged_checkpoint_starts_over(variant_config: Make, prepared_shapes: Path, tmp_path: Path):
    (tmp_path / "last.pt").write_bytes(b"half of a")
    assert Training(variant_config(), prepared_shapes, checkpoint_path=tmp_path / "last.pt").epoch == 0


@pytest.mark.parametrize("loss", ["mse", "dice", "mse_dice"])
def test_it_learns(variant_config: Make, prepared_shapes: Path, loss: str):
    config = variant_config(loss, epochs=12, log_every=1, batch_size=8)
    rows = Training(config, prepared_shapes).run(title="test").history
    epochs = [row["loss"] for row in rows if (row["split"], row["span"]) == ("train", "epoch")]
    assert epochs[-1] < 0.9 * epochs[0]
    terms = list(config["loss"]["terms"])
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row[f"{term}_weighted"] for term in terms))
        for term, weight in config["loss"]["terms"].items():
            assert row[f"{term}_weighted"] == pytest.approx(weight * row[term])
        assert (row[f"{terms[0]}_grad_norm"] is not None) == (row["span"] == "window")
    assert len([row for row in rows if row["span"] == "window"]) == rows[-1]["iteration"]


def test_the_sources_own_training_runs(variant_config: Make, prepared_shapes: Path):
    """Raw pixels, label-valued targets, raw outputs, plain SGD, the published network."""
    config = variant_config(loss="mse", pixels="raw", targets="label", output="raw", optimizer="sgd", momentum=0.9,
                            schedule="constant", lr=1e-5, precision="fp32", epochs=3)
    config["model"] |= {"upsampling": "dlstudio"}
    outcome = Training(config, prepared_shapes).run(title="test")
    epochs = [row["loss"] for row in outcome.history if (row["split"], row["span"]) == ("train", "epoch")]
    assert epochs[0] > 50  # label values: squares of up to 250
    assert epochs[-1] < epochs[0]


def test_a_loss_that_is_no_number_stops_the_training(variant_config: Make, prepared_shapes: Path):
    config = variant_config(loss="mse", output="raw", optimizer="sgd", momentum=0.9, lr=1e12, schedule="constant",
                            precision="fp32")
    with pytest.raises(ValueError, match=r"the train loss is (nan|inf) at iteration .*lr 1e\+12; mse .*lower train.lr"):
        Training(config, prepared_shapes).run(title="test")


def test_best_keeps_the_best_epoch_and_last_the_last(variant_config: Make, prepared_shapes: Path):
    states = {}
    for keep in ("best", "last"):
        training = Training(variant_config(epochs=4, keep=keep, lr=0.05), prepared_shapes)
        states[keep] = training.run(title="test").state
        scores = [row["iou_score"] for row in training.history if row["split"] == "val"]
    same = all(torch.equal(states["best"][name], states["last"][name]) for name in states["best"])
    assert same == (scores[-1] == max(scores))


def test_every_epoch_sees_every_picture_once_in_its_own_order():
    orders = [epoch_order(100, seed=1, epoch=epoch).tolist() for epoch in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(100))
    assert orders[0] != orders[1]
    assert epoch_order(100, seed=1, epoch=1).tolist() == orders[0]
