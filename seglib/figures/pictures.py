"""Pictures with masks: overlays, contact sheets, grids. Colours are the Okabe-Ito set, safe for colour-blind readers.

Shapes: K classes, H, W; pictures are uint8 (H, W, 3), masks boolean planes (K, H, W).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seglib.datasets.store import DatasetInfo, Split, unpack
from seglib.files import atomic_file

PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178))
INK, PAPER = (40, 40, 40), (255, 255, 255)
FONT_SIZE, GAP, LINE = 13, 10, 22  # points; pixels between tiles; pixels a line of text takes


def class_color(k: int) -> tuple[int, int, int]:
    """The colour of class k; beyond seven classes the set repeats, darker."""
    shade = 0.6 ** (k // len(PALETTE))
    return tuple(int(channel * shade) for channel in PALETTE[k % len(PALETTE)])


def overlay(image_HWC: np.ndarray, planes_KHW: np.ndarray, *, opacity: float = 0.45) -> np.ndarray:
    """The picture with each class tinted and outlined in its colour."""
    drawn = image_HWC.astype(np.float32)
    for k, plane in enumerate(planes_KHW):
        drawn[plane] = (1 - opacity) * drawn[plane] + opacity * np.array(class_color(k), np.float32)
    for k, plane in enumerate(planes_KHW):
        drawn[_outline(plane)] = class_color(k)
    return drawn.round().astype(np.uint8)


def _outline(plane_HW: np.ndarray) -> np.ndarray:
    """The pixels of a plane that have a neighbour outside it."""
    padded = np.pad(plane_HW, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return plane_HW & ~inside


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG whole, with run-length matching (3): the one way of compressing that every zlib does alike."""
    with atomic_file(path) as temporary:
        image.save(temporary, format="PNG", compress_type=3)


def contact_sheet(split: Split, info: DatasetInfo, path: Path, *, chosen: Sequence[int] | None = None,
                  columns: int = 4, side: int = 160) -> None:
    """Pictures of a split beside their overlays, titled by id and classes; 20 evenly spaced ones unless `chosen`."""
    if chosen is None:
        chosen = np.linspace(0, len(split) - 1, min(len(split), 20)).round().astype(int).tolist()
    index = split.index()
    pairs = [(split.images[i], overlay(split.images[i], unpack(split.masks[i], len(info.classes)))) for i in chosen]
    tiles = [np.concatenate([np.asarray(_enlarge(picture, side)) for picture in pair], axis=1) for pair in pairs]
    captions = [f"{index['id'].iat[i]}: {', '.join(dict.fromkeys(index['objects'].iat[i]))}" for i in chosen]
    columns = min(columns, len(tiles))
    save_png(_with_legend(_tiled(tiles, captions, columns), info.classes), path)


def comparison_grid(rows: Sequence[Sequence[np.ndarray]], *, titles: Sequence[str], captions: Sequence[Sequence[str]],
                    legend: Sequence[str], path: Path, side: int = 150) -> None:
    """Rows of pictures under column titles, each over its caption, class colours below."""
    tiles = [np.asarray(_enlarge(picture, side)) for row in rows for picture in row]
    body = _tiled(tiles, [text for row in captions for text in row], len(titles))
    canvas = Image.new("RGB", (body.width, body.height + LINE), PAPER)
    canvas.paste(body, (0, LINE))
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        x = GAP + column * (tiles[0].shape[1] + GAP)
        draw.text((x, LINE), title, INK, _fitting(title, tiles[0].shape[1]), anchor="ls")
    save_png(_with_legend(canvas, legend), path)


def _enlarge(image_HWC: np.ndarray, side: int) -> Image.Image:
    """The picture with its longer side `side` pixels; small pictures in crisp squares."""
    height, width = image_HWC.shape[:2]
    scale = side / max(height, width)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    return Image.fromarray(image_HWC).resize((round(width * scale), round(height * scale)), method)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _fitting(text: str, width: int) -> ImageFont.FreeTypeFont:
    """The largest font, of the usual size or less, in which `text` is at most `width` pixels wide."""
    sizes = range(FONT_SIZE, 7, -1)
    return next((font for size in sizes if (font := _font(size)).getlength(text) <= width), _font(7))


def _tiled(tiles: Sequence[np.ndarray], captions: Sequence[str], columns: int) -> Image.Image:
    """Tiles of one size in lines of `columns`, each over its caption."""
    height, width = tiles[0].shape[:2]
    lines = -(-len(tiles) // columns)
    canvas = Image.new("RGB", (GAP + columns * (width + GAP), GAP + lines * (height + LINE + GAP)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for position, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x = GAP + position % columns * (width + GAP)
        y = GAP + position // columns * (height + LINE + GAP)
        canvas.paste(Image.fromarray(tile), (x, y))
        draw.text((x, y + height + 4), caption, INK, _fitting(caption, width))
    return canvas


def _with_legend(picture: Image.Image, names: Sequence[str]) -> Image.Image:
    """The picture with a line (or more) of colour swatches and class names below it."""
    font, swatch = _font(FONT_SIZE), 14
    places, x, line = [], GAP, 0
    for name in names:
        needed = swatch + 6 + round(font.getlength(name)) + 18
        if x > GAP and x + needed > picture.width:
            x, line = GAP, line + 1
        places.append((x, line))
        x += needed
    canvas = Image.new("RGB", (picture.width, picture.height + (line + 1) * LINE + 4), PAPER)
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    for k, (name, (x, line)) in enumerate(zip(names, places, strict=True)):
        middle = picture.height + line * LINE + LINE // 2
        draw.rectangle((x, middle - 7, x + swatch - 1, middle + 6), fill=class_color(k), outline=INK)
        draw.text((x + swatch + 6, middle), name, INK, font, anchor="lm")
    return canvas
