"""Fitting pictures to the frame and back: against Pillow's own operations, and by properties that must hold."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from seglib.datasets.geometry import MODES, Fit, Size
from seglib.datasets.samples import box_around

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
FITS = st.builds(Fit, st.sampled_from(MODES), SIZES, SIZES)
OWN, FRAME = (333, 500), (256, 192)  # a wide picture, a tall frame


def picture(size: Size) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))


def plane(size: Size, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(size) < 0.5


def test_stretch_is_pillows_resize():
    fit = Fit("stretch", OWN, FRAME)
    np.testing.assert_array_equal(fit.picture(picture(OWN)), picture(OWN).resize((192, 256), Image.Resampling.BILINEAR))
    expected = Image.fromarray(plane(OWN)).resize((192, 256), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(fit.plane(plane(OWN)), expected)
    assert fit.outside() is None


def test_pad_is_the_whole_picture_in_its_proportions():
    fit = Fit("pad", OWN, FRAME)
    contained = ImageOps.contain(picture(OWN), (192, 256), Image.Resampling.BILINEAR)
    assert contained.size == (192, 128)
    found = np.asarray(fit.picture(picture(OWN)))
    np.testing.assert_array_equal(found[64:192], contained)
    assert (found[:64] == found[64]).all() and (found[192:] == found[191]).all()  # the edges, repeated
    outside = np.ones(FRAME, bool)
    outside[64:192] = False
    np.testing.assert_array_equal(fit.outside(), outside)
    assert not fit.plane(np.ones(OWN, bool))[outside].any()
    assert fit.plane(np.ones(OWN, bool))[~outside].all()


def test_crop_is_the_middle_in_the_frames_proportions():
    fit = Fit("crop", OWN, FRAME)
    middle = picture(OWN).crop((125, 0, 375, 333))  # 333 · 192 / 256 = 249.75 wide
    np.testing.assert_array_equal(fit.picture(picture(OWN)), middle.resize((192, 256), Image.Resampling.BILINEAR))
    expected = Image.fromarray(plane(OWN)[:, 125:375]).resize((192, 256), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(fit.plane(plane(OWN)), expected)
    assert fit.outside() is None


@given(FITS)
def test_windows_are_in_the_middle_touch_two_edges_and_keep_proportions(fit: Fit):
    window, around, like = {"stretch": (fit.target, fit.size, fit.size), "pad": (fit.target, fit.size, fit.own),
                            "crop": (fit.source, fit.own, fit.size)}[fit.mode]
    margins = [(window.top, around[0] - window.bottom), (window.left, around[1] - window.right)]
    assert all(0 <= before <= after <= before + 1 for before, after in margins)
    assert (0, 0) in margins
    scale = min(around[0] / like[0], around[1] / like[1])
    assert all(abs(side - max(1, scale * of)) <= 0.5 + 1e-9 for side, of in zip(window.size, like, strict=True))


@given(SIZES, st.sampled_from(MODES), st.integers(0, 9))
def test_a_picture_of_the_frames_size_is_left_alone(size: Size, mode: str, seed: int):
    fit = Fit(mode, size, size)
    np.testing.assert_array_equal(fit.picture(picture(size)), picture(size))
    np.testing.assert_array_equal(fit.plane(plane(size, seed)), plane(size, seed))
    values = torch.from_numpy(np.random.default_rng(seed).random((2, *size), np.float32))
    assert torch.equal(fit.back(values), values)
    assert fit.outside() is None
    assert fit.box((0.25, 0.0, 0.5, 1.0)) == (0.25, 0.0, 0.5, 1.0)


@given(FITS)
def test_full_planes_come_back_full_but_for_what_was_cut_away(fit: Fit):
    planes = torch.from_numpy(np.stack([fit.plane(np.ones(fit.own, bool)), fit.plane(np.zeros(fit.own, bool))]))
    found = fit.back(planes.float())
    expected = torch.zeros(2, *fit.own)
    expected[0, fit.source.top:fit.source.bottom, fit.source.left:fit.source.right] = 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    if fit.mode != "crop":
        assert (found[0] > 0.5).all()


# Two columns at least: torch 2.13's antialiased resize to a width of 1 is wrong on a CPU.
@given(st.tuples(st.integers(1, 40), st.integers(2, 40)), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_a_plane_made_larger_comes_back_as_it_was(own: Size, down: int, right: int, seed: int):
    fit = Fit("stretch", own, (own[0] * down, own[1] * right))
    enlarged = torch.from_numpy(fit.plane(plane(own, seed)))[None].float()
    np.testing.assert_array_equal(fit.back(enlarged)[0] > 0.5, plane(own, seed))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("own", [(333, 500), (500, 333), (100, 40), (40, 41), (256, 192)])
def test_back_is_pillows_resize_of_the_part_that_holds_the_picture(mode: str, own: Size):
    fit = Fit(mode, own, FRAME)
    values = np.random.default_rng(1).random(FRAME, np.float32)
    target, source = fit.target, fit.source
    part = Image.fromarray(values[target.top:target.bottom, target.left:target.right])
    expected = np.zeros(own, np.float32)
    resized = part.resize((source.right - source.left, source.bottom - source.top), Image.Resampling.BILINEAR)
    expected[source.top:source.bottom, source.left:source.right] = resized
    # Weights of float32 here, of float64 there.
    np.testing.assert_allclose(fit.back(torch.from_numpy(values)[None])[0], expected, rtol=0, atol=1e-4)


@given(FITS, st.data())
def test_boxes_move_as_planes_do(fit: Fit, data: st.DataObject):
    top, left = (data.draw(st.integers(0, side - 1)) for side in fit.own)
    bottom, right = (data.draw(st.integers(start + 1, side)) for start, side in zip((top, left), fit.own, strict=True))
    rectangle = np.zeros(fit.own, bool)
    rectangle[top:bottom, left:right] = True
    box, moved = fit.box((left, top, right, bottom)), fit.plane(rectangle)
    if box is None:
        assert not moved.any()
    else:
        assert 0 <= box[0] < box[2] <= fit.size[1] and 0 <= box[1] < box[3] <= fit.size[0]
    assume(moved.any())
    # A pixel is taken where its centre lies in the box: edges of the two are half a pixel apart at most.
    np.testing.assert_allclose(box, box_around(moved), rtol=0, atol=0.5 + 1e-9)


def test_a_box_beyond_what_is_kept_is_none():
    fit = Fit("crop", (10, 30), (10, 10))
    assert fit.box((0, 0, 10, 10)) is None
    assert fit.box((5, 2, 12, 4)) == (0, 2, 2, 4)
    assert fit.box((-5, -5, 40, 40)) == (0, 0, 10, 10)
