"""Fixtures of trainings."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from seglib import tasks
from seglib.datasets.store import SPLITS, DatasetInfo, Split


@pytest.fixture(scope="session")
def multiclass_shapes(prepared_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared shapes with one class per pixel: the last of several; pixels of none are ignored."""
    folder = tmp_path_factory.mktemp("multiclass")
    for name in SPLITS:
        split = Split.open(prepared_shapes, name)
        planes_NKHW = tasks.get("multilabel").unpack(split.masks, 5)
        last_NHW = 4 - planes_NKHW[:, ::-1].argmax(1)
        masks = np.where(planes_NKHW.any(1), last_NHW, 255).astype(np.uint8)
        (folder / name).mkdir()
        np.save(folder / name / "images.npy", split.images)
        np.save(folder / name / "masks.npy", masks)
    masks = np.load(folder / "train/masks.npy")
    info = DatasetInfo.read(prepared_shapes)
    dataclasses.replace(info, task=tasks.get("multiclass"), class_pixels=[int((masks == k).sum()) for k in range(5)],
                        valid_pixels=int((masks != 255).sum())).write(folder)
    return folder
