"""What a training shows while it runs: a bar in a terminal, lines of text anywhere."""

import contextlib
import sys
from typing import Any

import torch

from seglib.training.device import peak_memory_mb


class Progress(contextlib.AbstractContextManager):
    """A training's place in the terminal: images/s, the time that is left, loss and peak memory.

    Without a terminal there is no bar, and only what is said is printed. images: those of all epochs; done: of them,
    those that an earlier run saw.
    """

    def __init__(self, title: str, *, images: int, done: int, device: torch.device):
        self._title, self._device, self._bar = title, device, None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=images, initial=done, desc=title, unit="image", dynamic_ncols=True, smoothing=0.05)

    def update(self, images: int) -> None:
        if self._bar is not None:
            self._bar.update(images)

    def show(self, loss: float | None) -> None:
        """The loss of the last window that is known, if one is: on a GPU, the last of the epoch before."""
        if self._bar is not None and loss is not None:
            memory = f"{peak_memory_mb(self._device) / 1e3:.1f} GB"
            self._bar.set_postfix(loss=f"{loss:.4g}", memory=memory)

    def say(self, text: str) -> None:
        line = f"{self._title} {text}"
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
