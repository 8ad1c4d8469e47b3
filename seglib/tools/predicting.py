"""`seglib predict`: masks of anyone's pictures by a finished run. Shapes: K classes, H, W."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seglib.datasets.images import UPRIGHT, ImageError, Reading, read_rgb
from seglib.figures import pictures
from seglib.files import refuse_to_overwrite
from seglib.prediction.network import NetworkPredictor


def predict(run: Path, images: Sequence[Path], out: Path, *, overwrite: bool = False) -> None:
    """Write NAME.mask.png and NAME.overlay.png of each picture into `out`, and print what was found.

    Raises ValueError if two pictures have one name, if a file exists already and `overwrite` is False, and, at the end,
    if a picture could not be read.
    """
    predictor = NetworkPredictor(_weights_of(run))
    reading = _reading_of(predictor)
    names = Counter(image.name for image in images)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"several pictures are called {repeated[0]}, and would overwrite each other in {out}")
    stems = Counter(image.stem for image in images)
    targets = [out / (image.name if stems[image.stem] > 1 else image.stem) for image in images]
    if not overwrite:
        refuse_to_overwrite(path for target in targets for path in _files_of(target))
    failed = 0
    for path, target in zip(images, targets, strict=True):
        try:
            image = read_rgb(path, reading)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{path}: {_write(predictor, image, target)} -> {target}.mask.png, .overlay.png")
    if failed:
        raise ValueError(f"{failed} of {len(images)} pictures could not be read")


def _weights_of(run: Path) -> Path:
    """The weights file of a training's folder, of the folder `trained` in it, or the file itself."""
    if not run.is_dir():
        return run
    folder = run / "trained" if (run / "trained").is_dir() else run
    return folder / "weights.safetensors"


def _reading_of(predictor: NetworkPredictor) -> Reading:
    """As the training's pictures were read, but always upright: no mask says how new pictures were meant."""
    if (content := predictor.header.reading) is None:
        return UPRIGHT
    try:
        return dataclasses.replace(Reading.of(content), upright=True)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its weights were not written by seglib: reading {content!s:.80}: {error}") from None


def _files_of(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}.mask.png"), stem.with_name(f"{stem.name}.overlay.png")


def _numbers_of(predictor: NetworkPredictor) -> tuple[list[int], int]:
    """The number of each class in a mask, and the number of pixels without a class.

    They are those of the masks that the network learned from, and 255, or if a class has that, the least that none has.
    Without such numbers, the classes are 1, 2, 3 … and 0 is nothing.
    """
    if (numbers := predictor.header.mask_values) is None:
        return list(range(1, len(predictor.classes) + 1)), 0
    return numbers, next(number for number in (255, *range(len(numbers) + 1)) if number not in numbers)


def _mask(numbers_HW: np.ndarray, numbers_K: Sequence[int], nothing: int) -> Image.Image:
    """A picture of numbers: in mode P with the classes' colours, or in I;16 if one of these numbers needs it."""
    if max(*numbers_K, nothing) > 255:
        return Image.fromarray(numbers_HW.astype(np.uint16))
    mask = Image.fromarray(numbers_HW.astype(np.uint8)).convert("P")
    colors = dict(zip(numbers_K, map(pictures.class_color, range(len(numbers_K))), strict=True))
    most = max(*numbers_K, nothing)  # a PNG has bits for the numbers of its palette alone
    mask.putpalette([channel for number in range(most + 1) for channel in colors.get(number, (0, 0, 0))])
    return mask


def _write(predictor: NetworkPredictor, image: Image.Image, stem: Path) -> str:
    """Draw one picture's mask and overlay. Returns the share of its pixels that each class found takes, in words."""
    own = (image.height, image.width)
    shares_KHW = predictor.shares(image)
    planes_KHW, values_KHW = predictor.present_at(shares_KHW, own), predictor.shares_at(shares_KHW, own).cpu().numpy()
    numbers_K, nothing = _numbers_of(predictor)
    best_HW = np.where(planes_KHW, values_KHW, -np.inf).argmax(0)
    mask = _mask(np.where(planes_KHW.any(0), np.array(numbers_K)[best_HW], nothing), numbers_K, nothing)
    mask_path, overlay_path = _files_of(stem)
    pictures.save_png(mask, mask_path)
    pictures.save_png(Image.fromarray(pictures.overlay(np.asarray(image), planes_KHW)), overlay_path)
    found = [f"{label} {share:.1%}" for label, share in
             zip(predictor.classes, planes_KHW.mean((1, 2)), strict=True) if share]
    return ", ".join(found) or "nothing found"
