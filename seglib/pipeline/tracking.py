"""MLflow as a view of the files: one run per training, keyed by its identity. Nothing else in seglib imports MLflow.

`LiveRun` shows a training while it runs. `sync` makes MLflow hold what a record holds (see `records`), once, however
often it runs: a lost store is rebuilt, and nothing is doubled. A store that is unreachable or slow costs a training
nothing, and the end of a stage seconds; up to `PATIENCE` if it answers each of many calls just in time.
"""

import csv
import functools
import logging
import os
import re
import sqlite3
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from seglib.configs import TrainConfig, used
from seglib.files import file_sha256, read_json, work_dir
from seglib.pipeline.background import BackgroundThread
from seglib.pipeline.identity import provenance_of
from seglib.pipeline.records import names_of
from seglib.pipeline.workspace import TrainingFiles

# By default MLflow retries each call for minutes, and longer if a server says when to ask again.
for name, value in {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
                    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false"}.items():
    os.environ.setdefault(name, value)  # a user's own setting wins
DATABASE_TRIES = 3  # half a second; MLflow's own 10 are two minutes
PATIENCE = 300  # seconds: for others that write, and for all that a stage does in the end; each call has far less

IDENTITY_TAG, SYNCED_TAG = "seglib.identity", "seglib.synced"
COMPARISON = "comparison"  # the name of runs that compare others
MLFLOW_BATCH = 1000  # metrics, the most that one call may log
_lost: set[str] = set()  # stores about which a warning was printed
ILLEGAL = re.compile(r"[^\w\-. :]")  # in a part of MLflow's metric names, which have at most 250 characters
LONGEST_CLASS = 150
UPLOADING = ".artifact.uploading."  # how MLflow names the copy of a file in a local store until it is whole


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or a SQLite store below the repository's `.work/`; absolute, since stages move about."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{work_dir() / 'mlflow' / 'mlflow.db'}"


def _lock() -> FileLock:
    (work_dir() / "mlflow").mkdir(parents=True, exist_ok=True)
    return FileLock(work_dir() / "mlflow" / "lock", timeout=PATIENCE)


def _client() -> Any:
    """A client of the store. Two processes must not create the SQLite store at once, so it is done under the lock."""
    from mlflow import MlflowClient  # takes two seconds, so only callers that track pay for it

    for chatty in ("alembic", "mlflow", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)  # failures are raised too, and we print them
    uri = store_uri()
    if not uri.startswith("http"):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = DATABASE_TRIES
    with _lock():
        if uri.startswith("sqlite:///") and not (path := Path(uri.removeprefix("sqlite:///"))).exists():
            _create(path)
        return MlflowClient(uri)


def _create(path: Path) -> None:
    """Make the SQLite store, whole or not at all: a half-made one can neither be used nor be finished."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    for left in path.parent.glob(f"{partial.name}*"):  # of a process that was killed: the file, its journal
        left.unlink()
    SqlAlchemyStore(f"sqlite:///{partial}", str(path.parent / "artifacts")).engine.dispose()
    connection = sqlite3.connect(partial)
    connection.execute("PRAGMA journal_mode=WAL")  # four times faster writes, and readers do not wait
    connection.close()
    partial.replace(path)


def _find_or_create(client: Any, identity: str, names: dict[str, Any], *, run_name: str,
                    conf: dict[str, Any] | None = None) -> Any:
    """The run of an identity. Called under the lock."""
    experiment = client.get_experiment_by_name(names["dataset"])
    if experiment is None:
        local = store_uri().startswith("sqlite:///")
        location = (work_dir() / "mlflow" / "artifacts" / names["dataset"]).as_uri() if local else None
        experiment_id = client.create_experiment(names["dataset"], artifact_location=location)
    else:
        experiment_id = experiment.experiment_id
    found = client.search_runs([experiment_id], f"tags.`{IDENTITY_TAG}` = '{identity}'", max_results=1)
    if found:
        return found[0]
    tags = {IDENTITY_TAG: identity, **{key: str(value) for key, value in names.items()}}
    run = client.create_run(experiment_id, run_name=run_name, tags=tags)
    _log_missing_params(client, run, conf or {})
    return run


def _run_name(names: dict[str, Any]) -> str:
    return f"{names['model']}-{names['loss']}-{names['seed']}"


def _log_missing_params(client: Any, run: Any, conf: dict[str, Any]) -> None:
    from mlflow.entities import Param

    missing = [Param(name, str(value)) for name, value in _flatten(used(conf)) if name not in run.data.params]
    if missing:
        client.log_batch(run.info.run_id, params=missing)


def _flatten(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _epoch_metrics(rows: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """Epoch: metric name: value, from rows of history.csv; empty cells are left out."""
    metrics: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["span"] != "epoch":
            continue
        of_epoch = metrics.setdefault(int(row["epoch"]), {"lr": row["lr"]})
        of_epoch |= {f"{row['split']}/{name}": value for name, value in row.items()
                     if name not in ("iteration", "epoch", "split", "span", "lr", "kept") and pd.notna(value)}
    return metrics


def _log_missing_epochs(client: Any, run_id: str, metrics: dict[int, dict[str, float]]) -> None:
    """Log each epoch's metrics once: a resumed or repeated training, or a second sync, doubles nothing."""
    from mlflow.entities import Metric

    logged = {metric.step for metric in client.get_metric_history(run_id, "lr")}
    now = int(time.time() * 1000)
    for epoch, values in sorted(metrics.items()):
        if epoch not in logged:
            client.log_batch(run_id, [Metric(name, float(value), now, epoch) for name, value in values.items()])


class LiveRun:
    """Reports each epoch to MLflow as it ends, in a thread of its own: a training waits for no store.

    Epochs that could not be reported are tried again with the next one. `sync` adds what is missing in the end.
    """

    def __init__(self, identity: str, files: TrainingFiles):
        self._identity, self._files = identity, files
        self._conf = TrainConfig.read(files.train_config).content() | {"provenance": provenance_of(files).content()}
        self._client: Any = None
        self._unsaid: list[dict[str, Any]] = []
        self._run_id = ""

    def __call__(self, rows: list[dict[str, Any]]) -> None:
        _background().submit(functools.partial(self._report, rows))

    def _report(self, rows: list[dict[str, Any]]) -> None:
        self._unsaid += rows
        try:
            if not self._run_id:
                self._client = _client()
                with _lock():
                    run = _find_or_create(self._client, self._identity, names_of(self._files),
                                          run_name=self._files.name, conf=self._conf)
                self._run_id = run.info.run_id
            _log_missing_epochs(self._client, self._run_id, _epoch_metrics(self._unsaid))
            self._unsaid = []
        except Exception as error:  # MLflow's many kinds, its database's and its network's: none is worth a training
            _say_lost(error)


def try_sync(*records: Path) -> None:
    """`sync`, for stages: if the store cannot be reached, print a warning and go on."""
    try:
        _background().submit_last(lambda: [sync(record) for record in records]).result(PATIENCE)
    except Exception as error:  # as in LiveRun
        _say_lost(error)


@functools.cache
def _background() -> BackgroundThread:
    return BackgroundThread()


def _say_lost(error: Exception) -> None:
    """Print the warning once per process, however many epochs fail."""
    if (uri := store_uri()) not in _lost:
        _lost.add(uri)
        print(f"MLflow ({uri}) cannot be written: {one_line(error)}. Nothing else is lost; `seglib mlsync` mends it.")


def one_line(error: Exception) -> str:
    """The first line of an error: databases add statements and links, servers whole pages."""
    said = str(error).strip() or f"it did not take a result within {PATIENCE} seconds"
    return said.splitlines()[0].rstrip(".")


def unreachable() -> tuple[type[Exception], ...]:
    """What `sync` raises for a store that cannot be reached or written."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, sqlite3.Error, OSError


def sync(record: Path) -> bool:
    """Make MLflow hold a record: parameters, curves, scores, files. Returns whether something was missing.

    A comparison's record becomes a run of its own, with its figures and tables. Only files that are new or have changed
    are sent. Raises MlflowException if the store cannot be reached.
    """
    client = _client()
    files = sorted(path for path in record.iterdir() if path.is_file() and not path.name.startswith("."))
    compares = (record / "comparison.json").exists()
    with _lock():
        if compares:
            run = _find_or_create(client, record.name, read_json(record / "comparison.json"), run_name=COMPARISON)
        else:
            names, conf = read_json(record / "training.json"), read_json(record / "conf.json")
            if (record / "provenance.json").exists():  # records of seglib before it kept provenance have none
                conf["provenance"] = read_json(record / "provenance.json")
            run = _find_or_create(client, record.name, names, run_name=_run_name(names), conf=conf)
        hashes = {path: file_sha256(path) for path in files}
        missing = [path for path in files if run.data.tags.get(f"{SYNCED_TAG}.{path.name}") != hashes[path]]
        if not missing and run.info.status == "FINISHED":
            return False
        run_id = run.info.run_id
        if not compares:
            _log_missing_params(client, run, conf)
            history = pd.read_csv(record / "history.csv").to_dict("records")
            _log_missing_epochs(client, run_id, _epoch_metrics(history))
            _log_final(client, run, dict(_final_metrics(record)))
        _remove_partial_artifacts(run)
        for path in missing:
            client.log_artifact(run_id, str(path))
            client.set_tag(run_id, f"{SYNCED_TAG}.{path.name}", hashes[path])
        if run.info.status != "FINISHED":
            client.set_terminated(run_id)
    return True


def _remove_partial_artifacts(run: Any) -> None:
    """Remove half-written copies, left by a process that was killed. Called under the lock: nobody else writes."""
    address = urllib.parse.urlparse(run.info.artifact_uri)
    if address.scheme == "file":
        for left in Path(urllib.request.url2pathname(address.path)).glob(f"{UPLOADING}*"):
            left.unlink()


def _log_final(client: Any, run: Any, values: dict[str, float]) -> None:
    """Log the values that are new or have changed, in one call for hundreds of scores: one call each takes 20 ms."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in values.items() if run.data.metrics.get(name) != value]
    for start in range(0, len(metrics), MLFLOW_BATCH):
        client.log_batch(run.info.run_id, metrics[start:start + MLFLOW_BATCH])


def _final_metrics(record: Path) -> Iterator[tuple[str, float]]:
    """Speed, the share of time spent waiting for data, and every score, mean and by class, if the record holds them."""
    timing = read_json(record / "timing.json")
    yield from ((name, timing[name]) for name in ("images_per_second", "waiting"))
    if not (record / "scores.csv").exists():
        return
    with (record / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = list(dict.fromkeys(row["class"] for row in rows if row["class"]))
    parts = {"": ""} | {name: f"/{legal}" for name, legal in zip(classes, _legal(classes), strict=True)}
    for row in rows:
        yield f"{row['split']}/{row['score']}{parts[row['class']]}", float(row["value"])


def _legal(names: list[str]) -> list[str]:
    """The names as parts of a metric's name, which MLflow takes for a path; no two are the same."""
    found: list[str] = []
    for name in names:
        legal = ILLEGAL.sub("_", name)[:LONGEST_CLASS]
        legal = legal if legal.strip(".") else "_"
        while legal in found:
            legal += "_"
        found.append(legal)
    return found
