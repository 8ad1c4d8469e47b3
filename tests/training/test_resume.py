"""A training that was killed, at any step, ends in the same bytes; one that is extended, in those of a longer one."""

import dataclasses
import multiprocessing
import os
import random
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from seglib import models
from seglib.configs import ModelConfig, TrainConfig
from seglib.files import file_sha256
from seglib.training import checkpoint, history, weights
from seglib.training.checkpoint import Checkpoint
from seglib.training.loop import Trainer
from seglib.training.setup import Outcome
from tests.conftest import with_settings

Make = Callable[..., TrainConfig]
OUTPUTS = ("weights.safetensors", "history.csv", "snapshots.npz")

# Every optimiser, every schedule, and everything that a training remembers.
KINDS: dict[str, dict[str, Any]] = {
    "one_cycle": {"optimizer": "adamw", "schedule": "one_cycle"},
    "constant": {"optimizer": "sgd", "lr": 0.01, "schedule": "constant", "keep": "last", "clip": 0.1},
    "plateau": {"optimizer": "radam", "lr": 1.0, "schedule": "plateau", "warmup_epochs": 1.5, "plateau_patience": 1,
                "best_by": "dice", "snapshots": [1, 3]},
    "early": {"optimizer": "sgd", "lr": 0.1, "schedule": "plateau", "plateau_patience": 1, "patience": 2,
              "keep": "last", "best_by": "loss"},
    "cosine": {"optimizer": "adam", "schedule": "cosine", "warmup_epochs": 0.5, "flip": 0.5, "rotation": 20.0,
               "crop_min": 0.5, "color": 0.3},
    "overfit": {"optimizer": "adam", "schedule": "constant", "overfit": 5, "best_by": "pixel_accuracy"},
}
FROZEN = {"optimizer": "adam", "lr": 1e-3, "schedule": "constant", "batch_size": 2, "overfit": 4, "warmup_epochs": 0.5,
          "freeze_encoder_epochs": 2, "freeze_lr": 5e-3, "snapshots": [2]}
RESNET_UNET = ModelConfig(kind="resnet_unet", arguments={"encoder": "resnet18", "weights": "none", "stem": "standard",
                                                         "decoder": "matched", "norm": "batch"})


def train(config: TrainConfig, dataset: Path, out: Path, on_epoch: Callable[[list], None] = lambda rows: None,
          **arguments: Any) -> tuple[str, str, str]:
    """The sha256 of weights, history and snapshots."""
    return written(Trainer(config, dataset, **arguments).run(title="test", on_epoch=on_epoch), out)


def written(outcome: Outcome, out: Path) -> tuple[str, str, str]:
    weights.save(out / OUTPUTS[0], outcome.state, outcome.header)
    history.write(out / OUTPUTS[1], outcome.history)
    outcome.snapshots.write(out / OUTPUTS[2])
    return tuple(file_sha256(out / name) for name in OUTPUTS)


@pytest.fixture(params=[pytest.param(kind, marks=() if kind in ("one_cycle", "plateau") else pytest.mark.slow)
                        for kind in (*KINDS, "frozen")])
def config(request: pytest.FixtureRequest, training_config: Make) -> TrainConfig:
    if request.param == "frozen":
        config = training_config(epochs=3, **{key: value for key, value in FROZEN.items() if "freeze" not in key})
        return dataclasses.replace(with_settings(config, **FROZEN), model=RESNET_UNET)
    return training_config(epochs=4, **KINDS[request.param])


class Hoard(Checkpoint):
    """Keeps all that a training saves, after each of its steps and epochs."""

    def __init__(self, path: Path):
        super().__init__(path, every=0)
        self.kept: list[Path] = []

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.kept.append(self.path.with_name(f"{len(self.kept)}.pt"))
        shutil.copyfile(self.path, self.kept[-1])


def hoarded(config: TrainConfig, dataset: Path, out: Path, **history: Any
            ) -> tuple[tuple[str, str, str], list[Path]]:
    """What a training ends in, and a copy of its state after each step and epoch. history: attributes to set there."""
    out.mkdir()
    training = Trainer(config, dataset)
    training.checkpoint = hoard = Hoard(out / "last.pt")
    vars(training.history).update(history)
    return written(training.run(title="test"), out), hoard.kept


def test_a_training_resumed_anywhere_ends_in_the_same_bytes(config: TrainConfig, prepared_shapes: Path,
                                                            tmp_path: Path):
    """What a kill leaves is the state that was saved last: here, of two steps and an epoch."""
    whole, kept = hoarded(config, prepared_shapes, tmp_path / "whole")
    assert train(config, prepared_shapes, tmp_path / "without") == whole
    states = {path: checkpoint.load(path)["history"] for path in kept}
    assert [state["epoch"] for state in states.values()] == sorted(state["epoch"] for state in states.values())
    draw, epochs = random.Random(0), max(state["epoch"] for state in states.values())
    for between_epochs, count in ((True, 1), (False, 2)):
        at = [path for path, state in states.items() if (state["step"] == 0) == between_epochs]
        for path in draw.sample(at, count):
            told = []
            first = states[path]["epoch"] + between_epochs
            assert train(config, prepared_shapes, tmp_path / "resumed", told.append, checkpoint_path=path) == whole
            assert [rows[-1]["epoch"] for rows in told] == list(range(first, epochs + 1))
            assert all(row["epoch"] == rows[-1]["epoch"] for rows in told for row in rows)


def test_windows_that_wait_for_their_epochs_end_are_kept(training_config: Make, prepared_shapes: Path, tmp_path: Path):
    """A GPU's are read there and have no row before."""
    config = training_config(log_every=1)
    whole, kept = hoarded(config, prepared_shapes, tmp_path / "whole", _waits_for_device=False)
    assert train(config, prepared_shapes, tmp_path / "without") == whole
    states = {path: checkpoint.load(path)["history"] for path in kept}
    within = [path for path, state in states.items()
              if state["step"] and not any(row["epoch"] == state["epoch"] for row in state["rows"])]
    assert len(within) == 4
    for path in within:
        assert train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=path) == whole


def test_what_a_network_draws_is_the_same_after_a_kill(training_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch):
    """A dropout, which no model of seglib has: no generator's state is kept, because none is needed."""
    build = models.build

    def with_dropout(*arguments: Any, **options: Any) -> torch.nn.Module:
        network = build(*arguments, **options)
        network.register_forward_pre_hook(lambda module, x: functional.dropout(x[0], 0.2, training=module.training))
        return network

    config = training_config(epochs=2)
    plain = train(config, prepared_shapes, tmp_path / "plain")
    monkeypatch.setattr(models, "build", with_dropout)
    torch.manual_seed(1)
    whole, kept = hoarded(config, prepared_shapes, tmp_path / "whole")
    assert whole != plain
    for path in kept[:4]:
        torch.manual_seed(2)
        assert train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=path) == whole


def train_in_process(config: TrainConfig, dataset: Path, out: Path) -> None:
    torch.set_num_threads(1)
    train(config, dataset, out, checkpoint_path=out / "last.pt", checkpoint_every=0)
    (out / "done").touch()


def saved_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize(("most", "epochs"), [(3, 12), pytest.param(20, 60, marks=pytest.mark.slow)])
def test_a_process_killed_again_and_again_ends_in_the_same_bytes(training_config: Make, prepared_shapes: Path,
                                                                 tmp_path: Path, most: int, epochs: int):
    """Kills at random moments, by three signals. It saves after each step, so many of them hit a file half written."""
    config, draw = training_config(epochs=epochs, **KINDS["plateau"]), random.Random(7)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.test_resume"])
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
    kills, out = 0, tmp_path / "killed"
    while not (out / "done").exists():
        process = context.Process(target=train_in_process, args=(config, prepared_shapes, out))
        before = saved_at(out / "last.pt")
        process.start()
        if kills < most:
            while process.is_alive() and saved_at(out / "last.pt") == before:
                time.sleep(0.005)
            process.join(draw.uniform(0, 0.03))
            if process.is_alive():
                os.kill(process.pid, signals[kills % 3])
                kills += 1
        process.join()
    assert kills == most
    assert not list(out.glob(".*"))
    assert tuple(file_sha256(out / name) for name in OUTPUTS) == train(config, prepared_shapes, tmp_path / "whole")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(training_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture):
    """Cut short, overwritten, or one bit of a weight the other way, which torch.load does not notice."""
    path, config = tmp_path / "last.pt", training_config()
    whole = train(config, prepared_shapes, tmp_path / "whole", checkpoint_path=path, checkpoint_every=0)
    good, before = path.read_bytes(), checkpoint.before(path).read_bytes()
    with zipfile.ZipFile(path) as file:
        tensors = [record for record in file.infolist() if "/data/" in record.filename]
        weight = file.read(max(tensors, key=lambda record: record.file_size))
    flipped = bytearray(good)
    flipped[good.index(weight) + len(weight) // 2] ^= 16
    (tmp_path / "flipped.pt").write_bytes(flipped)
    torch.load(tmp_path / "flipped.pt", weights_only=True)
    for damaged in (good[:len(good) // 2], b"half of a", b"", bytes(flipped)):
        path.write_bytes(damaged)
        checkpoint.before(path).write_bytes(before)
        assert train(config, prepared_shapes, tmp_path / "resumed", checkpoint_path=path) == whole
        said = capsys.readouterr().out
        assert f"{path} is damaged and is passed over" in said and "goes on after step 3 of 3 of epoch 2" in said
        assert checkpoint.before(path).read_bytes() == before  # what is damaged did not push it out
    path.write_bytes(b"")
    checkpoint.before(path).write_bytes(b"")
    assert Trainer(config, prepared_shapes, checkpoint_path=path).epoch == 0


def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_damaged(training_config: Make, prepared_shapes: Path,
                                                                       tmp_path: Path):
    """Its disk may do better the next time: to start over would put it away."""
    path = tmp_path / "last.pt"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        Trainer(training_config(), prepared_shapes, checkpoint_path=path)


@pytest.mark.parametrize("kind", ["constant", *(pytest.param(kind, marks=pytest.mark.slow)
                                                for kind in ("plateau", "early", "overfit"))])
def test_an_extended_training_ends_in_the_bytes_of_a_longer_one(
        training_config: Make, prepared_shapes: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture):
    short, long = (training_config(epochs=epochs, **KINDS[kind]) for epochs in (2, 5))
    brief = train(short, prepared_shapes, tmp_path / "short", checkpoint_path=tmp_path / "last.pt")
    extended = train(long, prepared_shapes, tmp_path / "extended", checkpoint_path=tmp_path / "last.pt")
    assert "extends a training that was finished with epoch 2" in capsys.readouterr().out
    assert extended == train(long, prepared_shapes, tmp_path / "long")
    # What was longer is no beginning of what is shorter: that starts over, and leaves it as it is.
    capsys.readouterr()
    assert train(short, prepared_shapes, tmp_path / "again", checkpoint_path=tmp_path / "last.pt") == brief
    assert "epoch 1/2" in capsys.readouterr().out
    assert train(long, prepared_shapes, tmp_path / "still", checkpoint_path=tmp_path / "last.pt") == extended
    assert "already trained for" in capsys.readouterr().out


def test_a_finished_training_is_not_trained_again(training_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture):
    config, told = training_config(**KINDS["constant"]), []
    first = train(config, prepared_shapes, tmp_path / "first", checkpoint_path=tmp_path / "last.pt")
    assert train(config, prepared_shapes, tmp_path / "second", told.append,
                 checkpoint_path=tmp_path / "last.pt") == first
    assert not told and "already trained for 2 epochs" in capsys.readouterr().out


@pytest.mark.parametrize(("changed", "said"), [
    ("threads", "threads 1, now 2"), ("precision", "precision fp32, now bf16"), ("torch", "torch 0.1, now ")])
def test_a_checkpoint_of_other_conditions_is_kept_and_the_training_starts_anew(
        training_config: Make, prepared_shapes: Path, tmp_path: Path, changed: str, said: str,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """It would end in the bytes of neither training."""
    config = training_config(precision="fp32", threads=1, **KINDS["constant"])
    first, other = with_settings(config, epochs=1), config
    if changed == "torch":
        with monkeypatch.context() as patch:
            patch.setattr(torch, "__version__", "0.1")
            train(first, prepared_shapes, tmp_path / "first", checkpoint_path=tmp_path / "last.pt")
    else:
        other = with_settings(config, **{changed: {"threads": 2, "precision": "bf16"}[changed]})
        train(first, prepared_shapes, tmp_path / "first", checkpoint_path=tmp_path / "last.pt")
    before = (tmp_path / "last.pt").read_bytes()
    capsys.readouterr()
    anew = train(other, prepared_shapes, tmp_path / "anew", checkpoint_path=tmp_path / "last.pt")
    text = capsys.readouterr().out
    assert "starts anew: its checkpoint was made under other conditions" in text and said in text
    assert (tmp_path / "last.pt").read_bytes() == before
    assert anew == train(other, prepared_shapes, tmp_path / "alone")
    # Each training goes on from its own state.
    assert train(other, prepared_shapes, tmp_path / "again", checkpoint_path=tmp_path / "last.pt") == anew
    assert "already trained for 2 epochs" in capsys.readouterr().out
