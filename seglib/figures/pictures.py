"""Pictures with masks: overlays, contact sheets, grids.

Colours are the Okabe-Ito set, safe for colour-blind readers. From the eighth class on they are those farthest from all
before them, and from white, black and grey, as sharp and as red- and green-blind eyes see them (distances in OKLab).
Shapes: K classes, H, W; pictures are uint8 (H, W, 3), masks boolean planes (K, H, W).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seglib.datasets.store import DatasetInfo, Split
from seglib.files import atomic_file

PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178),
           (85, 17, 34), (0, 0, 153), (102, 0, 255), (68, 85, 17), (0, 238, 187), (136, 119, 255), (153, 51, 102),
           (17, 51, 85), (204, 204, 255), (153, 187, 153), (85, 68, 153), (221, 17, 204))
INK, PAPER = (40, 40, 40), (255, 255, 255)
HATCH = ((105, 105, 105), (175, 175, 175))  # stripes on ignored pixels: two greys that no class has
IGNORED = "ignored"  # in legends
FONT_SIZE, GAP, LINE, TIGHT = 13, 10, 22, 16  # points; pixels between tiles, and that a line of text takes


def class_color(k: int) -> tuple[int, int, int]:
    """The colour of class k; beyond 19 classes the set repeats, darker."""
    shade = 0.6 ** (k // len(PALETTE))
    return tuple(int(channel * shade) for channel in PALETTE[k % len(PALETTE)])


def overlay(image_HWC: np.ndarray, planes_KHW: np.ndarray, ignored_HW: np.ndarray | None = None, *,
            opacity: float = 0.45) -> np.ndarray:
    """The picture with each class tinted and outlined in its colour, and ignored pixels hatched in grey."""
    drawn = image_HWC.astype(np.float32)
    for k, plane in enumerate(planes_KHW):
        drawn[plane] = (1 - opacity) * drawn[plane] + opacity * np.array(class_color(k), np.float32)
    for k, plane in enumerate(planes_KHW):
        drawn[_outline(plane)] = class_color(k)
    if ignored_HW is not None:
        stripes_HW = _stripes(ignored_HW.shape)
        for color, where_HW in zip(HATCH, (ignored_HW & ~stripes_HW, ignored_HW & stripes_HW), strict=True):
            drawn[where_HW] = color
    return drawn.round().astype(np.uint8)


def mask_overlay(image_HWC: np.ndarray, mask_HW: np.ndarray, info: DatasetInfo,
                 truth_HW: np.ndarray | None = None) -> np.ndarray:
    """`overlay` of a packed mask. If the mask is a prediction, the truth says which pixels are ignored."""
    ignored_HW = info.task.ignored(mask_HW if truth_HW is None else truth_HW)
    return overlay(image_HWC, info.task.unpack(mask_HW, len(info.classes)), ignored_HW)


def any_ignored(split: Split, chosen: Sequence[int], info: DatasetInfo) -> bool:
    """Whether any of these pictures has pixels to ignore, so that a legend must say what the hatch is."""
    return any(info.task.ignored(split.masks[i]).any() for i in chosen)


def _stripes(shape: tuple[int, int]) -> np.ndarray:
    """Diagonal stripes, bool (H, W); wide enough to be seen if the picture is drawn small."""
    period = max(6, max(shape) // 24)
    y_H1, x_W = np.arange(shape[0])[:, None], np.arange(shape[1])
    return (x_W + y_H1) % period < period // 2


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
    ids = split.index()["id"]
    pairs = [(split.images[i], mask_overlay(split.images[i], split.masks[i], info)) for i in chosen]
    tiles = [np.concatenate([np.asarray(_enlarge(picture, side)) for picture in pair], axis=1) for pair in pairs]
    held = [info.task.unpack(split.masks[i], len(info.classes)).any((1, 2)) for i in chosen]
    captions = [[f"{ids.iat[i]}: {', '.join(np.array(info.classes, object)[there])}"]
                for i, there in zip(chosen, held, strict=True)]
    columns = min(columns, len(tiles))
    sheet = _with_legend(_tiled(tiles, captions, columns), info.classes, hatched=any_ignored(split, chosen, info))
    save_png(sheet, path)


def comparison_grid(rows: Sequence[Sequence[np.ndarray]], *, titles: Sequence[str], captions: Sequence[Sequence[str]],
                    legend: Sequence[str], path: Path, hatched: bool = False, side: int = 150) -> None:
    """Rows of pictures under column titles, each over its caption, class colours below; `hatched`: and the hatch's.

    Captions may have several lines. A line that is too wide is broken between its words.
    """
    tiles = [np.asarray(_enlarge(picture, side)) for row in rows for picture in row]
    width = tiles[0].shape[1]
    below = [[part for line in text.split("\n") for part in _lines(line, width)] for row in captions for text in row]
    body = _tiled(tiles, below, len(titles))
    wrapped = [_lines(title, width) for title in titles]
    top = LINE + (max(map(len, wrapped)) - 1) * TIGHT
    canvas = Image.new("RGB", (body.width, body.height + top), PAPER)
    canvas.paste(body, (0, top))
    draw = ImageDraw.Draw(canvas)
    for column, lines in enumerate(wrapped):
        for up, line in enumerate(reversed(lines)):
            draw.text((GAP + column * (width + GAP), top - up * TIGHT), *_fitting(line, width), anchor="ls")
    save_png(_with_legend(canvas, legend, hatched=hatched), path)


def _enlarge(image_HWC: np.ndarray, side: int) -> Image.Image:
    """The picture with its longer side `side` pixels; small pictures in crisp squares."""
    height, width = image_HWC.shape[:2]
    scale = side / max(height, width)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    return Image.fromarray(image_HWC).resize((round(width * scale), round(height * scale)), method)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _fitting(text: str, width: int) -> tuple[str, tuple[int, int, int], ImageFont.FreeTypeFont]:
    """What to draw so that it is at most `width` pixels wide: text, ink, font. A long text is smaller, then shorter."""
    for size in range(FONT_SIZE, 8, -1):
        if (font := _font(size)).getlength(text) <= width:
            return text, INK, font
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…", INK, font


def _lines(text: str, width: int) -> list[str]:
    """A text in as many lines of whole words as it needs at the usual size."""
    font, lines = _font(FONT_SIZE), [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _tiled(tiles: Sequence[np.ndarray], captions: Sequence[Sequence[str]], columns: int) -> Image.Image:
    """Tiles of one size in rows of `columns`, each over the lines of its caption."""
    height, width = tiles[0].shape[:2]
    below = LINE + (max(map(len, captions)) - 1) * TIGHT
    rows = -(-len(tiles) // columns)
    canvas = Image.new("RGB", (GAP + columns * (width + GAP), GAP + rows * (height + below + GAP)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for position, (tile, lines) in enumerate(zip(tiles, captions, strict=True)):
        x = GAP + position % columns * (width + GAP)
        y = GAP + position // columns * (height + below + GAP)
        canvas.paste(Image.fromarray(tile), (x, y))
        for down, line in enumerate(lines):
            draw.text((x, y + height + 4 + down * TIGHT), *_fitting(line, width))
    return canvas


def _with_legend(picture: Image.Image, names: Sequence[str], *, hatched: bool) -> Image.Image:
    """The picture with a line (or more) of colour swatches and class names below it."""
    font, swatch = _font(FONT_SIZE), 14
    fills = [np.full((swatch, swatch, 3), class_color(k), np.uint8) for k in range(len(names))]
    if hatched:
        names = [*names, IGNORED]
        fills.append(np.array(HATCH, np.uint8)[_stripes((swatch, swatch)).astype(int)])
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
    for name, fill, (x, line) in zip(names, fills, places, strict=True):
        middle = picture.height + line * LINE + LINE // 2
        canvas.paste(Image.fromarray(fill), (x, middle - 7))
        draw.rectangle((x, middle - 7, x + swatch - 1, middle + 6), outline=INK)
        draw.text((x + swatch + 6, middle), name, INK, font, anchor="lm")
    return canvas
