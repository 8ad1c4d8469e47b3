"""`seglib predict`: masks of anyone's pictures by a finished run. Shapes: K classes, H, W."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seglib.datasets.images import ImageError, read_rgb
from seglib.figures import pictures
from seglib.files import refuse_to_overwrite
from seglib.prediction.network import NetworkPredictor


def predict(run: Path, images: Sequence[Path], out: Path, *, overwrite: bool = False) -> None:
    """Write NAME.mask.png and NAME.overlay.png of each picture into `out`, and print what was found.

    Raises ValueError if two pictures have one name, if a file exists already and `overwrite` is False, and, at the end,
    if a picture could not be read.
    """
    predictor = NetworkPredictor(_weights_of(run))
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
            image = read_rgb(path, upright=True)
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


def _files_of(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}.mask.png"), stem.with_name(f"{stem.name}.overlay.png")


def _write(predictor: NetworkPredictor, image: Image.Image, stem: Path) -> str:
    """Draw one picture's mask and overlay. Returns the share of its pixels that each class found takes, in words."""
    own = (image.height, image.width)
    shares_KHW = predictor.shares(image)
    planes_KHW, values_KHW = predictor.present_at(shares_KHW, own), predictor.shares_at(shares_KHW, own).cpu().numpy()
    labels_HW = np.where(planes_KHW.any(0), np.where(planes_KHW, values_KHW, -np.inf).argmax(0) + 1, 0)
    mask = Image.fromarray(labels_HW.astype(np.uint8)).convert("P")
    mask.putpalette([0, 0, 0, *(channel for k in range(len(planes_KHW)) for channel in pictures.class_color(k))])
    mask_path, overlay_path = _files_of(stem)
    pictures.save_png(mask, mask_path)
    pictures.save_png(Image.fromarray(pictures.overlay(np.asarray(image), planes_KHW)), overlay_path)
    found = [f"{label} {share:.1%}" for label, share in
             zip(predictor.classes, planes_KHW.mean((1, 2)), strict=True) if share]
    return ", ".join(found) or "nothing found"
