"""Weights: one format is read, and what lies in it or is cut from it is said in one line."""

import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from seglib import models
from seglib.configs import ModelConfig
from seglib.models import resnet
from seglib.training import weights
from seglib.training.header import Header
from tests.conftest import ROOT

CPU = torch.device("cpu")


def save_some(folder: Path) -> None:
    """Weights as they began, of a small network."""
    model = {"kind": "convnet", "width": 4, "layers": 2, "norm": "none"}
    state = models.build(ModelConfig.of(model), classes=2, image_size=(64, 64)).state_dict()
    header = Header(model=model, classes=["left", "right"], label_values=[50.0, 250.0], task="multilabel",
                    image_size=[64, 64], resize="stretch", pixels="unit", targets="unit", output="sigmoid",
                    device="cpu", precision="fp32", threads=1)
    weights.save(folder / "weights.safetensors", state, header)


class Attack:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def a_torch_file(path: Path, target: Path) -> None:
    torch.save({"weight": Attack(target)}, path)


def a_pickle(path: Path, target: Path) -> None:
    path.write_bytes(pickle.dumps(Attack(target)))


def an_old_torch_file(path: Path, target: Path) -> None:
    torch.save({"weight": Attack(target)}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [a_torch_file, an_old_torch_file, a_pickle])
def test_a_pickle_that_is_called_safetensors_is_refused_and_not_run(tmp_path: Path,
                                                                    write: Callable[[Path, Path], None]):
    path = tmp_path / "model.safetensors"
    write(path, tmp_path / "ran")
    with pytest.raises(ValueError, match="is not a weights file of seglib"):
        weights.load(path, CPU)
    with pytest.raises(ValueError, match="is not a safetensors file"):
        resnet.ResNet("resnet18", stem="standard", weights=str(tmp_path), norm="batch")
    assert not (tmp_path / "ran").exists()


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The file with another header: its length, the JSON of names, types, shapes and places, the bytes."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    text = json.dumps(change(header) or header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length:])


def told(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """seglib's own part of the header, changed."""
    def of_file(header: dict[str, Any]) -> None:
        own = json.loads(header["__metadata__"]["seglib"])
        change(own)
        header["__metadata__"]["seglib"] = json.dumps(own)
    return lambda path: rewritten(path, of_file)


def first(header: dict[str, Any]) -> dict[str, Any]:
    return next(value for name, value in header.items() if name != "__metadata__")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in its header": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "cut in its weights": lambda path: path.write_bytes(path.read_bytes()[:-4]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0" * 4),
    "garbage": lambda path: path.write_bytes(b"\xff" * 1000),
    "a header of any length": lambda path: path.write_bytes(struct.pack("<Q", 2**60) + path.read_bytes()[8:]),
    "no header of seglib's": lambda path: rewritten(path, lambda header: header.pop("__metadata__") and None),
    "seglib's header is no JSON": lambda path: rewritten(path, lambda h: h["__metadata__"].update(seglib="{")),
    "seglib's header is a list": lambda path: rewritten(path, lambda h: h["__metadata__"].update(seglib="[]")),
    "seglib's header is deep": lambda path: rewritten(path, lambda h: h["__metadata__"].update(seglib="[" * 10**5)),
    "a weight outside": lambda path: rewritten(path, lambda h: first(h).update(data_offsets=[0, 2**50])),
    "a weight of another shape": lambda path: rewritten(path, lambda h: first(h).update(shape=[2**40])),
    "a weight of another type": lambda path: rewritten(path, lambda h: first(h).update(dtype="OBJECT")),
    "a key less": told(lambda own: own.pop("task")),
    "a key more": told(lambda own: own.update(more=1)),
    "another network": told(lambda own: own.update(model={"kind": "unet", "width": 4, "upsampling": "bilinear"})),
    "a network that would fill the memory": told(lambda own: own.update(
        model={"kind": "convnet", "width": 10**6, "layers": 5, "norm": "none"})),
    "a network that nobody knows": told(lambda own: own.update(model={"kind": "os.system"})),
    "a network of no kind": told(lambda own: own.update(model=[1])),
    "more classes": told(lambda own: own.update(classes=["a"] * 5)),
    "no classes": told(lambda own: own.update(classes=None)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_weights_file_is_one_line(tmp_path: Path, name: str):
    save_some(tmp_path)
    path = tmp_path / "weights.safetensors"
    weights.load(path, CPU)
    DAMAGE[name](path)
    with pytest.raises(ValueError, match="is not a weights file of seglib: ") as error:
        weights.load(path, CPU)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize("name", ["another network", *(pytest.param(name, marks=pytest.mark.slow)
                                                     for name in ("empty", "cut in its weights", "gone"))])
def test_predicting_with_a_damaged_run_ends_in_one_line(tmp_path: Path, name: str):
    save_some(tmp_path)
    (DAMAGE | {"gone": Path.unlink})[name](tmp_path / "weights.safetensors")
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    process = subprocess.run([sys.executable, "-m", "seglib.cli", "predict", str(tmp_path), str(tmp_path / "a.png"),
                              "-o", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 1 and process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ") and "weights.safetensors" in line
    assert not (tmp_path / "out").exists()


def test_nothing_in_the_library_unpickles_by_itself():
    """Beside the reader of pickles and checkpoints, which PyTorch reads as tensors and plain containers."""
    allowed = {"seglib/datasets/unpickle.py", "seglib/datasets/shapes_generator.py"}
    for path in sorted((ROOT / "seglib").rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        assert "allow_pickle=True" not in text, name
        assert text.count("torch.load(") == text.count("weights_only=True"), name
        assert name in allowed or "import pickle" not in text, name
