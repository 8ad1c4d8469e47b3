"""The baseline of class frequencies, against counts made by hand."""

import pytest
import torch
from torch.nn import functional as F

from seglib.models.frequency import Frequency


@pytest.fixture
def masks() -> tuple[torch.Tensor, torch.Tensor]:
    """Five masks of three exclusive classes at 2×2 pixels, and which pixels count: 5, 4, 1 and 0 times."""
    ids = torch.tensor([[[0, 1], [2, 0]], [[0, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 2], [0, 0]], [[1, 0], [0, 0]]])
    valid = torch.zeros(5, 1, 2, 2, dtype=torch.bool)
    valid[:, :, 0, 0] = valid[:4, :, 0, 1] = valid[:1, :, 1, 0] = True
    return F.one_hot(ids, 3).permute(0, 3, 1, 2).bool(), valid


def observed(masks: tuple[torch.Tensor, torch.Tensor], *, exclusive: bool) -> Frequency:
    network = Frequency(classes=3, image_size=(2, 2))
    planes, valid = masks
    network.observe(planes[:2], valid[:2])
    network.observe(planes[2:], valid[2:])
    network.finish(exclusive)
    return network


def test_exclusive_classes_share_their_frequencies(masks: tuple[torch.Tensor, torch.Tensor]):
    shares = observed(masks, exclusive=True)(torch.rand(2, 3, 2, 2)).softmax(1)
    expected = torch.tensor([[[5 / 8, 2 / 8, 1 / 8], [1 / 7, 4 / 7, 2 / 7]], [[1 / 4, 1 / 4, 2 / 4], [1 / 3] * 3]])
    torch.testing.assert_close(shares, expected.permute(2, 0, 1).expand(2, -1, -1, -1))


def test_other_classes_each_have_their_own(masks: tuple[torch.Tensor, torch.Tensor]):
    shares = observed(masks, exclusive=False)(torch.rand(1, 3, 2, 2)).sigmoid()
    expected = torch.tensor([[[5 / 7, 2 / 7, 1 / 7], [1 / 6, 4 / 6, 2 / 6]], [[1 / 3, 1 / 3, 2 / 3], [1 / 2] * 3]])
    torch.testing.assert_close(shares[0], expected.permute(2, 0, 1))


def test_without_ignored_pixels_every_one_counts():
    network = Frequency(classes=1, image_size=(1, 3))
    network.observe(torch.tensor([[[[True, True, False]]], [[[True, False, False]]]]), None)
    network.finish(exclusive=False)
    torch.testing.assert_close(network(torch.zeros(1, 3, 1, 3))[0, 0, 0].sigmoid(), torch.tensor([3, 2, 1]) / 4)


def test_its_finished_weights_are_its_logits(masks: tuple[torch.Tensor, torch.Tensor]):
    network = observed(masks, exclusive=True)
    assert list(network.state_dict()) == ["logits_KHW"] and not list(network.parameters())
    other = Frequency(classes=3, image_size=(2, 2))
    other.load_state_dict(network.state_dict())
    picture = torch.rand(1, 3, 2, 2)
    assert torch.equal(other(picture), network(picture))


def test_another_size_is_interpolated(masks: tuple[torch.Tensor, torch.Tensor]):
    network = observed(masks, exclusive=True)
    found = network(torch.rand(1, 3, 8, 8))
    torch.testing.assert_close(found[0, :, ::7, ::7], network.logits_KHW)  # the corners
    middle = network.logits_KHW.mean((1, 2))
    torch.testing.assert_close(found[0, :, 3:5, 3:5].mean((1, 2)), middle)
