"""`seglib predict`: masks of anyone's pictures by a finished run. Shapes: K classes, H, W."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seglib.datasets.images import ImageError, read_rgb
from seglib.figures import pictures
from seglib.training.inference import Predictor


def predict(run: Path, images: Sequence[Path], out: Path) -> None:
    """Write NAME.mask.png and NAME.overlay.png of each picture into `out`, and say what was found.

    Raises ValueError where two would have one name, and, at the end, where a picture could not be read.
    """
    predictor = Predictor(run / "weights.safetensors" if run.is_dir() else run)
    names = Counter(image.name for image in images)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"several pictures are called {repeated[0]}, and would overwrite each other in {out}")
    stems = Counter(image.stem for image in images)
    failed = 0
    for path in images:
        try:
            image = read_rgb(path, upright=True)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        name = path.name if stems[path.stem] > 1 else path.stem
        print(f"{path}: {_write(predictor, image, out / name)} -> {out / name}.mask.png, .overlay.png")
    if failed:
        raise ValueError(f"{failed} of {len(images)} pictures could not be read")


def _write(predictor: Predictor, image: Image.Image, stem: Path) -> str:
    """Draw one picture's mask and overlay; gives which share of it each class that was found takes, in words."""
    shares_KHW = predictor.shares_at_own_size(image)
    planes_KHW = predictor.encoding.present_of(torch.from_numpy(shares_KHW)).numpy() & shares_KHW.any(0)
    labels_HW = np.where(planes_KHW.any(0), np.where(planes_KHW, shares_KHW, -np.inf).argmax(0) + 1, 0)
    mask = Image.fromarray(labels_HW.astype(np.uint8)).convert("P")
    mask.putpalette([0, 0, 0, *(channel for k in range(len(planes_KHW)) for channel in pictures.class_color(k))])
    pictures.save_png(mask, stem.with_name(f"{stem.name}.mask.png"))
    drawn = pictures.overlay(np.asarray(image), planes_KHW)
    pictures.save_png(Image.fromarray(drawn), stem.with_name(f"{stem.name}.overlay.png"))
    found = [f"{label} {share:.1%}" for label, share in
             zip(predictor.header.classes, planes_KHW.mean((1, 2)), strict=True) if share]
    return ", ".join(found) or "nothing found"
