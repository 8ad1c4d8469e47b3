"""Whole sets of trainings on a GPU, from the start of a process to the last checkpoint.

    python -m benchmarks.training --device cuda --long    # minutes

Each set runs in a process of its own, as a stage does: the time includes Python's start, imports, the data's way to the
GPU, the capture of all graphs, validation, and a checkpoint after each epoch.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import inputs, kernels
from benchmarks.harness import heading, python, table
from benchmarks.jobs import train_all
from benchmarks.speeds import name_of
from seglib.configs import TrainConfig
from seglib.datasets.store import Split
from seglib.training.loop import Trainer

# default, course: how many pictures the default study and the course's recipe train on. The course has 10,000, and a
# tenth of them is val. epochs: None for those of the recipe. seeds: how many each of the three losses has in the set
# "study" and in the set "many".
SIZES = {
    "full": {"default": 2340, "course": 9000, "epochs": None, "seeds": (5, 12)},
    "tiny": {"default": 32, "course": 32, "epochs": 1, "seeds": (1, 2)},
}


def configs_of(name: str, size: str, device: str) -> list[TrainConfig]:
    """The trainings of a set."""
    few, many = SIZES[size]["seeds"]
    options = {"device": device} | ({} if SIZES[size]["epochs"] is None else {"epochs": SIZES[size]["epochs"]})
    course = options if size == "full" else options | {"depth": 4, "width": 8}
    default = options if size == "full" else options | {"width": 8}
    match name:
        case "study":
            return inputs.default_study(seeds=few, **default)
        case "many":
            return inputs.default_study(seeds=many, **default)
        case "course, fp32" | "course, tf32":
            return [inputs.course(**course, precision=name.removeprefix("course, "))]
    raise AssertionError(name)


def end_to_end(folder: Path, device: torch.device, size: str) -> None:
    """Run all sets and print what each took."""
    few, many = (3 * seeds for seeds in SIZES[size]["seeds"])
    pictures = SIZES[size]
    small, large = (inputs.write_dataset(folder / name, train=pictures[name], val=max(2, pictures[name] // 9))
                    for name in ("default", "course"))
    sets = {"study": (f"the default study, {few} trainings", small, 15.0),
            "many": (f"the default study's losses and recipe, {many} trainings, {pictures['course']:,} pictures", large,
                     150.0)}
    for precision in ("fp32", "tf32") if device.type == "cuda" else ("fp32",):
        sets[f"course, {precision}"] = (
            f"mUnet 16 by the course's recipe, {precision}, {pictures['course']:,} pictures", large, 90.0)
    heading("From the start of a process to the last checkpoint", f"{name_of(device)}, PyTorch {torch.__version__}.")
    rows = []
    for name, (title, dataset, goal) in sets.items():
        seconds = in_own_process(name, dataset, folder / "checkpoints" / name, size, device)
        learnt_from = len(Split.open(dataset, "train")) * sum(
            config.train.epochs for config in configs_of(name, size, device.type))
        rows.append([title, f"{seconds:.1f} s", f"{learnt_from / seconds:,.0f}",
                     f"{goal:.0f} s: {'reached' if seconds <= goal else 'missed'}"])
    table(["trainings", "last checkpoint after", "images/s, with all that is counted", "goal"], rows)
    if device.type == "cuda":
        what_bounds([name for name in sets if name.startswith("course")], large)


def in_own_process(name: str, dataset: Path, out: Path, size: str, device: torch.device) -> float:
    """The seconds from before the process starts to after its last checkpoint."""
    out.mkdir(parents=True)
    run = python("from benchmarks import end_to_end\n"
                 f"end_to_end.train_set({name!r}, {str(dataset)!r}, {str(out)!r}, {size!r}, {device.type!r}, "
                 f"since={time.time()!r})")
    return json.loads(run.output.splitlines()[-1])


def train_set(name: str, dataset: str, out: str, size: str, device: str, *, since: float) -> None:
    """In the process of a set: train it. The last line printed holds the seconds since `since`, of time.time()."""
    train_all(configs_of(name, size, device), Path(dataset), checkpoints=Path(out))
    print(json.dumps(time.time() - since))


def what_bounds(names: Sequence[str], dataset: Path) -> None:
    """Where the time of a captured step goes, by kinds of kernels."""
    heading("What bounds mUnet 16 by the course's recipe", "The share of all kernels' time in a captured step.")
    rows, groups = [], [*kernels.GROUPS, "others"]
    kernels.wake()
    for name in names:
        training = Trainer(configs_of(name, "full", "cuda")[0], dataset)
        steps = training.steps(training.progress(""))
        for _ in range(5):
            next(steps)
        found = kernels.recorded(lambda steps=steps: next(steps), 20)
        shares = found.shares()
        rows.append([name.removeprefix("course, "), f"{found.per_step:.0f}", f"{found.busy:.0%}",
                     *(f"{shares[group]:.0%}" for group in groups)])
    table(["precision", "kernels a step", "a kernel running", *groups], rows)

