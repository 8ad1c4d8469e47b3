"""How fast a training goes."""

import dataclasses
import time
from typing import Any


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
        self._started = 0.0  # of what is not over: a state that is kept meanwhile holds none of it

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self, images: int, *, waited: float) -> None:
        """images: those learnt from since `start`. waited: seconds of this time in which batches were being read."""
        self.seconds += time.perf_counter() - self._started
        self.waited += waited
        self.images += images

    @property
    def speed(self) -> Speed:
        return Speed(self.images / self.seconds, self.waited / self.seconds)

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images, "seconds": self.seconds, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images, self.seconds, self.waited = state["images"], state["seconds"], state["waited"]
