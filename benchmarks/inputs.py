"""The inputs of the training benchmarks: drawn pictures in the prepared format, and configurations.

They need nothing but NumPy, PyTorch and seglib's own code, so that they run wherever PyTorch does. A training has one
thread per core, as the course's loop has, if its number is not given; params.yaml gives 1. Shapes: N pictures,
K = 5 classes, H = W = 64, or a multiple of it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.peer import LABELS, SIDE, WORKERS, Endless, Pictures, loader
from seglib import tasks
from seglib.configs import TrainConfig
from seglib.datasets.store import SPLITS, DatasetInfo, Split

CLASSES = ("rectangle", "triangle", "disk", "oval", "star")
TASK = tasks.get("multilabel")
NOT_USED = {"momentum": None, "one_cycle_momentum": None, "warmup_epochs": 0.0, "plateau_factor": None,
            "plateau_patience": None, "clip": None, "patience": None, "pictures_per_epoch": None,
            "freeze_encoder_epochs": 0, "freeze_lr": None, "best_by": None, "augment": None, "overfit": None,
            "snapshots": []}
LOSSES = {"mse": {"mse": 1.0}, "dice": {"dice": 1.0}, "mse_dice": {"mse": 1.0, "dice": 1.0}}  # the default study's
UNET = {"kind": "unet", "width": 64, "upsampling": "transposed", "norm": "batch"}
RESNET34_UNET = {"kind": "resnet_unet", "encoder": "resnet34", "weights": "none", "stem": "full", "decoder": "matched",
                 "norm": "batch"}


def course(*, depth: int = 16, width: int = 64, **train: Any) -> TrainConfig:
    """The configuration of munet_dlstudio and mse in params.yaml: the course's network by the course's recipe."""
    recipe = {"optimizer": "sgd", "schedule": "constant", "lr": 1e-4, "momentum": 0.9, "weight_decay": 0.0,
              "batch_size": 4, "epochs": 6, "output_bias": "default", "pixels": "raw", "targets": "label",
              "output": "raw", "keep": "last", "log_every": 500, "device": "auto", "precision": "fp32",
              "threads": None}
    return TrainConfig.of({"model": _munet(depth, width, "dlstudio"), "loss": {"terms": {"mse": 1.0}},
                           "train": NOT_USED | recipe | train, "seed": 1234})


def default(*, depth: int = 4, width: int = 32, upsampling: str = "learned", model: dict[str, Any] | None = None,
            loss: str = "mse_dice", seed: int = 1234, **train: Any) -> TrainConfig:
    """The configuration of munet and mse_dice in params.yaml: the default study's network and recipe.

    model: another network by the same recipe, in place of an mUnet of that depth, width and upsampling. loss: one of
    LOSSES.
    """
    recipe = {"optimizer": "adamw", "schedule": "one_cycle", "one_cycle_momentum": "constant", "lr": 1e-2,
              "weight_decay": 0.01, "batch_size": 16, "epochs": 5, "output_bias": "prior", "pixels": "unit",
              "targets": "unit", "output": "sigmoid", "keep": "best", "best_by": "iou",
              "log_every": 50, "device": "auto", "precision": "auto", "threads": None}
    of_dice = {"epsilon": 1e-6, "dice_reduction": "image"} if "dice" in LOSSES[loss] else {}
    return TrainConfig.of({"model": model or _munet(depth, width, upsampling),
                           "loss": {"terms": LOSSES[loss]} | of_dice, "train": NOT_USED | recipe | train,
                           "seed": seed})


def default_study(*, seeds: int, **options: Any) -> list[TrainConfig]:
    """The default study's three losses, each with so many seeds. options: of `default`."""
    return [default(loss=loss, seed=1234 + n, **options) for loss in LOSSES for n in range(seeds)]


def _munet(depth: int, width: int, upsampling: str) -> dict[str, Any]:
    return {"kind": "munet", "depth": depth, "width": width, "upsampling": upsampling, "skip_connections": True,
            "aspp_rates": None}


def write_dataset(folder: Path, *, train: int, val: int = 2, test: int = 1, side: int = SIDE) -> Path:
    """Draw that many pictures for each split into `folder`, in the prepared format. Returns the folder.

    They are like those of the Shapes dataset, whose own generator needs Pillow. There is no index.parquet. side: of the
    pictures, a multiple of SIDE: each pixel is then drawn as a square of pixels.
    """
    times = side // SIDE
    counts = dict(zip(SPLITS, (train, val, test), strict=True))
    random, dtype, class_pixels = np.random.default_rng(0), TASK.mask_dtype(len(CLASSES)), np.zeros(len(CLASSES), int)
    for split, count in counts.items():
        images, masks = np.empty((count, side, side, 3), np.uint8), np.empty((count, side, side), dtype)
        for i in range(count):
            image_HWC, planes_KHW = _draw(random)
            images[i] = image_HWC.repeat(times, 0).repeat(times, 1)
            masks[i] = TASK.pack(planes_KHW).repeat(times, 0).repeat(times, 1)
            class_pixels += times ** 2 * planes_KHW.sum((1, 2)) * (split == "train")
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        np.save(folder / split / "masks.npy", masks)
    DatasetInfo(task=TASK, classes=list(CLASSES), label_values=[float(label) for label in LABELS],
                image_size=[side, side], resize="stretch", class_pixels=class_pixels.tolist(),
                valid_pixels=train * side * side, train_val_sha256="").write(folder)
    return folder


def _draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """1 to 5 shapes of random place, size, turn and colour on near black: uint8 (H, W, 3), bool (K, H, W)."""
    image_HWC = np.broadcast_to(random.integers(0, 4, (SIDE, SIDE, 1), np.uint8), (SIDE, SIDE, 3)).copy()
    planes_KHW = np.zeros((len(CLASSES), SIDE, SIDE), bool)
    for k in random.integers(0, len(CLASSES), random.integers(1, 6)):
        plane_HW = _shape(CLASSES[k], center=random.uniform(8, SIDE - 8, 2), radius=random.uniform(8, 20),
                          turn=random.uniform(0, 2 * np.pi))
        planes_KHW[k] |= plane_HW
        image_HWC[plane_HW] = random.integers(60, 256, 3)
    return image_HWC, planes_KHW


def _shape(name: str, *, center: np.ndarray, radius: float, turn: float) -> np.ndarray:
    """Where a shape is: bool (H, W). Center and radius in pixels, turn in radians."""
    y_HW, x_HW = np.mgrid[:SIDE, :SIDE] - center.reshape(2, 1, 1)
    angle_HW, far_HW = np.arctan2(y_HW, x_HW) - turn, np.hypot(x_HW, y_HW) / radius
    u_HW, v_HW = far_HW * np.cos(angle_HW), far_HW * np.sin(angle_HW)
    match name:
        case "rectangle":
            return (np.abs(u_HW) < 1) & (np.abs(v_HW) < 0.6)
        case "triangle":
            return np.max([far_HW * np.cos(angle_HW - third) for third in np.arange(3) * 2 * np.pi / 3], axis=0) < 0.5
        case "disk":
            return far_HW < 1
        case "oval":
            return u_HW ** 2 + (v_HW / 0.5) ** 2 < 1
        case "star":
            return far_HW < 0.65 + 0.35 * np.cos(5 * angle_HW)
    raise AssertionError(name)


def as_the_course_has_it(split: Split) -> Pictures:
    return Pictures(split.images, TASK.unpack(split.masks, len(CLASSES)))


def endless_batches(split: Split, *, workers: int = WORKERS) -> Iterator[tuple[Tensor, Tensor]]:
    """The course's batches, for ever: float32 pictures (4, 3, H, W) and targets (4, K, H, W)."""
    return iter(loader(as_the_course_has_it(split), workers=workers, order=Endless(len(split))))
