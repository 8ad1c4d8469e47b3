"""Random overlapping shapes, written in the file format of the course's PurdueShapes5MultiObject.

The same bytes on every machine: integers only from the random generator to the pixels (sine and cosine come from a
table rounded to 1/16384), and a compressed stream that every zlib writes alike.

Shapes: H = W = 64, five classes.
"""

import math
import pickle
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

SIDE = 64
LABELS = {"rectangle": 50, "triangle": 100, "disk": 150, "oval": 200, "star": 250}
MAX_OBJECTS = 5
MIN_VISIBLE = 0.7  # of an object's area: one that is covered by more than the rest is drawn again
SPECKLE = 50  # one object pixel in so many shows the background, as in the course's pictures

_UNIT = 1 << 14
COSINE = [round(math.cos(math.radians(degree)) * _UNIT) for degree in range(360)]
_SUBPIXEL = 1 << 8


def _turned(points: list[tuple[int, int]], degree: int, center: tuple[int, int]) -> list[tuple[int, int]]:
    """Corners (in 1/256 pixel, about the origin) turned and moved to `center` (pixels), rounded to pixels."""
    cosine, sine, scale = COSINE[degree], COSINE[(degree - 90) % 360], _UNIT * _SUBPIXEL
    return [(center[0] + (x * cosine - y * sine + scale // 2) // scale,
             center[1] + (x * sine + y * cosine + scale // 2) // scale) for x, y in points]


def _ring(radius_x: int, radius_y: int, corners: int) -> list[tuple[int, int]]:
    """A regular polygon's corners, stretched: radii in 1/256 pixel."""
    step = 360 // corners
    return [(COSINE[i * step] * radius_x // _UNIT, COSINE[(i * step - 90) % 360] * radius_y // _UNIT)
            for i in range(corners)]


def _corners(shape: str, radius: int, aspect: int) -> list[tuple[int, int]]:
    """Corners about the origin in 1/256 pixel. `radius` in pixels; `aspect`, the shorter side in percent."""
    r = radius * _SUBPIXEL
    short = r * aspect // 100
    match shape:
        case "rectangle":
            return [(-r, -short), (r, -short), (r, short), (-r, short)]
        case "triangle":
            return [(0, -r), (short, r * 3 // 4), (-short, r * 3 // 4)]
        case "disk":
            return _ring(r, r, 36)
        case "oval":
            return _ring(r, r * min(aspect, 60) // 100, 36)
        case "star":
            outer, inner = _ring(r, r, 10), _ring(r * 2 // 5, r * 2 // 5, 10)
            return [(outer if i % 2 == 0 else inner)[i] for i in range(10)]
    raise AssertionError(shape)


def _background(random: np.random.Generator, kind: str) -> np.ndarray:
    """uint8 (H, W, 3): near black, or a dim colour fading into another with a little grain."""
    grain = random.integers(0, 4, (SIDE, SIDE, 1))
    if kind == "dark":
        return np.broadcast_to(grain, (SIDE, SIDE, 3)).astype(np.uint8)
    first, second = random.integers(0, 110, (2, 3))
    ramp = np.arange(SIDE).reshape(-1, 1, 1)
    picture = first + (second - first) * ramp // (SIDE - 1) + grain
    return (picture if random.integers(2) else picture.transpose(1, 0, 2)).astype(np.uint8)


def _draw_object(random: np.random.Generator, shape: str) -> np.ndarray:
    """A boolean plane (H, W): one shape of random size, place and turn, perhaps cut by the border."""
    radius, aspect = int(random.integers(8, 20)), int(random.integers(45, 91))
    center = tuple(int(value) for value in random.integers(8, SIDE - 8, 2))
    canvas = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(canvas).polygon(_turned(_corners(shape, radius, aspect), int(random.integers(360)), center), fill=1)
    return np.asarray(canvas).astype(bool)


def _objects(random: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    """1 to 5 (shape, plane), later ones on top, none covered beyond what a viewer could tell."""
    names = list(LABELS)
    while True:
        count = int(random.integers(1, MAX_OBJECTS + 1))
        drawn = [(shape, _draw_object(random, shape)) for shape in (names[i] for i in random.integers(0, 5, count))]
        above, visible = np.zeros((SIDE, SIDE), bool), []
        for _, plane in reversed(drawn):
            visible.append((plane & ~above).sum() >= max(MIN_VISIBLE * plane.sum(), 12))
            above |= plane
        if all(visible):
            return drawn


def picture(random: np.random.Generator, background: str) -> tuple[np.ndarray, np.ndarray, dict[int, list[list[int]]]]:
    """One picture: pixels uint8 (H, W, 3); label-valued planes uint8 (5, H, W); boxes by class index.

    Planes hold whole objects, the parts that others cover too. Boxes are [min_x, min_y, max_x, max_y], inclusive.
    """
    pixels = _background(random, background)
    planes = np.zeros((len(LABELS), SIDE, SIDE), np.uint8)
    boxes: dict[int, list[list[int]]] = {k: [] for k in range(len(LABELS))}
    for shape, plane in _objects(random):
        k = list(LABELS).index(shape)
        planes[k][plane] = LABELS[shape]
        rows, columns = plane.nonzero()
        boxes[k].append([int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())])
        color = random.integers(40, 256, 3)
        color[random.integers(3)] = random.integers(180, 256)  # one bright channel: never lost on the background
        speckle = random.integers(0, SPECKLE, (SIDE, SIDE)) == 0
        pixels[plane & ~speckle] = color
    return pixels, planes, boxes


class _FixedArrays(pickle.Pickler):
    """Writes arrays as `numpy.ndarray(shape, dtype, buffer)`: a name every NumPy has, and the same bytes with each."""

    def reducer_override(self, value: object) -> object:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.name, value.tobytes())
        return NotImplemented


class _GzipWriter:
    """A gzip stream whose bytes depend on its content alone: no time, no name, and run-length matching only.

    zlib's default matching is not the same in zlib-ng, which some systems ship as zlib; Z_RLE is.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._checksum, self._size = file, 0, 0
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_RLE)
        file.write(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff")  # magic, deflate, no flags, no time, best, no system

    def write(self, data: bytes) -> int:
        self._checksum, self._size = zlib.crc32(data, self._checksum), self._size + len(data)
        self._file.write(self._deflate.compress(data))
        return len(data)

    def close(self) -> None:
        self._file.write(self._deflate.flush() + struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF))


def generate(path: Path, *, images: int, seed: int, stream: int, background: str) -> None:
    """Write `images` pictures to `path` as the course does: gzip of the pickled (dataset, label map).

    `seed` and `stream` choose the pictures; another stream of one seed (train, test) shares none with it.
    """
    dataset = {}
    for i in tqdm(range(images), desc=f"drawing {path.name}", unit="picture", disable=None):
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream, i])))
        pixels, planes, boxes = picture(random, background)
        red, green, blue = pixels.reshape(-1, 3).T.tolist()
        dataset[i] = [red, green, blue, planes, boxes]
    with path.open("wb") as file:
        gzipped = _GzipWriter(file)
        _FixedArrays(gzipped, protocol=3).dump((dataset, LABELS))
        gzipped.close()
