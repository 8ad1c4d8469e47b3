"""What networks see and what their outputs mean; and that weights files carry it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seglib import models
from seglib.datasets.store import Split, pack, unpack
from seglib.training import weights
from seglib.training.batches import batches
from seglib.training.encoding import Encoding

UNIT = Encoding(pixels="unit", targets="unit", output="sigmoid", label_values=(50.0, 250.0))
LABEL = Encoding(pixels="raw", targets="label", output="raw", label_values=(50.0, 250.0))


def test_pixels():
    images = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    assert UNIT.pictures(images).flatten().tolist() == pytest.approx([0, 128 / 255, 1])
    assert LABEL.pictures(images).flatten().tolist() == [0, 128, 255]
    assert UNIT.pictures(torch.zeros(2, 8, 8, 3, dtype=torch.uint8)).is_contiguous(memory_format=torch.channels_last)


def test_targets_are_the_classes_values():
    planes = torch.tensor([[[[True, False]], [[True, True]]]])
    assert UNIT.targets_of(planes).flatten().tolist() == [1, 0, 1, 1]
    assert LABEL.targets_of(planes).flatten().tolist() == [50, 0, 250, 250]


def test_presence_is_half_of_the_target():
    logits = torch.tensor([[[[24.0, 26.0]], [[124.0, 126.0]]]])
    assert LABEL.present(logits).flatten().tolist() == [False, True, False, True]
    assert UNIT.present(torch.tensor([[[[-0.1, 0.1]], [[-9.0, 9.0]]]])).flatten().tolist() == [False, True, False, True]


@pytest.mark.parametrize("classes", [3, 7, 8, 15, 16, 31])
def test_batches_carry_every_bit_and_the_ignore_bit(tmp_path: Path, classes: int):
    random = np.random.default_rng(0)
    planes = random.random((4, classes, 5, 6)) < 0.5
    ignore = random.random((4, 5, 6)) < 0.3
    masks = np.stack([pack(p, i) for p, i in zip(planes, ignore, strict=True)])
    split = Split(np.zeros((4, 5, 6, 3), np.uint8), masks, tmp_path)
    encoding = Encoding(pixels="unit", targets="unit", output="sigmoid", label_values=(1.0,) * classes)
    order = np.array([2, 0, 3, 1])
    found = [encoding.planes(batch.masks_BHW) for batch in batches(split, 3, torch.device("cpu"), order)]
    np.testing.assert_array_equal(torch.cat([p for p, _ in found]), planes[order])
    np.testing.assert_array_equal(torch.cat([v for _, v in found])[:, 0], ~ignore[order])
    np.testing.assert_array_equal(unpack(masks, classes), planes)


def test_a_weights_file_rebuilds_its_network(tmp_path: Path):
    config = {"kind": "munet", "depth": 4, "width": 8, "upsampling": "learned", "aspp_rates": [2]}
    network = models.build(config, classes=2).eval()
    header = weights.Header(model=config, classes=["a", "b"], label_values=[50.0, 250.0], image_size=[16, 16],
                            pixels="raw", targets="label", output="raw", device="cpu", precision="fp32", threads=None)
    path = tmp_path / "weights.safetensors"
    weights.save(path, network.state_dict(), header)
    loaded, found = weights.load(path, torch.device("cpu"))
    assert found == header and found.encoding == LABEL
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(loaded(picture), network(picture))


@pytest.mark.parametrize("content", [None, b"", b"x" * 100])
def test_what_is_no_weights_file_is_said(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "w").write_bytes(content)
    with pytest.raises(ValueError, match="does not exist|is not a weights file"):
        weights.read_header(tmp_path / "w")
