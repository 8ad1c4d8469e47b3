"""Surfaces and distances against MONAI, boundary regions against SciPy's erosion, small cases by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage
from scipy.spatial import distance

from seglib.metrics.boundary import BOUNDARY, band_of, boundary_BK6

pytestmark = [
    # MONAI says so for every empty mask, which these tests are full of.
    pytest.mark.filterwarnings("ignore:the (ground truth|prediction) of class .* is all 0:UserWarning"),
    # MONAI 1.6.1 passes an argument that it deprecates itself.
    pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges.always_return_as_numpy:FutureWarning"),
]


def plane(*rows: str) -> np.ndarray:
    """(1, H, W) from rows of "#" and "."."""
    return np.array([[[pixel == "#" for pixel in row] for row in rows]])


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true (3, H, W): lumps and dust, of any density, with empty and full planes among them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    block = draw(st.integers(1, 6))
    densities = [draw(st.sampled_from([0, 0.02, 0.3, 0.7, 1])) for _ in range(6)]
    coarse = random.random((6, height // block + 1, width // block + 1)) < np.reshape(densities, (6, 1, 1))
    fine = coarse.repeat(block, 1).repeat(block, 2)[:, :height, :width]
    return fine[:3], fine[3:]


def boundary_K6(predicted: np.ndarray, truth: np.ndarray, *, tolerance: int, band: int | None = 1) -> np.ndarray:
    """Of one picture."""
    return boundary_BK6(predicted[None], truth[None], tolerance=tolerance, band=band)[0]


def by_hand(predicted: np.ndarray, truth: np.ndarray, tolerance: int = 1, band: int | None = 1) -> dict[str, float]:
    return dict(zip(BOUNDARY, boundary_K6(predicted, truth, tolerance=tolerance, band=band)[0].tolist(), strict=True))


def test_full_overlap():
    square = plane("......", ".####.", ".####.", ".####.", ".####.", "......")
    assert by_hand(square, square) == {"boundary_tp": 12, "boundary_fp": 0, "boundary_fn": 0,
                                       "surface_hits": 24, "surface_total": 24, "hd95": 0}
    assert by_hand(square, square, band=2)["boundary_tp"] == 16  # nothing is farther from the contour


def test_half_overlap():
    # From either side the distances are 0, 0, 1, 2; their 95th percentile lies at rank 2.85, so at 1.85.
    assert by_hand(plane("####...."), plane("..####..")) == pytest.approx(
        {"boundary_tp": 2, "boundary_fp": 2, "boundary_fn": 2, "surface_hits": 6, "surface_total": 8, "hd95": 1.85})


def test_no_overlap_of_one_pixel_objects():
    predicted, truth = plane("#...", "....", "....", "....", "...."), plane("....", "....", "....", "....", "...#")
    expected = {"boundary_tp": 0, "boundary_fp": 1, "boundary_fn": 1, "surface_hits": 0, "surface_total": 2, "hd95": 5}
    assert by_hand(predicted, truth, tolerance=4) == expected
    assert by_hand(predicted, truth, tolerance=5) == expected | {"surface_hits": 2}


def test_the_picture_s_border_is_an_outline():
    full = np.ones((1, 5, 5), bool)
    assert by_hand(full, full) == {"boundary_tp": 16, "boundary_fp": 0, "boundary_fn": 0,
                                   "surface_hits": 32, "surface_total": 32, "hd95": 0}


def test_empty_masks():
    full, empty = np.ones((1, 3, 4), bool), np.zeros((1, 3, 4), bool)
    false_alarm, missed, nothing = by_hand(full, empty), by_hand(empty, full), by_hand(empty, empty)
    # The diagonal of 3 by 4 pixels; 10 pixels at the border.
    assert list(false_alarm.values()) == [0, 10, 0, 0, 10, 5]
    assert list(missed.values()) == [0, 0, 10, 0, 10, 5]
    assert list(nothing.values())[:-1] == [0, 0, 0, 0, 0] and math.isnan(nothing["hd95"])


def test_a_dotted_mask_of_many_pixels():
    dotted, square = np.zeros((2, 1, 150, 140), bool)  # more pixels than one chunk takes
    dotted[:, ::2, ::2] = square[:, 30:90, 30:90] = True
    values = dict(zip(BOUNDARY, boundary_K6(dotted, square, tolerance=1)[0], strict=True))
    assert values["boundary_fp"] + values["boundary_tp"] == values["surface_total"] - 236 == 75 * 70
    assert values["hd95"] == pytest.approx(monai_hd95(dotted, square)[0], rel=1e-6)


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_a_batch_has_the_values_of_its_pictures(seed: int, tolerance: int):
    """Outlines that touch every border meet no other picture's; some planes are empty on either side or on both."""
    random = np.random.default_rng(seed)
    pair = random.random((2, 5, 3, *random.integers(1, 14, 2))) < random.choice([0, 0.1, 0.6, 1], (2, 5, 3, 1, 1))
    values = boundary_BK6(*pair, tolerance=tolerance, band=tolerance)
    assert values.shape == (5, 3, len(BOUNDARY)) and values.dtype == np.float64
    for picture, (predicted, truth) in enumerate(zip(*pair, strict=True)):
        for k in range(3):
            alone = boundary_BK6(predicted[None, k:k + 1], truth[None, k:k + 1], tolerance=tolerance, band=tolerance)
            np.testing.assert_array_equal(values[picture, k], alone[0, 0])


def batch(planes_KHW: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(planes_KHW)[None].float()


def monai_hd95(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return compute_hausdorff_distance(batch(predicted), batch(truth), include_background=True, percentile=95)[0].numpy()


@given(mask_pairs(), st.integers(1, 4))
def test_surfaces_equal_monai_s(pair: tuple[np.ndarray, np.ndarray], tolerance: int):
    predicted, truth = pair
    values = boundary_K6(predicted, truth, tolerance=tolerance)
    hits, total, hd95 = values[:, 3:].T
    dice = compute_surface_dice(batch(predicted), batch(truth), [float(tolerance)] * 3, include_background=True)
    np.testing.assert_allclose(np.divide(hits, total, out=np.full(3, np.nan), where=total > 0), dice[0], rtol=1e-6)
    # For one empty mask MONAI has infinity (or NaN, between two of them); the diagonal stands for it here.
    one_empty = predicted.any((1, 2)) != truth.any((1, 2))
    np.testing.assert_array_equal(hd95[one_empty], math.hypot(*truth.shape[1:]))
    # MONAI finds the rank in float32, and two neighbouring distances may lie the whole picture apart.
    np.testing.assert_allclose(hd95[~one_empty], monai_hd95(predicted, truth)[~one_empty], rtol=0, atol=2e-3)


@given(mask_pairs())
def test_hd95_equals_numpy_s_quantile_of_all_distances(pair: tuple[np.ndarray, np.ndarray]):
    for k, masks in enumerate(zip(*pair, strict=True)):
        if masks[0].any() and masks[1].any():
            surfaces = [np.argwhere(mask_HW & ~ndimage.binary_erosion(mask_HW)) for mask_HW in masks]
            distances = distance.cdist(*surfaces)
            expected = max(np.quantile(distances.min(axis), 0.95) for axis in (0, 1))
            assert boundary_K6(*pair, tolerance=1)[k, -1] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(mask_pairs(), st.integers(1, 4))
def test_boundary_regions_equal_scipy_s(pair: tuple[np.ndarray, np.ndarray], band: int):
    found = boundary_K6(*pair, tolerance=1, band=band)[:, :3].T
    np.testing.assert_array_equal(found, scipys_regions(pair, band))


def scipys_regions(pair: tuple[np.ndarray, np.ndarray], band: int) -> list[np.ndarray]:
    """Pixels in both boundary regions, in the predicted one only, in the true one only: (K,) each."""
    regions = [np.array([plane_HW & ~ndimage.binary_erosion(plane_HW, np.ones((3, 3)), iterations=band)
                         for plane_HW in planes_KHW]) for planes_KHW in pair]
    return [(predicted & truth).sum((1, 2)) for predicted, truth in
            (regions, (regions[0], ~regions[1]), (~regions[0], regions[1]))]


# The widths are those of what the authors' mask_to_boundary (dilation_ratio=0.02, OpenCV 5.0.0) makes of a mask that
# fills a picture of this size. The diagonal of (100, 75) is 125, and 2.5 is rounded to the even number.
@pytest.mark.parametrize(("size", "band"), [((8, 8), 1), ((53, 53), 1), ((54, 54), 2), ((64, 64), 2), ((100, 75), 2),
                                            ((89, 88), 3), ((256, 256), 7), ((240, 320), 8)])
def test_the_band_is_two_hundredths_of_the_diagonal_as_the_authors_round_it(size: tuple[int, int], band: int):
    assert band_of(*size) == band_of(*size[::-1]) == band
    rng = np.random.default_rng(0)
    pair = [ndimage.zoom(rng.random((1, 4, 4)), (1, size[0] / 4, size[1] / 4), order=1) > 0.4 for _ in range(2)]
    np.testing.assert_array_equal(boundary_K6(*pair, tolerance=1, band=None)[:, :3].T, scipys_regions(pair, band))


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_a_square_of_20_pixels_that_is_moved(moved: int):
    """Bands of 2 pixels have 20² - 16² = 144 pixels each. What they share is a closed form."""
    truth, predicted = np.zeros((2, 1, 64, 64), bool)
    truth[:, 10:30, 10:30] = predicted[:, 10:30, 10 + moved:30 + moved] = True
    shared = 4 * (20 - moved) + 16 * 2 * max(0, 2 - moved)  # in the horizontal strips; in the vertical ones
    found = by_hand(predicted, truth, tolerance=2, band=None)
    assert found["boundary_tp"] == shared and found["boundary_fp"] == found["boundary_fn"] == 144 - shared
    is_near = moved <= 2
    assert (found["surface_hits"] == found["surface_total"]) is is_near
    if moved == 2:  # outlines agree within the tolerance, and most of the bands does not
        assert shared / (288 - shared) == pytest.approx(1 / 3)


@given(mask_pairs(), st.integers(1, 4), st.permutations(range(3)))
def test_laws(pair: tuple[np.ndarray, np.ndarray], tolerance: int, order: list[int]):
    predicted, truth = pair
    values = boundary_K6(predicted, truth, tolerance=tolerance)
    swapped = boundary_K6(truth, predicted, tolerance=tolerance)
    np.testing.assert_array_equal(swapped, values[:, [0, 2, 1, 3, 4, 5]])
    permuted = boundary_K6(predicted[order], truth[order], tolerance=tolerance)
    np.testing.assert_array_equal(permuted, values[order])
    larger = boundary_K6(predicted, truth, tolerance=tolerance + 1)
    assert (values[:, 3] <= larger[:, 3]).all() and (larger[:, 3] <= larger[:, 4]).all()
    np.testing.assert_array_equal(values[:, 4:], larger[:, 4:])
    assert not (values[:, 5] > math.hypot(*truth.shape[1:])).any()
