"""How fast a training goes."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from seglib.training.batches import Batch


@dataclasses.dataclass(frozen=True)
class Speed:
    """images_per_second: pictures learnt from; validation's time is not in it. waiting: share of it, 0 to 1, in which
    the next batch was being read."""

    images_per_second: float
    waiting: float

    def __str__(self) -> str:
        return f"{self.images_per_second:.0f} images/s, {self.waiting:.0%} of the time waiting for data"


class Throughput:
    """Adds up what a training's epochs took."""

    def __init__(self) -> None:
        self.images, self.seconds, self.waited = 0, 0.0, 0.0
        self._started, self._waited = 0.0, 0.0  # of what is not over: a state that is kept meanwhile holds none of it

    def start(self) -> None:
        self._started, self._waited = time.perf_counter(), 0.0

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, the time that each took to come added up."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def stop(self, images: int) -> None:
        """`images`: those learnt from since `start`."""
        self.seconds += time.perf_counter() - self._started
        self.waited += self._waited
        self.images += images

    @property
    def speed(self) -> Speed:
        return Speed(self.images / self.seconds, self.waited / self.seconds)

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images, "seconds": self.seconds, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images, self.seconds, self.waited = state["images"], state["seconds"], state["waited"]
