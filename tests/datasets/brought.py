"""Three folders as people bring them: microscopy of patients, tiles of a drone, photographs of a phone."""

from pathlib import Path

import numpy as np
from PIL import Image

from seglib.datasets.folder.values import voc_palette

PATIENTS, SLICES = 4, 6
FIELD, ROAD = (86, 170, 60), (200, 60, 40)


def blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A disk somewhere in the picture, bool (H, W)."""
    y, x = rng.uniform(0.3, 0.7, 2) * (height, width)
    rows, columns = np.ogrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 < (rng.uniform(0.15, 0.28) * min(height, width)) ** 2


def noisy(rng: np.random.Generator, base: np.ndarray, spread: float) -> np.ndarray:
    return base + rng.normal(0, spread, base.shape)


def microscopy(root: Path) -> Path:
    """16-bit grey PNG that hold 12 bits, of four patients; masks of 0 and 255 called NAME_mask.png."""
    for patient in range(PATIENTS):
        for index in range(SLICES):
            rng = np.random.default_rng([patient, index])
            disk_HW = blob(rng, 48, 64)
            values_HW = noisy(rng, np.where(disk_HW, 2900, 900), 150).clip(0, 4095)
            name = f"p{patient:02}_slice{index}"
            save(root / f"images/{name}.png", values_HW.astype(np.uint16))
            save(root / f"masks/{name}_mask.png", disk_HW * np.uint8(255))
    return root


def drone(root: Path) -> Path:
    """TIFF of red, green, blue and near infrared, which is tagged as alpha; masks in colour."""
    for index in range(24):
        rng = np.random.default_rng([9, index])
        road_HW = blob(rng, 40, 40)
        tile_HWC = noisy(rng, np.where(road_HW[..., None], (120, 120, 125), (70, 110, 50)), 12)
        infrared_HW = noisy(rng, np.where(road_HW, 60, 200), 12)
        pixels = np.dstack([tile_HWC, infrared_HW]).clip(0, 255).astype(np.uint8)
        save(root / f"tiles/t{index:02}.tif", pixels)
        save(root / f"labels/t{index:02}.png", np.where(road_HW[..., None], ROAD, FIELD).astype(np.uint8))
    return root


def phone(root: Path) -> Path:
    """JPEG with an orientation tag in PASCAL VOC's layout; upright masks with VOC's palette, 255 along the border."""
    palette = [channel for color in sorted(voc_palette(), key=voc_palette().get)
               for channel in (color >> 16, color >> 8 & 255, color & 255)]
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(24):
        rng = np.random.default_rng([5, index])
        dog_HW = blob(rng, 60, 44)
        photo_HWC = noisy(rng, np.where(dog_HW[..., None], (150, 110, 60), (60, 90, 140)), 10).clip(0, 255)
        stored = Image.fromarray(photo_HWC.astype(np.uint8)).transpose(Image.Transpose.ROTATE_90)  # 6 turns it back
        place = root / f"JPEGImages/img_{index:02}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        stored.save(place, exif=exif, quality=95)
        labels_HW = dog_HW * np.uint8(12)
        labels_HW[:2] = 255
        mask = Image.fromarray(labels_HW, "P")
        mask.putpalette(palette)
        target = root / f"SegmentationClass/img_{index:02}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        mask.save(target)
    return root


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


FOLDERS = {"microscopy": microscopy, "drone": drone, "phone": phone}
EXPECTED = {
    "microscopy": {"classes": ["background", "thing"], "values": {0: "background", 255: "thing"},
                   "range": [0.0, 4095.0]},
    "drone": {"pictures": "tiles", "truth": "labels", "classes": ["class_56aa3c", "class_c83c28"],
              "colors": {"#56aa3c": "class_56aa3c", "#c83c28": "class_c83c28"}, "alpha": "drop"},
    "phone": {"pictures": "JPEGImages", "truth": "SegmentationClass", "classes": ["background", "dog"],
              "values": {0: "background", 12: "dog"}, "ignore": [255], "upright": True}}
