"""Folders of one's own, made to be read: pictures whose masks are known, in each of the three forms."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from seglib.datasets import folder
from seglib.datasets.images import MAX_PIXELS
from seglib.datasets.samples import Rejection, Sample, done
from tests.conftest import prepare_config

CONFIG = {"kind": "folder", "masks": "ids", "classes": ["background", "cat", "dog"], "ignore": [255],
          "pictures": "images", "truth": None, "values": None, "colors": None, "mask_ending": None, "crowds": "ignore",
          "unlisted": None, "group": None, "upright": False, "range": None, "page": None, "alpha": None,
          "max_pixels": MAX_PIXELS, "allow": [],
          "image_size": 16, "resize": "stretch", "val_fraction": 0.25, "test_fraction": 0.3,
          "max_rejected": 0.0}
ALL_TRAIN = {"val_fraction": 0.0, "test_fraction": 0.0}  # for a folder of fewer pictures than there are splits
NAMES = [f"p{i}" for i in range(8)]
SIZE = (20, 30)


def ids_of(name: str) -> np.ndarray:
    """Ids 0, 1, 2 and 255, uint8 (H, W)."""
    return np.random.default_rng(list(name.encode())).choice(np.array([0, 1, 2, 255], np.uint8), SIZE)


def make(root: Path, masks: str = "ids", names: list[str] = NAMES, lists: dict[str, str] | None = None) -> Path:
    (root / "images").mkdir(parents=True)
    annotations = []
    for number, name in enumerate(names):
        picture = np.random.default_rng(list(name.encode())).integers(0, 256, (*SIZE, 3), np.uint8)
        save(root / f"images/{name}.png", picture)
        if masks == "ids":
            save(root / f"masks/{name}.png", ids_of(name))
        for k, label in enumerate(("cat", "dog"), start=1):
            if masks == "folders":
                save(root / f"masks/{label}/{name}.png", (ids_of(name) == k) * np.uint8(40 * k))
            if masks == "coco":
                counts = coco_mask.encode(np.asfortranarray(ids_of(name) == k, np.uint8))
                annotations.append({"id": 2 * number + k, "image_id": 100 + number, "category_id": 10 * k, "iscrowd": 0,
                                    "segmentation": counts | {"counts": counts["counts"].decode()}})
    if masks == "coco":
        (root / "annotations.json").write_text(json.dumps({
            "images": [{"id": 100 + i, "file_name": f"elsewhere/{name}.png", "height": SIZE[0], "width": SIZE[1]}
                       for i, name in enumerate(names)],
            "annotations": annotations, "categories": [{"id": 10, "name": "cat"}, {"id": 20, "name": "dog"}]}))
    for split, content in (lists or {}).items():
        (root / f"{split}.txt").write_text(content)
    return root


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def keys_of(root: Path, masks: str = "ids", **changed: Any) -> dict[str, Any]:
    classes = CONFIG["classes"] if masks == "ids" else ["dog", "cat"]
    return CONFIG | {"path": str(root), "masks": masks, "classes": classes} | changed


def entries(root: Path, keys: dict[str, Any], split: str | None = None) -> list[Sample | Rejection]:
    splits = [split] if split else folder.SPLITS
    return [entry for name in splits for entry in done(folder.read(root, prepare_config(keys), name))]


def rejection(root: Path, keys: dict[str, Any]) -> Rejection:
    (found,) = [entry for entry in entries(root, keys) if isinstance(entry, Rejection)]
    return found
