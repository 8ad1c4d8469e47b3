"""Repositories with a DVC pipeline that has nothing to do: our stages in several layouts, and plain stages beside them.

The stages' commands do nothing. Every output is a placeholder that dvc.lock and DVC's cache know, because a run with
nothing to do looks at names, sizes and times of files, never into them.
"""

import dataclasses
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks import harness

PREPARED = "data/prepared/shapes"
DATASET, CONTENTS = f"{PREPARED}/dataset.json", f"{PREPARED}/contents.json"
SPLITS = ("train", "val", "test")
ARRAYS = ("images.npy", "masks.npy", "index.parquet")
TRAINED = ("weights.safetensors", "history.csv", "snapshots.npz", "provenance.json")
EVALUATED = ("counts.parquet", "objects.parquet", "ranking.npz", "confusion.npz", "evaluation.json", "predictions.npy",
             "provenance.json")
BASELINES = ("background", "foreground", "frequency")
RESOLVE = "resolve"  # the stage that always runs, and the folder of its dvc.yaml if it has its own


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How stages and their dependencies are cut.

    per_variant: one stage per variant trains all its seeds, and one evaluates them; otherwise one per training.
    folders: a stage declares its outputs as one folder; otherwise it declares each file.
    arrays: the prepared arrays are dependencies; otherwise dataset.json or contents.json, which hold hashes of them,
        stand for them.
    own_lock: `resolve` is in a dvc.yaml of its own, and so has a dvc.lock of its own. It depends on params.yaml as a
        file; otherwise all parameters are in dvc.lock. DVC reads and writes a stage's whole dvc.lock after it has run.
    """

    per_variant: bool = False
    folders: bool = False
    arrays: bool = True
    own_lock: bool = False

    def pipelines(self) -> dict[str, dict[str, Any]]:
        """The stages of each dvc.yaml, by the folder in which it is."""
        resolve = {"cmd": "true", "outs": [{"conf": {"persist": True}}], "always_changed": True}
        if self.own_lock:
            return {RESOLVE: {RESOLVE: resolve | {"wdir": "..", "deps": ["params.yaml"]}}, ".": self._stages()}
        return {".": {RESOLVE: resolve | {"params": [{"params.yaml": None}]}} | self._stages()}

    def _stages(self) -> dict[str, Any]:
        matrix = {"model": "${run.models}", "loss": "${run.losses}", "seed": "${run.seeds}"}
        if self.per_variant:
            del matrix["seed"]
        name = "-".join(f"${{item.{key}}}" for key in matrix)
        arrays = [f"{PREPARED}/{split}" for split in SPLITS]
        weights = f"runs/shapes/{name}" if self.per_variant else f"runs/shapes/{name}/weights.safetensors"
        return {
            "fetch": _stage(["conf/shapes.fetch.json"], ["data/raw/shapes/fetched"]),
            "prepare": _stage(["conf/shapes.prepare.json", "data/raw/shapes/fetched"],
                              [DATASET, CONTENTS, *arrays, f"{PREPARED}/rejected.csv", "data/previews/shapes.png"]),
            "train": {"matrix": matrix} | _stage(
                [f"conf/shapes/{name}/train.json", DATASET, *self._arrays("train", "val")],
                [*self._outputs(f"runs/shapes/{name}", TRAINED), f"timings/shapes/{name}.json"]),
            "evaluate": {"matrix": matrix} | _stage(
                [f"conf/shapes/{name}/evaluate.json", weights, *(self._arrays("val", "test") or [CONTENTS])],
                self._outputs(f"results/shapes/{name}", EVALUATED)),
            "predict": _stage(["conf/shapes.predict.json", DATASET, *self._arrays(*SPLITS)],
                              ["results/shapes/predictors"]),
            "compare": _stage(["conf/shapes.compare.json", "conf/shapes.predict.json", "conf/shapes", "runs/shapes",
                               "results/shapes", DATASET, CONTENTS, f"{PREPARED}/rejected.csv", *arrays[1:]],
                              ["comparisons/shapes"]),
            "report": _stage(["conf/report.json", "comparisons"], ["reports"]),
        }

    def _arrays(self, *splits: str) -> list[str]:
        return [f"{PREPARED}/{split}" for split in splits if self.arrays]

    def _outputs(self, folder: str, files: Iterable[str]) -> list[str]:
        return [folder] if self.folders else [f"{folder}/{file}" for file in files]

    def files(self, run: Mapping[str, list[Any]]) -> Iterable[str]:
        """All files that the stages leave if params.yaml has this `run`."""
        yield from (f"conf/shapes.{stage}.json" for stage in ("fetch", "prepare", "predict", "compare"))
        yield from ("conf/report.json", "data/raw/shapes/fetched/shapes.pkl", DATASET, CONTENTS,
                    f"{PREPARED}/rejected.csv", "data/previews/shapes.png", "comparisons/shapes/scores.csv",
                    "reports/index.html")
        yield from (f"results/shapes/predictors/{name}/{file}" for name in BASELINES for file in EVALUATED)
        yield from (f"{PREPARED}/{split}/{array}" for split in SPLITS for array in ARRAYS)
        names = [f"{model}-{loss}" for model in run["models"] for loss in run["losses"]]
        inside = [f"{seed}/" for seed in run["seeds"]]
        if not self.per_variant:
            names, inside = [f"{name}-{seed}" for name in names for seed in run["seeds"]], [""]
        for name in names:
            yield from (f"conf/shapes/{name}/{stage}.json" for stage in ("train", "evaluate"))
            yield from (f"runs/shapes/{name}/{part}{file}" for part in inside for file in TRAINED)
            yield from (f"results/shapes/{name}/{part}{file}" for part in inside for file in EVALUATED)
            yield f"timings/shapes/{name}.json"


def _stage(deps: list[str], outs: list[str]) -> dict[str, Any]:
    return {"cmd": "true", "deps": deps, "outs": outs}


# `dvc commit` would write dvc.lock anew for each stage; this writes it once.
LOCK = """
from itertools import groupby

from dvc.repo import Repo

repo = Repo()
with repo.lock:
    for path, stages in groupby(repo.index.stages, key=lambda stage: stage.path):
        stages = list(stages)
        for stage in stages:
            stage.save(run_cache=False)
            stage.commit()
        stages[0].dvcfile.dump_stages(stages, update_pipeline=False)
"""


@dataclasses.dataclass(frozen=True)
class Repro:
    """One `dvc repro`: seconds, seconds of all processors, and the peak of memory in MB of 2²⁰ bytes."""

    seconds: float
    processor: float
    peak_mb: float


class Repository:
    """A repository with a pipeline that has nothing to do, in which DVC keeps all it has to itself.

    folder: a new one. pipelines: the stages of each dvc.yaml, by the folder in which it is. params: as in params.yaml.
    files: those that are dependencies or outputs.
    """

    def __init__(self, folder: Path, pipelines: Mapping[str, Any], params: Mapping[str, Any], files: Iterable[str]):
        self.folder = folder
        self._env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "true",
                     "DVC_SITE_CACHE_DIR": str(folder.with_name(f"{folder.name}.site")),
                     "DVC_GLOBAL_CONFIG_DIR": str(folder.with_name(f"{folder.name}.config"))}
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        contents = {f"{place}/dvc.yaml": {"stages": stages} for place, stages in pipelines.items()}
        for name, content in (contents | {"params.yaml": params}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            with (folder / name).open("w") as file:
                YAML(pure=True).dump(content, file)
        for command in ("git init --quiet", "dvc init --quiet"):
            subprocess.run(command.split(), cwd=folder, env=os.environ | self._env, check=True)
        harness.run([sys.executable, "-c", LOCK], cwd=folder, env=self._env)

    @property
    def lock_bytes(self) -> int:
        """The size of the pipeline's dvc.lock."""
        return (self.folder / "dvc.lock").stat().st_size

    def stages(self) -> list[tuple[int, int]]:
        """How many dependencies and outputs each stage has, by all dvc.lock files."""
        locks = [YAML(typ="safe").load(path) for path in (self.folder / "dvc.lock", self.folder / RESOLVE / "dvc.lock")
                 if path.exists()]
        return [(len(stage.get("deps", ())), len(stage["outs"])) for lock in locks for stage in lock["stages"].values()]

    def repro(self) -> Repro:
        """`dvc repro`. Raises RuntimeError if a stage runs that had nothing to do."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = harness.run([sys.executable, "-m", "dvc", "repro"], cwd=self.folder, env=self._env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = {line for line in run.output.splitlines() if line.startswith("Running")}
        if not ran <= {f"Running stage '{RESOLVE}':", f"Running stage '{RESOLVE}/dvc.yaml:{RESOLVE}':"}:
            raise RuntimeError(f"expected nothing to do in {self.folder}, but dvc repro said: {sorted(ran)[:5]}")
        return Repro(run.seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.peak_mb)


def ours(folder: Path, layout: Layout, models: int, losses: int, seeds: int) -> Repository:
    """Our pipeline in this layout, with so many of each."""
    params = params_with([f"model{n}" for n in range(models)], [f"loss{n}" for n in range(losses)], seeds)
    return Repository(folder, layout.pipelines(), params, layout.files(params["run"]))


def params_with(models: Iterable[str], losses: Iterable[str], seeds: int) -> dict[str, Any]:
    """Our params.yaml with another `run`."""
    params = YAML(typ="safe").load(harness.ROOT / "params.yaml")
    params["run"] |= {"datasets": ["shapes"], "models": [*models], "losses": [*losses], "seeds": [*range(seeds)]}
    return params


def plain(folder: Path, stages: Iterable[tuple[int, int]]) -> Repository:
    """Stages of `true`, each with so many dependencies and outputs, and each of these a file of its own."""
    declared, files, numbers = {}, [], {}
    for (deps, outs), count in Counter(stages).items():
        group = f"with{deps}and{outs}"
        inputs = [f"in/{group}-${{item}}-{n}" for n in range(deps)]
        outputs = [f"out/{group}-${{item}}-{n}" for n in range(outs)]
        declared[group] = {"foreach": f"${{{group}}}", "do": _stage(inputs, outputs)}
        numbers[group] = list(range(count))
        files += [name.replace("${item}", str(number)) for number in range(count) for name in inputs + outputs]
    return Repository(folder, {".": declared}, numbers, files)
