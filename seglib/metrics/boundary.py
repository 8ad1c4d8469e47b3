"""How well outlines agree: Boundary IoU, the normalised surface distance and the 95 % Hausdorff distance.

The scores that these counts become are defined in `metrics.scores`.

Counts a picture and class, so that scores are aggregated later:

    boundary IoU = boundary_tp / (boundary_tp + boundary_fp + boundary_fn)     Cheng et al. 2021, arXiv 2103.16562
                   of the pixels in a band along the inside of each mask's outline
    NSD          = surface_hits / surface_total                                Nikolov et al. 2018, arXiv 1809.04430
                   hits lie within a tolerance of the other outline
    hd95         in pixels                                                     as MONAI's compute_hausdorff_distance

The outside of the picture is background everywhere: a mask has an outline where it meets the picture's border.
Shapes: B batch, K classes, H, W, P planes (those of one class and picture that hold something), N pixels of surfaces;
C is a pair, predicted and true, and S = 2P all predicted planes, then all true ones.
"""

import math

import numpy as np

from seglib.metrics.planes import framed, pixels_P, square, surface

BOUNDARY = ("boundary_tp", "boundary_fp", "boundary_fn", "surface_hits", "surface_total", "hd95")

BAND = 0.02  # of the picture's diagonal, as the authors of boundary IoU define it
CHUNK = 2**16  # pairs of a pixel and a column looked at in one go: 256 KiB, which a processor cache holds


def band_of(height: int, width: int) -> int:
    """The width in pixels of boundary IoU's band in a picture of this size, rounded as `mask_to_boundary` rounds it.

    `mask_to_boundary` is the authors' own code, in boundary_iou/utils/boundary_utils.py of their boundary-iou-api.
    """
    return max(1, round(BAND * math.sqrt(height**2 + width**2)))


def boundary_BK6(predicted_BKHW: np.ndarray, truth_BKHW: np.ndarray, *, tolerance: int, band: int | None
                 ) -> np.ndarray:
    """The values of `BOUNDARY` a picture and class: boolean planes to float64 (B, K, 6).

    boundary_*: pixels of the two boundary regions, a region being the mask's pixels that `band` erosions by a 3x3
    square remove, as in the authors' `mask_to_boundary`. If `band` is None, it is `band_of` the planes' size.
    surface_*: a surface is the mask's pixels that have one of their 4 neighbours outside it. Hits are the pixels of
    either surface at most `tolerance` pixels (Euclidean) from the other one; the total is both numbers of pixels.
    hd95: the larger of the two directed 95th percentiles of the distances between the surfaces, in pixels, linear
    between ranks. NaN where both masks are empty; where one is, the picture's diagonal, sqrt(H² + W²).
    """
    pictures, classes, height, width = truth_BKHW.shape
    band = band_of(height, width) if band is None else band
    assert tolerance >= 1 and band >= 1, (tolerance, band)
    values = np.zeros((pictures * classes, len(BOUNDARY)))
    values[:, -1] = np.nan
    masks_C = [planes.reshape(-1, height, width) for planes in (predicted_BKHW, truth_BKHW)]
    is_there_C = np.stack([masks_PHW.any((1, 2)) for masks_PHW in masks_C])
    some = np.flatnonzero(is_there_C.any(0))
    if len(some):
        masks_SHW = framed(np.concatenate([masks_PHW[some] for masks_PHW in masks_C]), 1)
        surfaces_SHW = surface(masks_SHW)
        values[some, :3] = _regions_P3(masks_SHW, band)
        values[some, 4] = pixels_P(surfaces_SHW).reshape(2, -1).sum(0)
        values[some, 5] = np.hypot(height, width)
    if len(both := np.flatnonzero(is_there_C.all(0))):
        paired_P = is_there_C[:, some].all(0)
        values[both, 3], values[both, 5] = _distances(surfaces_SHW[np.tile(paired_P, 2)], tolerance)
    return values.reshape(pictures, classes, -1)


def _regions_P3(masks_SHW: np.ndarray, band: int) -> np.ndarray:
    """Pixels in both boundary regions, in the predicted one only, in the true one only."""
    eroded_SHW = masks_SHW
    for _ in range(band):
        eroded_SHW = square(eroded_SHW, np.logical_and)
    predicted_PHW, truth_PHW = np.split(masks_SHW & ~eroded_SHW, 2)
    tp_P = pixels_P(predicted_PHW & truth_PHW)
    return np.stack([tp_P, pixels_P(predicted_PHW) - tp_P, pixels_P(truth_PHW) - tp_P], axis=1)


def _distances(surfaces_SHW: np.ndarray, tolerance: int) -> tuple[np.ndarray, np.ndarray]:
    """(P,) hits and (P,) hd95 of surfaces that are all not empty."""
    surface_N, squares_N = _squared_distances(surfaces_SHW)
    surfaces = len(surfaces_SHW)
    hits_S = np.bincount(surface_N[squares_N <= tolerance**2], minlength=surfaces)
    hd95_S = _percentile95_S(surface_N, squares_N, surfaces)
    return hits_S.reshape(2, -1).sum(0), hd95_S.reshape(2, -1).max(0)


def _squared_distances(surfaces_SHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From each pixel of each surface the squared distance to the nearest of its counterpart; exact.

    Returns the surface (N,), ascending, and the square (N,) of each pixel. The nearest pixel of every column first,
    then the best column: the time depends on S, H, W and N alone.
    """
    surfaces, height, width = surfaces_SHW.shape
    far = 2 * (height + width)  # a column without any pixel never wins
    in_column_HSW = np.where(surfaces_SHW.swapaxes(0, 1), np.int32(0), np.int32(far))
    for y in range(1, height):
        np.minimum(in_column_HSW[y], in_column_HSW[y - 1] + 1, out=in_column_HSW[y])
    for y in range(height - 2, -1, -1):
        np.minimum(in_column_HSW[y], in_column_HSW[y + 1] + 1, out=in_column_HSW[y])
    in_column_HSW *= in_column_HSW

    surface_N, place_N = np.divmod(np.flatnonzero(surfaces_SHW), height * width)
    y_N, x_N = np.divmod(place_N, width)
    row_N = y_N * surfaces + (surface_N + surfaces // 2) % surfaces
    rows = in_column_HSW.reshape(-1, width)
    column_W = np.arange(width, dtype=np.int32)
    across_WW = (column_W[:, None] - column_W) ** 2
    step = max(1, CHUNK // width)
    return surface_N, np.concatenate([(rows[row_N[i:i + step]] + across_WW[x_N[i:i + step]]).min(1)
                                      for i in range(0, len(row_N), step)])


def _percentile95_S(surface_N: np.ndarray, squares_N: np.ndarray, surfaces: int) -> np.ndarray:
    """Of the roots, a surface each; equal to `np.quantile(np.sqrt(squares), 0.95)` of its squares."""
    most = int(squares_N.max()) + 1
    ordered_N = np.sort(surface_N * most + squares_N) % most  # in the order of surfaces, then of squares
    pixels_S = np.bincount(surface_N, minlength=surfaces)
    first_S = np.cumsum(pixels_S) - pixels_S
    rank_S = 0.95 * (pixels_S - 1)
    below_S = rank_S.astype(np.int64)
    low_S, high_S = (np.sqrt(ordered_N[first_S + np.minimum(place_S, pixels_S - 1)]) for place_S in
                     (below_S, below_S + 1))
    return low_S + (high_S - low_S) * (rank_S - below_S)
