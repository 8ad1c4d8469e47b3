"""Where files are. `conf/` lists the live trainings: the folders of others stay in `runs/` and `results/`."""

import dataclasses
import subprocess
from pathlib import Path

# The outputs of all stages, relative to the repository's root. DVC removes those of a stage before it runs the stage.
OUTPUTS = ("conf", "data/raw", "data/prepared", "data/previews", "runs", "timings", "results", "comparisons", "reports",
           "metrics.json")

REPORT_CONFIG = Path("conf/report.json")
MACHINE_CONFIG = Path("conf/machine.json")  # no stage depends on it

# A result is made from these.
SOURCES = ("seglib", "stages", "resolve/dvc.yaml", "dvc.yaml", "params.yaml", "claims.yaml", "published.yaml")


class ResultFiles:
    """The files that an evaluation leaves in its folder, `results`."""

    results: Path

    @property
    def counts(self) -> Path:
        return self.results / "counts.parquet"

    @property
    def objects(self) -> Path:
        return self.results / "objects.parquet"

    @property
    def ranking(self) -> Path:
        return self.results / "ranking.npz"

    @property
    def confusion(self) -> Path:
        return self.results / "confusion.npz"

    @property
    def evaluation(self) -> Path:
        return self.results / "evaluation.json"

    @property
    def predictions(self) -> Path:
        return self.results / "predictions.npy"

    @property
    def evaluation_provenance(self) -> Path:
        return self.results / "provenance.json"


@dataclasses.dataclass(frozen=True, order=True)
class PredictorFiles(ResultFiles):
    """The files of a predictor that no loss trains. `results`: its folder in `predictors_folder`."""

    results: Path

    @property
    def name(self) -> str:
        return self.results.name


@dataclasses.dataclass(frozen=True, order=True)
class TrainingFiles(ResultFiles):
    """The files of one training, relative to the repository's root: `name` is <model>-<loss>-<seed>."""

    dataset: str
    name: str

    @property
    def model(self) -> str:
        return self.name.split("-")[0]

    @property
    def loss(self) -> str:
        return self.name.split("-")[1]

    @property
    def seed(self) -> int:
        return int(self.name.split("-")[2])

    @property
    def title(self) -> str:
        """What people read."""
        return f"{self.dataset} {self.name}"

    @property
    def train_config(self) -> Path:
        return Path("conf", self.dataset, self.name, "train.json")

    @property
    def evaluate_config(self) -> Path:
        return Path("conf", self.dataset, self.name, "evaluate.json")

    @property
    def prepared(self) -> Path:
        return prepared_folder(self.dataset)

    @property
    def trained(self) -> Path:
        """The folder that is the output of `train`. Like `results`, it has a name of its own: see user_paths.py."""
        return Path("runs", self.dataset, self.name, "trained")

    @property
    def weights(self) -> Path:
        return self.trained / "weights.safetensors"

    @property
    def history(self) -> Path:
        return self.trained / "history.csv"

    @property
    def snapshots(self) -> Path:
        return self.trained / "snapshots.npz"

    @property
    def provenance(self) -> Path:
        return self.trained / "provenance.json"

    @property
    def timing(self) -> Path:
        return Path("timings", self.dataset, f"{self.name}.json")

    @property
    def results(self) -> Path:
        return Path("results", self.dataset, self.name, "evaluated")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files in the folders of the training and of its evaluation."""
        return (self.weights, self.history, self.snapshots, self.provenance, self.counts, self.objects, self.ranking,
                self.confusion, self.evaluation, self.predictions, self.evaluation_provenance)


def raw_folder(dataset: str) -> Path:
    """The output of `fetch`. It has a name of its own below data/raw/<dataset>: see user_paths.py."""
    return Path("data/raw", dataset, "fetched")


def prepared_folder(dataset: str) -> Path:
    return Path("data/prepared", dataset)


def predictors_folder(dataset: str) -> Path:
    """The output of `predict`: one folder per predictor that no loss trains."""
    return Path("results", dataset, "predictors")


def dataset_config(dataset: str, stage: str) -> Path:
    """The configuration of a dataset's `stage`: fetch, prepare, predict or compare."""
    return Path("conf", f"{dataset}.{stage}.json")


def revision() -> str:
    """Git's name for the commit in the current folder; "" outside a repository.

    It ends in "-dirty" if code, params.yaml, claims.yaml or published.yaml differ from the commit, or if git does not
    know some code.
    What DVC writes, such as dvc.lock, does not count: a result does not depend on it.
    """
    commit = _git("describe", "--always", "--abbrev=12")
    is_dirty = commit and _git("status", "--porcelain", "--", *SOURCES)
    return f"{commit}-dirty" if is_dirty else commit


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def live_datasets() -> list[str]:
    """The datasets that params.yaml's `run` picks now; none before the first resolve."""
    if not Path("conf").exists():
        return []
    return sorted(path.name for path in Path("conf").iterdir() if path.is_dir())


def live_trainings(dataset: str) -> list[TrainingFiles]:
    """The trainings of a dataset that params.yaml's `run` picks now, by name."""
    return sorted(TrainingFiles(dataset, path.parent.name) for path in Path("conf", dataset).glob("*/train.json"))
