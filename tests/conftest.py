"""Shared fixtures. Real pictures come from a mirror folder beside the checkout; without it those tests skip."""

import os

# One PyTorch thread per test process, and per process that a test starts: two processes with two threads each, on two
# cores, run at a tenth of their speed. If a test asks for two, a thread that waits sleeps and leaves its core to
# others. PyTorch reads both variables once, when it is imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import dataclasses
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hypothesis
import pytest

from seglib import models, params, resolve
from seglib.configs import DownloadConfig, FetchConfig, PrepareConfig, TrainConfig
from seglib.cores import physical_cores
from seglib.datasets import prepare, readers, shapes
from seglib.files import write_json
from seglib.params.datasets import Folder
from seglib.pipeline.fingerprint import Fingerprinter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tests.report.browser import Browser

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

LONGEST_ID = 60

# What a shell starts in the background ignores Ctrl-C, and hands that down; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("fuzz", hypothesis.settings.get_profile("patient"), max_examples=10_000)
hypothesis.settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto` starts one worker per physical core that this process may use."""
    return physical_cores()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A case's id, if pytest's own would be long or unreadable. It is the same in each worker, as xdist needs it."""
    if isinstance(val, bytes):
        return f"{len(val)} bytes"
    if isinstance(val, str) and (len(val) > LONGEST_ID or not val.isprintable()):
        return ascii(val[:LONGEST_ID])
    return None


def missing(reason: str) -> NoReturn:
    """Skip the test, because this machine lacks what it needs. If SEGLIB_REQUIRE_ALL is 1, fail instead."""
    if os.environ.get("SEGLIB_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def shared(name: str) -> Path:
    """A file or folder beside the checkout."""
    path = SHARED / name
    if not path.exists():
        missing(f"no real pictures: {path} does not exist")
    return path


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder() -> Iterator[None]:
    """This process and those that it starts share no lock on the cores with other trainings of this machine."""
    folder = tempfile.mkdtemp(prefix="seglib-")
    # It is removed last, because multiprocessing removes a folder in it when the process ends.
    Finalize(None, shutil.rmtree, [folder], {"ignore_errors": True}, exitpriority=-200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A training that a test ran in this process may have set another number of threads."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mirror() -> Path:
    return shared("mirror")


@pytest.fixture(scope="session")
def hostile_images() -> Path:
    return shared("hostile_images")


@pytest.fixture(scope="session")
def chromium() -> tuple[str, str]:
    """Paths of Chromium and its driver. Tests install nothing."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if None in found:
        missing("chromium or chromedriver does not exist (Debian: apt-get install chromium chromium-driver)")
    return found


@pytest.fixture(scope="session")
def session(chromium: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """One headless browser for all tests of a process; a test opens its own page in it."""
    from tests.report.browser import Browser
    with Browser(*chromium, profile=tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> "list[Figure]":
    """The figures that `plots` has saved, in the order in which it saved them."""
    from seglib.figures import plots
    saved, save = [], plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: saved.append(figure) or save(figure, path))
    return saved


@pytest.fixture
def maps_of_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a kind of model whose logits are the same map for every picture."""
    monkeypatch.setitem(models.KINDS, "frequency", models.Kind(path="seglib.models.frequency:Frequency"))


@pytest.fixture
def raw_params() -> dict[str, Any]:
    """The committed params.yaml as plain data, to change at will."""
    return json.loads(params.load(ROOT / "params.yaml").model_dump_json(exclude_unset=True))


@pytest.fixture(scope="session")
def prepared_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 generated training pictures and 12 test pictures, prepared."""
    folder = tmp_path_factory.mktemp("shapes")
    keys = {"kind": "shapes", "source": "generated", "train_images": 48, "test_images": 12, "seed": 3,
            "background": "dark", "val_fraction": 0.2}
    raw, out = folder / "raw", folder / "data/prepared/shapes"
    raw.mkdir()
    out.mkdir(parents=True)
    write_json(raw / readers.SELECTION, shapes.fetch(fetch_config(keys), raw))
    prepare.prepare(raw, prepare_config(keys), out)
    return out


def fetch_config(keys: dict[str, Any], download: DownloadConfig | None = None) -> FetchConfig:
    """What `fetch` is given for a dataset with these keys, named as in params.yaml."""
    options = _options(keys)
    if keys["kind"] == "folder":  # the other keys say how masks and pictures are read: `fetch` must do without them
        options = {key: options[key] for key in Folder.fetch_keys(None)}
    return FetchConfig(kind=keys["kind"], options=options, download=download)


def _options(keys: dict[str, Any]) -> dict[str, Any]:
    """The reader's own keys."""
    of_prepare = ("kind", "image_size", "resize", "val_fraction", "max_rejected", "allow")
    return {key: value for key, value in keys.items() if key not in of_prepare}


def prepare_config(keys: dict[str, Any]) -> PrepareConfig:
    """What `prepare` is given for a dataset with these keys, named as in params.yaml; some may be left out."""
    defaults = {"image_size": None, "resize": "stretch", "val_fraction": 0.0, "max_rejected": 0.0,
                "allow": ["absent_class", "unscored_class"]}
    return PrepareConfig(kind=keys["kind"], options=_options(keys),
                         **{key: keys.get(key, default) for key, default in defaults.items()})


def write_config(path: Path, config: dict[str, Any]) -> None:
    """Write a file of conf/. Its code is that of the package `stages`, which every stage runs."""
    code = {"entries": ["stages"], "uses": {}, "messages": False, "extra": []}
    write_json(path, {"code": code | {"fingerprint": Fingerprinter().of(["stages"])}, "config": config})


def with_settings(config: TrainConfig, **settings: Any) -> TrainConfig:
    """The same training with other settings in its `train` section."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **settings))


@pytest.fixture
def training_config(raw_params: dict[str, Any]) -> Callable[..., TrainConfig]:
    """The configuration of a small, quick training; keyword arguments override its `train` section."""
    def make(loss: str = "mse_dice", **train: Any) -> TrainConfig:
        raw_params["models"]["munet"] |= {"width": 8}
        raw_params["train"] |= {"epochs": 2, "log_every": 2, "device": "cpu", "threads": 1, **train}
        raw_params["run"] |= {"losses": [loss], "seeds": [5]}
        return resolve.resolve(params.parse(raw_params))[0].train
    return make
