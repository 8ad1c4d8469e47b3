"""What networks see and what their outputs mean; and that weights files carry it."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from seglib import models, tasks
from seglib.configs import ModelConfig
from seglib.datasets.store import Split
from seglib.training import weights
from seglib.training.batches import Feed
from seglib.training.encoding import Encoding
from seglib.training.header import Header

MULTILABEL = tasks.get("multilabel")
UNIT = Encoding(pixels="unit", targets="unit", output="sigmoid", label_values=(50.0, 250.0), task=MULTILABEL)
LABEL = Encoding(pixels="raw", targets="label", output="raw", label_values=(50.0, 250.0), task=MULTILABEL)
NORMAL = Encoding(pixels="imagenet", targets="unit", output="sigmoid", label_values=(1.0,) * 3,
                  task=tasks.get("multiclass"))


def test_pixels():
    images = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    assert UNIT.pictures(images).flatten().tolist() == pytest.approx([0, 128 / 255, 1])
    assert LABEL.pictures(images).flatten().tolist() == [0, 128, 255]
    by_channel = NORMAL.pictures(torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)).flatten()
    assert by_channel.tolist() == pytest.approx([-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    assert UNIT.pictures(torch.zeros(2, 8, 8, 3, dtype=torch.uint8)).is_contiguous(memory_format=torch.channels_last)


def test_targets_are_the_classes_values():
    planes = torch.tensor([[[[True, False]], [[True, True]]]])
    assert UNIT.targets_of(planes).flatten().tolist() == [1, 0, 1, 1]
    assert LABEL.targets_of(planes).flatten().tolist() == [50, 0, 250, 250]


def test_presence_is_half_of_the_target():
    logits = torch.tensor([[[[24.0, 26.0]], [[124.0, 126.0]]]])
    assert LABEL.present(logits).flatten().tolist() == [False, True, False, True]
    assert UNIT.present(torch.tensor([[[[-0.1, 0.1]], [[-9.0, 9.0]]]])).flatten().tolist() == [False, True, False, True]


def test_where_classes_exclude_each_other_outputs_are_a_softmax_and_one_class_is_present():
    logits = torch.tensor([1.0, 3.0, 2.0]).view(1, 3, 1, 1)
    shares = torch.tensor([1.0, 3.0, 2.0]).exp() / torch.tensor([1.0, 3.0, 2.0]).exp().sum()
    torch.testing.assert_close(NORMAL.seen_by_losses(logits).flatten(), shares)
    assert NORMAL.present(logits).flatten().tolist() == [False, True, False]
    torch.testing.assert_close(NORMAL.certainty(logits).flatten(), torch.logit(shares))
    assert NORMAL.present(torch.zeros(1, 3, 1, 1)).sum() == 1


def test_sure_pixels_still_rank():
    """Their probabilities are all 1 in float32."""
    scores = NORMAL.certainty(torch.tensor([[40.0, 50.0], [0.0, 0.0], [0.0, 0.0]]).view(1, 3, 1, 2))[0, 0, 0]
    assert scores[1] - scores[0] == pytest.approx(10)


@pytest.mark.parametrize("name", tasks.NAMES)
def test_batches_carry_every_class_and_what_is_ignored(tmp_path: Path, name: str):
    random, task = np.random.default_rng(0), tasks.get(name)
    ignore = random.random((4, 5, 6)) < 0.3
    planes = (random.integers(0, 3, (4, 1, 5, 6)) == np.arange(3).reshape(-1, 1, 1)) & ~ignore[:, None]
    masks = np.stack([task.pack(p, i) for p, i in zip(planes, ignore, strict=True)])
    split = Split(np.zeros((4, 5, 6, 3), np.uint8), masks, tmp_path)
    encoding = Encoding(pixels="unit", targets="unit", output="sigmoid", label_values=(1.0,) * 3, task=task)
    order = np.array([2, 0, 3, 1])
    feed = Feed(split, 3, torch.device("cpu"))
    found = [encoding.planes(batch.masks_BHW, ignores=batch.ignores) for batch in feed.batches(order)]
    np.testing.assert_array_equal(torch.cat([p for p, _ in found]), planes[order])
    np.testing.assert_array_equal(torch.cat([v for _, v in found])[:, 0], ~ignore[order])


def test_a_weights_file_rebuilds_its_network(tmp_path: Path):
    config = {"kind": "munet", "depth": 4, "width": 8, "upsampling": "learned", "aspp_rates": [2]}
    network = models.build(ModelConfig.of(config), classes=2, image_size=(16, 16)).eval()
    header = Header(model=config, classes=["a", "b"], label_values=[50.0, 250.0], task="multilabel",
                    image_size=[16, 16], resize="stretch", pixels="raw", targets="label", output="raw", device="cpu",
                    precision="fp32", threads=None)
    path = tmp_path / "weights.safetensors"
    weights.save(path, network.state_dict(), header)
    loaded, found = weights.load(path, torch.device("cpu"))
    assert found == header and found.encoding == LABEL
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(loaded(picture), network(picture))


def test_weights_of_an_unknown_task_are_refused(tmp_path: Path):
    metadata = {"seglib": json.dumps({
        "model": {}, "classes": [], "label_values": [], "task": "panoptic", "image_size": [8, 8], "resize": "pad",
        "pixels": "raw", "targets": "label", "output": "raw", "device": "cpu", "precision": "fp32", "threads": 1})}
    safetensors.torch.save_file({}, tmp_path / "w", metadata)
    with pytest.raises(ValueError, match="w is not a weights file of seglib: there is no task 'panoptic'"):
        weights.read_header(tmp_path / "w")


@pytest.mark.parametrize("content", [None, b"", b"x" * 100])
def test_what_is_no_weights_file_is_said(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "w").write_bytes(content)
    with pytest.raises(ValueError, match="does not exist|is not a weights file"):
        weights.read_header(tmp_path / "w")
