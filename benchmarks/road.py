"""`dvc repro` with nothing to do, beside DVC alone on stages of `true`, in several layouts; and `resolve` alone.

    python -m benchmarks.road       # 25 minutes
    python -m benchmarks.road 60    # one size: 5 minutes

Of our stages `resolve` runs, as it does every time, with a command that does nothing: what its own work takes is
measured apart. A peer is a pipeline of `true` stages. Each layout and its two peers run one after another, and a ratio
is of one such turn. Processor time is shown beside time, because it suffers less from what else a machine does.
"""

import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks import harness
from benchmarks.harness import Ratio, heading, table
from benchmarks.pipelines import Layout, Repository, Repro, ours, params_with, plain

MODELS = ("munet", "munet_aspp")
LOSSES = ("mse", "dice", "mse_dice", "mse_dice20", "mse_dice400", "bce", "bce_dice", "focal", "tversky", "iou")
ONE_LOCK = "per training, files, one lock"
FILES = "per training, files"
FOLDERS = "per training, folders (dvc.yaml)"
LEAN = "per training, folders, data by its hash"
VARIANTS = "per variant, folders, data by its hash"
LAYOUTS = {
    ONE_LOCK: Layout(),
    FILES: Layout(own_lock=True),
    FOLDERS: Layout(folders=True, own_lock=True),
    LEAN: Layout(folders=True, arrays=False, own_lock=True),
    VARIANTS: Layout(folders=True, arrays=False, own_lock=True, per_variant=True),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How many trainings there are, and what is asked of them.

    rounds: how often each layout is timed. goals: at most so many times the time of as many stages with as many
    dependencies and outputs, and of as many stages with one of each. layouts: those that are built at this size.
    """

    models: int
    losses: int
    seeds: int
    rounds: int
    goals: str = "none"
    layouts: tuple[str, ...] = tuple(LAYOUTS)

    @property
    def trainings(self) -> int:
        return self.models * self.losses * self.seeds


SIZES = (
    Size(models=2, losses=10, seeds=3, rounds=9, goals="1.3× and 1.8×"),
    Size(models=10, losses=10, seeds=3, rounds=3),
    Size(models=10, losses=20, seeds=5, rounds=1, goals="1.5× and 2.5×", layouts=(FOLDERS, VARIANTS)),
)


@dataclasses.dataclass(frozen=True)
class Turn:
    """A layout and its peers, one after another."""

    ours: Repro
    same: Repro
    few: Repro


def compare(folder: Path, size: Size) -> None:
    """Print how long `dvc repro` with nothing to do takes in each layout of this size, beside its peers."""
    peers: dict[tuple[tuple[int, int], ...], Repository] = {}
    trios: dict[str, tuple[Repository, Repository, Repository]] = {}
    for name in size.layouts:
        own = ours(folder / f"ours{len(trios)}", LAYOUTS[name], size.models, size.losses, size.seeds)
        same = tuple(sorted(own.stages()))
        few = ((1, 1),) * len(same)
        for stages in (same, few):
            if stages not in peers:
                peers[stages] = plain(folder / f"plain{len(peers)}", stages)
        trios[name] = own, peers[same], peers[few]
    turns: dict[str, list[Turn]] = {name: [] for name in trios}
    for _ in range(size.rounds):
        for name, trio in trios.items():
            turns[name].append(Turn(*(repository.repro() for repository in trio)))

    heading(f"`dvc repro` with nothing to do, {size.trainings:,} trainings (goals: {size.goals})")
    table(["layout", "stages", "dependencies and outputs", "time", "peak MB", "dvc.lock kB", "times as many entries",
           "times one of each", "processor: times as many entries", "processor: times one of each"],
          [_row(name, trios[name][0], turns[name]) for name in trios])


def _row(name: str, repository: Repository, turns: list[Turn]) -> list[object]:
    def times(peer: Callable[[Turn], Repro], what: str) -> Ratio:
        return Ratio(tuple(getattr(turn.ours, what) / getattr(peer(turn), what) for turn in turns))

    stages = repository.stages()
    peers: list[Callable[[Turn], Repro]] = [lambda turn: turn.same, lambda turn: turn.few]
    return [name, len(stages), sum(map(sum, stages)), f"{statistics.median(turn.ours.seconds for turn in turns):.2f} s",
            f"{statistics.median(turn.ours.peak_mb for turn in turns):.0f}", f"{repository.lock_bytes / 1e3:,.0f}",
            *(times(peer, what) for what in ("seconds", "processor") for peer in peers)]


def resolve(folder: Path, *, rounds: int = 3) -> None:
    """Print how long `resolve` takes, in a process of its own with its imports."""
    heading("`resolve`, alone (goal: 2 s for 60 trainings)")
    rows = []
    for size in SIZES:
        place = folder / f"resolve{size.trainings}"
        place.mkdir()
        with (place / "params.yaml").open("w") as file:
            YAML(pure=True).dump(params_with(MODELS, LOSSES, size.trainings // len(MODELS) // len(LOSSES)), file)
        runs = [harness.run([sys.executable, "-m", "stages.resolve"], cwd=place,
                            env={"PYTHONPATH": str(harness.ROOT), "DVC_ROOT": str(place)}) for _ in range(rounds)]
        rows.append([f"{size.trainings:,}", f"{statistics.median(run.seconds for run in runs):.2f} s",
                     f"{max(run.peak_mb for run in runs):.0f}"])
    table(["trainings", "time", "peak MB"], rows)


# Seconds of a first fingerprint, which parses the files, and of another one of the same files.
FINGERPRINTS = """
import time

start = time.perf_counter()
from seglib.pipeline.fingerprint import Fingerprinter

fingerprinter = Fingerprinter()
fingerprinter.of(["stages.train"])
first = time.perf_counter() - start
for count in range(100):
    fingerprinter.of(["stages.train"])
print(first, (time.perf_counter() - start - first) / 100)
"""


def fingerprints(*, rounds: int = 5) -> None:
    """Print how long the fingerprint of a training takes, with the import of what computes it."""
    outputs = [harness.python(FINGERPRINTS).output.split() for _ in range(rounds)]
    first, more = (1e3 * statistics.median(map(float, times)) for times in zip(*outputs, strict=True))
    heading("The fingerprint of a training (goal: well under 0.5 s in a fresh process)")
    table(["the first of a process", "each other"], [[f"{first:.0f} ms", f"{more:.1f} ms"]])


def main() -> None:
    """Everything, or the sizes (numbers of trainings) that the command names."""
    asked = [int(size) for size in sys.argv[1:] if size.isdigit()]
    with tempfile.TemporaryDirectory() as temporary:
        fingerprints()
        resolve(Path(temporary))
        for size in SIZES:
            if not asked or size.trainings in asked:
                folder = Path(temporary, str(size.trainings))
                folder.mkdir()
                compare(folder, size)


if __name__ == "__main__":
    main()
