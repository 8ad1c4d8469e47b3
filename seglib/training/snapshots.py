"""snapshots.npz: the masks a network predicts for a few val pictures, after chosen epochs.

    epochs     int64 (E,): after which epochs; E may be 0
    pictures   int64 (P,): rows of the val split, evenly spaced; P is 4, or fewer if val holds fewer
    masks      (E, P, H, W): packed by the dataset's task, as the true masks are
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglib.datasets.store import Split
from seglib.files import atomic_file
from seglib.tasks.task import Task, signed, stored

PICTURES = 4


class Snapshots:
    """wanted: epochs, counted from 1. split: where the pictures are taken from. task: the dataset's."""

    def __init__(self, wanted: Sequence[int], split: Split, task: Task):
        self.wanted, self.task = frozenset(wanted), task
        self.pictures = np.linspace(0, len(split) - 1, min(PICTURES, len(split))).round().astype(np.int64)
        self.epochs: list[int] = []
        self._images_PHWC = split.images[self.pictures]
        self._masks = np.zeros((0, *split.masks[self.pictures].shape), split.masks.dtype)

    def take(self, epoch: int, present: Callable[[Tensor], Tensor]) -> None:
        """Keep the predicted masks if the epoch is wanted. `present`: uint8 (P, H, W, 3) to bool (P, K, H, W)."""
        if epoch in self.wanted:
            planes_PKHW = present(torch.from_numpy(self._images_PHWC)).cpu().numpy()
            masks_PHW = np.stack([self.task.pack(planes_KHW) for planes_KHW in planes_PKHW])
            self._masks = np.concatenate([self._masks, masks_PHW[None]])
            self.epochs.append(epoch)

    def write(self, path: Path) -> None:
        """Write the file. It holds no time and is not compressed, so equal snapshots give equal bytes."""
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, epochs=np.array(self.epochs, np.int64), pictures=self.pictures, masks=self._masks)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "masks": torch.from_numpy(signed(self._masks))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs, self._masks = list(state["epochs"]), stored(state["masks"].numpy(), self._masks.dtype)
