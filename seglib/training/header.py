"""What stands beside a network's weights."""

import dataclasses
from typing import Any

from seglib import tasks
from seglib.datasets.store import OPTIONAL
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
    reading: dict[str, Any] | None = None  # how the dataset's pictures were read; None: as usual
    mask_values: list[int] | None = None  # the number of each class in the user's own masks; None: they have none

    def __post_init__(self) -> None:
        """Raises ValueError if there is no such task, and for numbers that are not one for each class."""
        tasks.get(self.task)
        if self.mask_values is not None and (
                not all(isinstance(value, int) and 0 <= value <= 65535 for value in self.mask_values)
                or len(set(self.mask_values)) != len(self.classes)):
            raise ValueError(f"mask_values {self.mask_values!s:.40}")

    def content(self) -> dict[str, Any]:
        """The JSON object that is written."""
        return {key: value for key, value in dataclasses.asdict(self).items()
                if value is not None or key not in OPTIONAL}

    @property
    def encoding(self) -> Encoding:
        return Encoding(pixels=self.pixels, targets=self.targets, output=self.output,
                        label_values=tuple(self.label_values), task=tasks.get(self.task))
