"""The positions of marks on an axis, in percent of its width, so that a chart fits any screen without distortion."""

import dataclasses
import math
from collections.abc import Iterable

STEPS = (1, 2, 2.5, 5, 10)


@dataclasses.dataclass(frozen=True)
class Axis:
    """A linear axis between two round numbers, with a few round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @property
    def labelled(self) -> tuple[float, ...]:
        """The ticks that get a label: every second one if there are many, for narrow screens. 0 is among them."""
        start = self.ticks.index(0) % 2 if 0 in self.ticks else 0
        return self.ticks[start::2] if len(self.ticks) > 4 else self.ticks

    def at(self, value: float) -> float:
        """The position of a value in percent. A value outside the axis is drawn at its edge."""
        return round(min(max(100 * (value - self.low) / (self.high - self.low), 0), 100), 2)

    def text(self, tick: float) -> str:
        """A tick's label, with as many decimals as the steps need."""
        step = self.ticks[1] - self.ticks[0]
        decimals = next((n for n in range(9) if abs(round(step, n) - step) < step * 1e-6), 9)
        return f"{round(tick, decimals) + 0.0:.{decimals}f}"  # + 0.0: no "-0"


def extent(values: Iterable[float | None]) -> Axis:
    """The axis without ticks from the lowest to the highest value. If all are one value, this is in its middle."""
    found = [value for value in values if value is not None] or [0.0]
    low, high = min(found), max(found)
    return Axis(low, high, ()) if low < high else Axis(low - 1, high + 1, ())


def axis(values: Iterable[float | None], *, steps: int = 4, include: float | None = None) -> Axis:
    """The axis that holds all values and `include`, in about `steps` steps. None is skipped."""
    found = [value for value in [*values, include] if value is not None] or [0.0, 1.0]
    low, high = min(found), max(found)
    raw = ((high - low) or abs(high) or 1.0) / steps
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in STEPS if unit * factor >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    ticks = tuple(n * step for n in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)
