"""What stands beside a network's weights."""

import dataclasses
from typing import Any

from seglib import tasks
from seglib.training.encoding import Encoding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """All that prediction needs beside the weights.

    `device` and `precision` are what `auto` came to; `threads` stands as configured.
    """

    model: dict[str, Any]
    classes: list[str]
    label_values: list[float]
    task: str
    image_size: list[int]  # [H, W] of the training pictures
    resize: str  # how pictures came to that size
    pixels: str
    targets: str
    output: str
    device: str
    precision: str
    threads: int | None

    def __post_init__(self) -> None:
        """Raises ValueError if there is no such task."""
        tasks.get(self.task)

    @property
    def encoding(self) -> Encoding:
        return Encoding(pixels=self.pixels, targets=self.targets, output=self.output,
                        label_values=tuple(self.label_values), task=tasks.get(self.task))
