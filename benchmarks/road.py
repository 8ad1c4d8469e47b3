"""`dvc repro` with nothing to do, beside DVC alone on stages of `true`.

    python -m benchmarks.road    # two minutes

A fresh clone with this working tree's changes, whose `run` picks 60 variants. Its conf/ is resolved, every other output
is a placeholder that `dvc commit` has put into dvc.lock: a run with nothing to do looks at names, sizes and times of
files, never into them. The peers are repositories of `true` stages, every dependency and output a file of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks import harness
from benchmarks.harness import heading, interleaved, table

ROUNDS = 5
MODELS = ("munet", "munet_aspp")
LOSSES = ("mse", "dice", "mse_dice", "mse_dice20", "mse_dice400", "bce", "bce_dice", "focal", "tversky", "iou")
PREPARED = ("dataset.json", "rejected.csv", *(f"{split}/{name}" for split in ("train", "val", "test")
                                              for name in ("images.npy", "masks.npy", "index.parquet")))
UP_TO_DATE = "Data and pipelines are up to date."


class Repository:
    """A repository with a pipeline, in which DVC keeps all it has to itself."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "true",
                    "DVC_SITE_CACHE_DIR": str(folder.with_name(f"{folder.name}.site")),
                    "DVC_GLOBAL_CONFIG_DIR": str(folder.with_name(f"{folder.name}.config"))}

    def call(self, *command: str | Path) -> None:
        """Raises RuntimeError, with what the command said, where it fails."""
        done = subprocess.run(command, cwd=self.folder, env=os.environ | self.env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")

    def repro(self) -> harness.Run:
        """`dvc repro` with nothing to do. Raises RuntimeError where there was something."""
        run = harness.run([sys.executable, "-m", "dvc", "repro"], cwd=self.folder, env=self.env)
        if UP_TO_DATE not in run.output:
            raise RuntimeError(f"expected nothing to do in {self.folder}, but dvc repro said:\n{run.output[-2000:]}")
        return run

    def commit(self) -> None:
        """Take what is there for the outputs of all stages."""
        self.call("dvc", "commit", "--quiet", "--force")

    def stages(self) -> list[tuple[int, int]]:
        """Of each stage, how many dependencies and outputs dvc.lock holds."""
        stages = _yaml(self.folder / "dvc.lock")["stages"].values()
        return [(len(stage.get("deps", ())), len(stage["outs"])) for stage in stages]


def clone(folder: Path) -> Repository:
    """The repository as its working tree is."""
    subprocess.run(["git", "clone", "--quiet", harness.ROOT, folder], check=True)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=harness.ROOT,
                            check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = harness.ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.exists():
            shutil.copy2(source, target)
        else:
            target.unlink(missing_ok=True)
    return Repository(folder)


def pick(repository: Repository, *, models: int, losses: int, seeds: int) -> None:
    """Let `run` pick so many of each, and leave nothing to do."""
    path = repository.folder / "params.yaml"
    params = _yaml(path)
    params["run"] = {"datasets": ["shapes"], "models": list(MODELS[:models]), "losses": list(LOSSES[:losses]),
                     "predictors": [], "seeds": list(range(1234, 1234 + seeds))}
    with path.open("w") as file:
        YAML(pure=True).dump(params, file)
    repository.call("dvc", "repro", "--quiet", "resolve")
    for name in PREPARED:
        _placeholder(repository.folder / "data/prepared/shapes" / name)
    for out in _declared_outputs(repository.folder):
        if not out.exists():
            _placeholder(out if out.suffix else out / "placeholder")
    repository.commit()


def plain(folder: Path, stages: Sequence[tuple[int, int]]) -> Repository:
    """Stages of `true`, each with so many dependencies and outputs, and nothing to do."""
    folder.mkdir()
    repository = Repository(folder)
    repository.call("git", "init", "--quiet")
    repository.call("dvc", "init", "--quiet")
    written = {}
    for i, counts in enumerate(stages):
        deps, outs = ([f"{kind}/{i}-{n}" for n in range(count)]
                      for kind, count in zip(("in", "out"), counts, strict=True))
        for name in deps + outs:
            _placeholder(folder / name)
        written[f"stage-{i}"] = {"cmd": "true", "deps": deps, "outs": outs}
    with (folder / "dvc.yaml").open("w") as file:
        YAML(pure=True).dump({"stages": written}, file)
    repository.commit()
    return repository


def _declared_outputs(folder: Path) -> list[Path]:
    """Of all stages, by DVC's own reading of dvc.yaml."""
    code = "from dvc.repo import Repo\nprint(*(out.fs_path for s in Repo().index.stages for out in s.outs), sep='\\n')"
    return [Path(line) for line in harness.python(code, cwd=folder).output.splitlines()]


def _placeholder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path))


def _yaml(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = clone(folder / "seglib")
        pick(ours, models=2, losses=10, seeds=3)
        stages = ours.stages()
        peers = {
            "`true`, a stage a variant, one dependency, one output": plain(folder / "few", [(1, 1)] * 60),
            "`true`, as many stages, one dependency, one output": plain(folder / "many", [(1, 1)] * len(stages)),
            "`true`, as many stages, dependencies and outputs": plain(folder / "same", stages),
        }
        seglib = "seglib, 60 variants"
        repositories = {seglib: ours, **peers}
        timings = interleaved({name: repository.repro for name, repository in repositories.items()}, rounds=ROUNDS)
        heading("`dvc repro` with nothing to do (goal: 1.2× of DVC alone on stages of `true`)")
        rows = []
        for name, repository in repositories.items():
            found, timing = repository.stages(), timings[name]
            rows.append([name, len(found), sum(map(sum, found)), f"{timing.median:.2f} s",
                         "" if name == seglib else timing.times_faster(timings[seglib])])
        table(["pipeline", "stages", "dependencies and outputs", "median", "seglib takes"], rows)
        lock = ours.folder / "dvc.lock"
        reading = interleaved({"lock": lambda: YAML(typ="safe").load(lock)}, rounds=3)["lock"].median
        print(f"To parse dvc.lock once, {lock.stat().st_size / 1e3:.0f} kB here, takes {reading:.1f} s.\n")


if __name__ == "__main__":
    main()
