"""One variant's weights and history. `python -m stages.train shapes munet-mse_dice-1234`

A training that was killed goes on from its last epoch and ends in the same bytes.
"""

import resource
import shutil
import sys

import torch
from filelock import FileLock

import stages
from seglib import records, tracking
from seglib.files import read_json, work_dir, write_json
from seglib.identity import identity
from seglib.training import history, weights
from seglib.training.device import choose_device, machine, prepare_process, turn
from seglib.training.loop import Training
from seglib.workspace import VariantFiles, live_variants


def main(dataset: str, variant: str) -> None:
    """Train VARIANT (<model>-<loss>-<seed>) on DATASET as conf/DATASET/VARIANT.json says."""
    files = VariantFiles(dataset, variant)
    config = read_json(files.conf)
    device = choose_device(config["train"]["device"])
    this = identity_of(files, device)
    checkpoint = work_dir() / "checkpoints" / this / "last.pt"

    live = live_variants(dataset)
    done = sum(other.timing.exists() and read_json(other.timing)["identity"] == identity_of(other, device)
               for other in live)
    title = f"{dataset} {variant} ({done + 1} of {len(live)})"
    prepare_process(config["train"]["threads"])
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    # One training of an identity at a time: a second one finds the checkpoint of the first.
    with FileLock(checkpoint.parent.with_suffix(".lock")), turn(device):
        training = Training(config, files.prepared, checkpoint_path=checkpoint)
        outcome = training.run(title=title, on_epoch=tracking.LiveRun(this, files))

    weights.save(files.weights, outcome.state, outcome.header)
    history.write(files.history, outcome.history)
    write_json(files.timing, {
        "identity": this, "images_per_second": outcome.images_per_second,
        "peak_memory_mb": peak_memory_mb(), **machine(device)})
    tracking.try_sync(records.leave_training(files))
    shutil.rmtree(checkpoint.parent, ignore_errors=True)


def identity_of(files: VariantFiles, device: torch.device) -> str:
    return identity(files.conf.read_bytes(), (files.prepared / "dataset.json").read_bytes(), device.type)


def peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


if __name__ == "__main__":
    stages.run(main)
