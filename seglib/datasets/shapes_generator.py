"""Random overlapping shapes, written in the file format of the course's PurdueShapes5MultiObject.

The course's pictures were not available when this was written. Number and size of the shapes are calibrated to the
losses that its sources print: with label targets, an output of all zeros has a mean squared error of 460 to 490 (see
docs/munet.md). The speckle is what turning a shape without interpolation leaves, as in the course's figures. Whether
the course's masks have these holes too is not known; ours do not.

The same bytes on every machine: integers only from the random generator to the pixels (sine and cosine come from a
table rounded to 1/16384), and a compressed stream that every zlib writes alike.

Shapes: H = W = 64, five classes.
"""

import dataclasses
import functools
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
COUNTS = (1, 1, 1, 2, 2, 2, 3, 4, 4, 5)  # how many objects; each entry is equally likely
RADII = range(6, 13)  # of objects, in pixels
MARGIN = 5  # pixels: how close to the border the middle of an object may lie
MIN_VISIBLE = 0.7  # of an object's area: one that is covered by more than the rest is drawn again

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


@functools.cache
def _hit(degree: int) -> np.ndarray:
    """The pixels of a picture that are hit if all pixels are turned about its middle and rounded: bool (H, W).

    The other pixels keep the background: this is the speckle.
    """
    cosine, sine = COSINE[degree], COSINE[(degree - 90) % 360]
    y, x = np.indices((2 * SIDE, 2 * SIDE)) - SIDE
    column = (x * cosine - y * sine + _UNIT // 2) // _UNIT + SIDE // 2
    row = (x * sine + y * cosine + _UNIT // 2) // _UNIT + SIDE // 2
    inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
    hit = np.zeros((SIDE, SIDE), bool)
    hit[row[inside], column[inside]] = True
    return hit


def _draw_object(random: np.random.Generator, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """One shape of random size, place and turn, perhaps cut by the border: its plane, and the pixels it colours.

    Both are boolean (H, W).
    """
    radius, aspect = int(random.integers(RADII.start, RADII.stop)), int(random.integers(45, 91))
    center = tuple(int(value) for value in random.integers(MARGIN, SIDE - MARGIN, 2))
    degree = int(random.integers(360))
    canvas = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(canvas).polygon(_turned(_corners(shape, radius, aspect), degree, center), fill=1)
    plane = np.asarray(canvas).astype(bool)
    shift = (center[1] - SIDE // 2, center[0] - SIDE // 2)
    return plane, plane & np.roll(_hit(degree), shift, (0, 1))


def _objects(random: np.random.Generator) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """1 to 5 (shape, plane, coloured pixels), later ones on top. Enough of each is visible for a viewer to recognise
    it.
    """
    names = list(LABELS)
    while True:
        count = COUNTS[random.integers(len(COUNTS))]
        drawn = [(shape, *_draw_object(random, shape)) for shape in (names[i] for i in random.integers(0, 5, count))]
        above, visible = np.zeros((SIDE, SIDE), bool), []
        for _, plane, _ in reversed(drawn):
            visible.append((plane & ~above).sum() >= max(MIN_VISIBLE * plane.sum(), 12))
            above |= plane
        if all(visible):
            return drawn


@dataclasses.dataclass(frozen=True)
class Picture:
    """A generated picture and its truth.

    pixels: uint8 (H, W, 3).
    planes: uint8 (5, H, W), a class's label value where it is. They hold whole objects, the parts that others cover
    too.
    boxes: by class index, [min_x, min_y, max_x, max_y] of each object, inclusive.
    classes: the class index of each object, in the order of drawing.
    instances: uint8 (H, W), the number of the object that is seen there, from 1 in the order of drawing; 0 for none.
    """

    pixels: np.ndarray
    planes: np.ndarray
    boxes: dict[int, list[list[int]]]
    classes: list[int]
    instances: np.ndarray


def picture(random: np.random.Generator, background: str) -> Picture:
    pixels = _background(random, background)
    planes, instances = np.zeros((len(LABELS), SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    boxes: dict[int, list[list[int]]] = {k: [] for k in range(len(LABELS))}
    classes = []
    for number, (shape, plane, colored) in enumerate(_objects(random), 1):
        k = list(LABELS).index(shape)
        classes.append(k)
        planes[k][plane], instances[plane] = LABELS[shape], number
        rows, columns = plane.nonzero()
        boxes[k].append([int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())])
        color = random.integers(40, 256, 3)
        color[random.integers(3)] = random.integers(180, 256)  # one bright channel: never lost on the background
        pixels[colored] = color
    return Picture(pixels, planes, boxes, classes, instances)


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


def generate(path: Path, instances_path: Path, *, images: int, seed: int, stream: int, background: str) -> None:
    """Write `images` pictures to `path` as the course does: gzip of the pickled (dataset, label map).

    `instances_path` gets what the course's format has no place for, in a gzip of a pickle too: for each picture
    [classes, instances], see `Picture`. `seed` and `stream` choose the pictures; another stream of one seed (train,
    test) shares none with it.
    """
    dataset, instances = {}, {}
    for i in tqdm(range(images), desc=f"drawing {path.name}", unit="picture", disable=None):
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream, i])))
        drawn = picture(random, background)
        red, green, blue = drawn.pixels.reshape(-1, 3).T.tolist()
        dataset[i] = [red, green, blue, drawn.planes, drawn.boxes]
        instances[i] = [drawn.classes, drawn.instances]
    _write(path, (dataset, LABELS))
    _write(instances_path, instances)


def _write(path: Path, content: object) -> None:
    with path.open("wb") as file:
        gzipped = _GzipWriter(file)
        _FixedArrays(gzipped, protocol=3).dump(content)
        gzipped.close()
