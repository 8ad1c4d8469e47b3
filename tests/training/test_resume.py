"""A training that was killed, at any epoch, ends in the same bytes; one that is extended, in those of a longer one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seglib.files import file_sha256, write_json
from seglib.training import history, weights
from seglib.training.loop import Training
from tests.conftest import ROOT

Make = Callable[..., dict[str, Any]]

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
RESNET_UNET = {"kind": "resnet_unet", "encoder": "resnet18", "weights": "none", "stem": "standard",
               "decoder": "matched"}


def train(config: dict[str, Any], dataset: Path, out: Path, on_epoch: Callable[[list], None] = lambda rows: None,
          **arguments: Any) -> tuple[str, str, str]:
    """The sha256 of weights, history and snapshots."""
    outcome = Training(config, dataset, **arguments).run(title="test", on_epoch=on_epoch)
    weights.save(out / "weights.safetensors", outcome.state, outcome.header)
    history.write(out / "history.csv", outcome.history)
    outcome.snapshots.write(out / "snapshots.npz")
    return tuple(file_sha256(out / name) for name in ("weights.safetensors", "history.csv", "snapshots.npz"))


@pytest.fixture(params=[*KINDS, "frozen"])
def config(request: pytest.FixtureRequest, variant_config: Make) -> dict[str, Any]:
    if request.param == "frozen":
        config = variant_config(epochs=3, **{key: value for key, value in FROZEN.items() if "freeze" not in key})
        return config | {"model": RESNET_UNET, "train": config["train"] | FROZEN}
    return variant_config(epochs=4, **KINDS[request.param])


def test_a_training_resumed_after_any_epoch_ends_in_the_same_bytes(config: dict[str, Any], prepared_shapes: Path,
                                                                   tmp_path: Path):
    """What a kill leaves is the checkpoint of the last epoch that ended: here, of every epoch."""
    checkpoint, kept = tmp_path / "last.pt", []

    def keep(rows: list) -> None:
        kept.append(tmp_path / f"{len(kept)}.pt")
        shutil.copyfile(checkpoint, kept[-1])

    whole = train(config, prepared_shapes, tmp_path / "whole", keep, checkpoint_path=checkpoint)
    assert train(config, prepared_shapes, tmp_path / "without") == whole
    for epoch, path in enumerate(kept, start=1):
        told = []
        assert Training(config, prepared_shapes, checkpoint_path=path).epoch == epoch
        assert train(config, prepared_shapes, tmp_path / "resumed", told.append, checkpoint_path=path) == whole
        assert [rows[-1]["epoch"] for rows in told] == list(range(epoch + 1, len(kept) + 1))


def test_a_killed_process_resumes_to_the_same_bytes(variant_config: Make, prepared_shapes: Path, tmp_path: Path):
    config = variant_config(epochs=12, **KINDS["plateau"])
    write_json(tmp_path / "config.json", config)
    program = (
        "import sys; from pathlib import Path; from seglib.files import read_json;"
        "from tests.training.test_resume import train;"
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


@pytest.mark.parametrize("kind", ["constant", "plateau", "early", "overfit"])
def test_an_extended_training_ends_in_the_bytes_of_a_longer_one(
        variant_config: Make, prepared_shapes: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture):
    short, long = (variant_config(epochs=epochs, **KINDS[kind]) for epochs in (2, 5))
    brief = train(short, prepared_shapes, tmp_path / "short", checkpoint_path=tmp_path / "last.pt")
    extended = train(long, prepared_shapes, tmp_path / "extended", checkpoint_path=tmp_path / "last.pt")
    assert "extends a training that was finished with epoch 2" in capsys.readouterr().out
    assert extended == train(long, prepared_shapes, tmp_path / "long")
    # What was longer is no beginning of what is shorter: that starts over.
    assert train(short, prepared_shapes, tmp_path / "again", checkpoint_path=tmp_path / "last.pt") == brief


def test_a_finished_training_is_not_trained_again(variant_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture):
    config, told = variant_config(**KINDS["constant"]), []
    first = train(config, prepared_shapes, tmp_path / "first", checkpoint_path=tmp_path / "last.pt")
    assert train(config, prepared_shapes, tmp_path / "second", told.append,
                 checkpoint_path=tmp_path / "last.pt") == first
    assert not told and "is trained already: nothing follows its epoch 2" in capsys.readouterr().out
