"""One of several trainings that run together, and how it ends."""

import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from seglib.training.history import Row
from seglib.training.progress import Screen

Result = TypeVar("Result")
OnEpoch = Callable[[list[Row]], None]

EXPECTED = (ValueError, OSError, MemoryError)  # what a user can correct; of other errors the traceback is kept


class Skipped(Exception):
    """A training that is left to another process; the text says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One training of a group."""

    title: str
    """Its name, which no other job of the group has. The first word of its lines of text."""
    images: int
    """The pictures of all its epochs, as far as they are known before it starts."""
    threads: int
    """The threads that it computes with on a CPU."""
    steps: Callable[[OnEpoch], Iterator[None]]
    """Trains, and gives control back after each step. It raises Skipped if the training is left to another process. On
    a CPU it is pickled."""
    on_epoch: OnEpoch
    """Called in the process that runs the group, with the history's rows of each epoch when it ends."""


def result_of(steps: Generator[None, None, Result]) -> Result:
    """Take all steps, and return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def tell_end(screen: Screen, job: Job, error: Exception | None) -> None:
    """Say on the screen how a job ended. error: None if it is finished."""
    if isinstance(error, Skipped):
        screen.say(f"{job.title} is left out: {error}")
    elif error is not None:
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        screen.say(f"{job.title} failed: {first_line}. The others go on; its own stage will say more")
