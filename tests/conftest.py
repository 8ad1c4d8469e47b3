"""Shared fixtures. Real pictures come from a mirror folder beside the checkout; without it those tests skip."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from seglib import params, resolve
from seglib.datasets import prepare, shapes
from seglib.files import write_json

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

# What a shell starts in the background ignores Ctrl-C, and hands that down; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("fuzz", hypothesis.settings.get_profile("patient"), max_examples=10_000)
hypothesis.settings.load_profile("patient")


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no real pictures: {path} is not there")
    return path


@pytest.fixture(scope="session")
def mirror() -> Path:
    return _shared("mirror")


@pytest.fixture(scope="session")
def hostile_images() -> Path:
    return _shared("hostile_images")


@pytest.fixture
def raw_params() -> dict[str, Any]:
    """The committed params.yaml as plain data, to change at will."""
    return json.loads(params.load(ROOT / "params.yaml").model_dump_json(exclude_unset=True))


@pytest.fixture(scope="session")
def prepared_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 generated training pictures and 12 test pictures, prepared."""
    folder = tmp_path_factory.mktemp("shapes")
    config = {"kind": "shapes", "source": "generated", "train_images": 48, "test_images": 12, "seed": 3,
              "background": "dark"}
    raw, out = folder / "raw", folder / "data/prepared/shapes"
    raw.mkdir()
    out.mkdir(parents=True)
    write_json(raw / prepare.SELECTION, shapes.fetch(config, raw))
    prepare.prepare(raw, config | {"val_fraction": 0.2, "max_rejected": 0.0}, out)
    return out


@pytest.fixture
def variant_config(raw_params: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """A small, quick variant's configuration; keyword arguments override its `train` section."""
    def make(loss: str = "mse_dice", **train: Any) -> dict[str, Any]:
        raw_params["models"]["munet"] |= {"width": 8}
        raw_params["train"] |= {"epochs": 2, "log_every": 2, "device": "cpu", "threads": 1, **train}
        raw_params["run"] |= {"losses": [loss], "seeds": [5]}
        return resolve.resolve(params.parse(raw_params))[0].config
    return make
