"""Augmentation against torch's own flips, turns and resizes, and against a picture that its mask is drawn into."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from seglib import tasks
from seglib.configs import NEUTRAL
from seglib.training.augment import Augment, change_color, sample_masks, sample_pictures, source_positions

ALL = {"flip": 0.5, "vertical_flip": 0.5, "rotation": 30.0, "crop_min": 0.3, "crop_max": 0.9, "color": 0.3}
SIGNED = {torch.int8: np.int8, torch.int16: np.int16, torch.int32: np.int32}


def batch(pictures: int = 4, height: int = 12, width: int = 18, dtype: torch.dtype = torch.int8
          ) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pictures and masks that use every bit of their type."""
    random = np.random.default_rng(0)
    limits = np.iinfo(SIGNED[dtype])
    masks = random.integers(limits.min, limits.max, (pictures, height, width), SIGNED[dtype], endpoint=True)
    images = random.integers(0, 256, (pictures, height, width, 3), np.uint8)
    return torch.from_numpy(images), torch.from_numpy(masks)


def apply(settings: dict[str, float], images: torch.Tensor, masks: torch.Tensor, *, task: str = "multilabel",
          seed: int = 1, epoch: int = 1, iteration: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    augment = Augment(dataclasses.replace(NEUTRAL, **settings), seed, task=tasks.get(task), steps=1,
                      batch_size=len(images), device=torch.device("cpu"))
    return augment.apply(images, masks, augment.draws(len(images), epoch=epoch, iteration=iteration))


def positions(height: int, width: int, *, degrees: float = 0, side: float = 1, left: float = 0, top: float = 0
              ) -> tuple[torch.Tensor, torch.Tensor]:
    angle, *rest = (torch.tensor([value]) for value in (math.radians(degrees), side, left, top))
    return source_positions(angle_B=angle, side_B=rest[0], left_B=rest[1], top_B=rest[2], size=(height, width))


def same(found: tuple[torch.Tensor, torch.Tensor], expected: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", SIGNED)
@pytest.mark.parametrize(("setting", "axis"), [("flip", 2), ("vertical_flip", 1)])
def test_a_flip_is_torchs_flip_bit_for_bit(setting: str, axis: int, dtype: torch.dtype):
    images, masks = batch(dtype=dtype)
    once = apply({setting: 1.0}, images, masks)
    assert same(once, (images.flip(axis), masks.flip(axis)))
    assert same(apply({setting: 1.0}, *once), (images, masks))


def test_nothing_asked_is_nothing_done():
    images, masks = batch()
    assert same(apply({}, images, masks), (images, masks))


@pytest.mark.parametrize("setting", ["flip", "vertical_flip"])
def test_flips_come_as_often_as_asked(setting: str):
    images, masks = torch.zeros(50, 2, 2, 3, dtype=torch.uint8), torch.zeros(50, 2, 2, dtype=torch.int8)
    masks[:, 0, 0] = 1
    flipped = sum((apply({setting: 0.3}, images, masks, iteration=i)[1][:, 0, 0] == 0).sum().item() for i in range(40))
    assert abs(flipped / 2000 - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 2000)


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_a_quarter_turn_is_torchs_rot90(turns: int):
    images, masks = batch(1, 10, 10, torch.int32)
    at = positions(10, 10, degrees=90 * turns)
    assert torch.equal(sample_masks(masks, *at, outside=-1), masks.rot90(turns, (1, 2)))
    pictures = images.permute(0, 3, 1, 2).float()
    torch.testing.assert_close(sample_pictures(pictures, *at), pictures.rot90(turns, (2, 3)), rtol=0, atol=1e-2)


def test_a_half_turn_of_a_wide_picture_keeps_it_whole_and_a_quarter_turn_does_not():
    _, masks = batch(1, 8, 20)
    assert torch.equal(sample_masks(masks, *positions(8, 20, degrees=180), outside=0), masks.rot90(2, (1, 2)))
    turned = sample_masks(torch.ones(1, 8, 20, dtype=torch.int8), *positions(8, 20, degrees=90), outside=0)
    assert turned[0, :, 6:14].all() and not turned[0, :, :6].any() and not turned[0, :, 14:].any()


@pytest.mark.parametrize(("left", "top"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0)])
def test_a_quarter_crop_is_a_slice_resized(left: float, top: float):
    images, masks = batch(1, 16, 24)
    pictures, at = images.permute(0, 3, 1, 2).float(), positions(16, 24, side=0.5, left=left, top=top)
    row, column = int(top * 8), int(left * 12)
    # Beside the crop's edge ours sees the pixels beyond it, as the picture has them: so the slice keeps one of them.
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")[:, :, row:row + 10, column:column + 14]
    expected = functional.interpolate(padded, scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(sample_pictures(pictures, *at), expected, rtol=0, atol=1e-3)
    sliced = masks[:, row:row + 8, column:column + 12]
    assert torch.equal(sample_masks(masks, *at, outside=-1), sliced.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_crops_keep_the_share_of_the_area_that_was_asked_for_and_lie_within_the_picture():
    ramp = torch.arange(256).repeat(256, 1)
    images = torch.stack((ramp, ramp.T, ramp), -1).to(torch.uint8).repeat(64, 1, 1, 1)
    found, masks = apply({"crop_min": 0.25, "crop_max": 0.25}, images, torch.zeros(64, 256, 256, dtype=torch.int8))
    spans = found.amax((1, 2)).int() - found.amin((1, 2)).int()
    assert (spans - 127).abs().max() <= 1  # half of each side
    assert (masks == 0).all()
    starts = found.amin((1, 2))[:, :2].float()
    assert starts.amin() < 8 and 120 < starts.amax() < 129
    cropped, _ = apply({"crop_min": 0.25, "crop_max": 1.0}, images, masks)
    areas = ((cropped.amax((1, 2)).int() - cropped.amin((1, 2)).int())[:, 0] / 256).square()
    assert areas.min() < 0.3 and areas.max() > 0.9 and abs(areas.mean() - 0.625) < 4 * 0.217 / 8


@pytest.mark.parametrize("settings", [{"rotation": 45.0}, {"crop_min": 0.2, "crop_max": 0.6}, ALL | {"color": 0.0}])
def test_picture_and_mask_move_together(settings: dict[str, float]):
    y, x = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    drawn = ((x - 40) / 15) ** 2 + ((y - 20) / 8) ** 2 < 1
    images = (drawn * 255).to(torch.uint8)[None, ..., None].repeat(24, 1, 1, 3)
    found, masks = apply(settings, images, drawn.to(torch.int8).repeat(24, 1, 1))
    counted = masks >= 0
    differs = ((found[..., 0] > 127) != (masks == 1)) & counted
    # A pixel's nearest one and its bilinear mean may part on the outline alone.
    interior = (found[..., 0] == 0) | (found[..., 0] == 255)
    assert not (differs & interior).any() and differs.sum() < 0.01 * counted.sum()
    assert (masks == 1).sum() > 0.02 * counted.sum()


@pytest.mark.parametrize("dtype", SIGNED)
def test_masks_keep_every_bit(dtype: torch.dtype):
    images, masks = batch(6, 32, 32, dtype)
    found, moved = apply({"rotation": 20.0, "crop_min": 0.5, "crop_max": 0.9}, images, masks)
    assert found.dtype == torch.uint8 and found.shape == images.shape
    assert moved.dtype == dtype and moved.shape == masks.shape
    for before, after in zip(masks, moved, strict=True):
        assert set(after.unique().tolist()) <= set(before.unique().tolist()) | {torch.iinfo(dtype).min}


def test_all_words_of_a_mask_move_together():
    """As each of them does alone."""
    settings = {"flip": 0.5, "vertical_flip": 0.5, "rotation": 20.0, "crop_min": 0.5}
    images, words = batch(6, 32, 32, torch.int32)
    others = words.flip(0)
    _, moved = apply(settings, images, torch.stack([words, others], dim=-1))
    for word, found in zip((words, others), moved.unbind(-1), strict=True):
        assert torch.equal(found, apply(settings, images, word)[1])


def test_the_highest_bits_of_wide_masks_survive():
    masks = torch.from_numpy(np.full((1, 16, 16), 0xC0000001, np.uint32).view(np.int32))
    moved = sample_masks(masks, *positions(16, 16, degrees=30, side=0.5, left=0.5, top=0.5), outside=0)
    assert (moved.numpy().view(np.uint32) == 0xC0000001).all()


@pytest.mark.parametrize(("task", "dtype", "bits"), [
    ("multilabel", torch.int8, 0x80), ("multilabel", torch.int16, 0x8000), ("multilabel", torch.int32, 0x80000000),
    ("multiclass", torch.int8, 0xFF), ("multiclass", torch.int16, 0xFFFF)])
def test_outside_the_picture_nothing_counts(task: str, dtype: torch.dtype, bits: int):
    unsigned = np.dtype(f"uint{8 * dtype.itemsize}")
    images, masks = torch.full((8, 20, 20, 3), 77, dtype=torch.uint8), torch.ones(8, 20, 20, dtype=dtype)
    found, moved = apply({"rotation": 45.0}, images, masks, task=task)
    assert (found == 77).all()  # the edge is repeated
    assert set(moved.numpy().view(unsigned).flatten()) == {1, bits}
    assert (moved[:, 5:15, 5:15] == 1).all()  # the middle stays within


def test_angles_are_uniform_within_their_range():
    y, x = torch.meshgrid(torch.arange(101) - 50, torch.arange(101) - 50, indexing="ij")
    needle = ((x > 0) & (y.abs() <= 1)).to(torch.int8).repeat(200, 1, 1)
    _, moved = apply({"rotation": 20.0}, torch.zeros(200, 101, 101, 3, dtype=torch.uint8), needle)
    drawn = (moved == 1).float()
    angles = torch.rad2deg(torch.atan2(-(drawn * y).sum((1, 2)), (drawn * x).sum((1, 2))))  # counter-clockwise
    assert angles.abs().max() < 20.5 and angles.max() > 18 and angles.min() < -18
    assert abs(angles.mean()) < 4 * 20 / math.sqrt(3 * 200)


def test_color_is_brightness_then_contrast_then_saturation():
    x = torch.rand(2, 3, 5, 7) * 255
    brightness, contrast, saturation = torch.tensor([[0.7, 1.2], [1.3, 0.8], [0.5, 1.4]])
    expected = []
    for picture, b, c, s in zip(x.numpy(), brightness.tolist(), contrast.tolist(), saturation.tolist(), strict=True):
        step = picture * b
        grey = np.tensordot([0.299, 0.587, 0.114], step, 1)
        step = c * step + (1 - c) * grey.mean()
        grey = np.tensordot([0.299, 0.587, 0.114], step, 1)
        expected.append(s * step + (1 - s) * grey)
    torch.testing.assert_close(change_color(x, brightness, contrast, saturation).numpy(),
                               np.stack(expected).astype(np.float32), rtol=1e-5, atol=1e-2)


def test_color_leaves_the_mask_and_stays_within_a_byte():
    images, masks = batch(16)
    found, moved = apply({"color": 0.9}, images, masks)
    assert torch.equal(moved, masks) and found.dtype == torch.uint8 and not torch.equal(found, images)
    white = apply({"color": 0.5}, torch.full((16, 4, 4, 3), 255, dtype=torch.uint8), masks[:, :4, :4])[0]
    assert (white.amin((1, 2, 3)) == white.amax((1, 2, 3))).all() and white.max() == 255  # grey stays grey; no wrap
    assert 127 <= white.min() < 200


def test_a_seed_an_epoch_and_an_iteration_decide_it_all():
    images, masks = batch(8)
    first = apply(ALL, images, masks)
    assert same(first, apply(ALL, images, masks))
    for change in ({"seed": 2}, {"epoch": 2}, {"iteration": 2}):
        assert not same(first, apply(ALL, images, masks, **change))


def test_it_leaves_its_input_and_the_global_generator_alone():
    images, masks = batch()
    before, state = (images.clone(), masks.clone()), torch.get_rng_state()
    apply(ALL, images, masks)
    assert same((images, masks), before) and torch.equal(torch.get_rng_state(), state)


def test_draws_do_not_depend_on_the_settings_or_on_the_batch_s_size():
    images, masks = batch(8)
    flipped = apply({"flip": 0.5}, images, masks)[1]
    assert torch.equal(apply({"flip": 0.5, "color": 0.5}, images, masks)[1], flipped)
    assert same(apply(ALL, images[:3], masks[:3]), tuple(part[:3] for part in apply(ALL, images, masks)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_seed_means_the_same_on_a_gpu():
    images, masks = batch(8, 32, 32, torch.int32)
    on_cpu, on_gpu = apply(ALL, images, masks), apply(ALL, images.cuda(), masks.cuda())
    assert (on_cpu[0].int() - on_gpu[0].cpu().int()).abs().max() <= 1
    assert (on_cpu[1] != on_gpu[1].cpu()).float().mean() < 1e-3
