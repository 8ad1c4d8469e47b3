"""Trainings that run together on a GPU: in one process, a step of each in turn.

A small training leaves most of a GPU idle. Each training puts its work on a stream of its own, so that the GPU computes
the steps of several at the same time.
"""

import dataclasses
import gc
import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import torch

from seglib.training.device import OutOfMemory
from seglib.training.job import EXPECTED, Job, Skipped, tell_end
from seglib.training.progress import GroupScreen, shown_on

GAIN = 1.05  # twice as many trainings must bring at least so many times the steps per second of all together
MARGIN = 2.0  # so many times the memory of one training must be free before one more starts
WARM_UP_ROUNDS = 3  # after one has started: in the first, graphs are captured
MEASURED, FEWEST_ROUNDS = 0.5, 10  # seconds and rounds that are measured at least


class Occupancy:
    """Decides how many trainings share a device. It is found by trying: twice as many, as long as that is faster.

    at_once: how many run at once if memory allows; None: as many as speed allows.
    """

    def __init__(self, at_once: int | None):
        self._asked = at_once
        self._limit = math.inf if at_once is None else at_once
        self._tried = 1
        self._rate: float | None = None  # with half as many as are tried now

    @property
    def aim(self) -> float:
        """So many are to run now."""
        return min(self._limit, self._tried if self._asked is None else self._asked)

    def may_start(self, running: int, *, started: int, free: float, each: float | None) -> bool:
        """Whether one more training may start beside those that run.

        started: those of them that have not taken their memory yet. free: bytes of the device's memory. each: bytes
        that one training takes; None while this is not known.
        """
        if running == 0:
            return True
        return running < self.aim and each is not None and free >= MARGIN * each * (started + 1)

    def measured(self, running: int, steps_per_second: float) -> None:
        """Note the steps per second of all trainings together, with so many of them."""
        if self._asked is not None or running != self._tried:
            return
        if self._rate is not None and steps_per_second < GAIN * self._rate:
            self._limit = min(self._limit, running // 2)
        else:
            self._tried, self._rate = 2 * running, steps_per_second

    def ran_out(self, running: int) -> None:
        """Note that memory ran out with so many trainings."""
        self._limit = max(1, min(self._limit, running - 1))


class Device:
    """A CUDA device's memory and its clock."""

    def __init__(self, device: torch.device):
        self._device = device

    def free(self) -> float:
        """Bytes that no process has taken."""
        return torch.cuda.mem_get_info(self._device)[0]

    def taken(self) -> float:
        """Bytes that this process has taken."""
        return torch.cuda.memory_reserved(self._device)

    def wait(self) -> None:
        """Wait until all steps are computed."""
        torch.cuda.synchronize(self._device)

    def clear(self) -> None:
        """Give back what trainings have left."""
        gc.collect()
        torch.cuda.empty_cache()


@dataclasses.dataclass
class _Running:
    job: Job
    steps: Iterator[None]


class _Window:
    """Measures the steps per second of all trainings from when their number last changed."""

    def __init__(self, device: Device, clock: Callable[[], float]):
        self._device, self._clock = device, clock
        self._begun, self._steps, self.rounds = 0.0, 0, 0

    def add(self, steps: int) -> float | None:
        """Count a round of so many steps. Gives steps per second when enough was measured, else None."""
        self.rounds += 1
        if self.rounds == WARM_UP_ROUNDS:
            self._device.wait()
            self._begun = self._clock()
        if self.rounds <= WARM_UP_ROUNDS:
            return None
        self._steps += steps
        if self.rounds < WARM_UP_ROUNDS + FEWEST_ROUNDS or self._clock() - self._begun < MEASURED:
            return None
        self._device.wait()
        rate = self._steps / (self._clock() - self._begun)
        self._steps, self.rounds = 0, WARM_UP_ROUNDS - 1
        return rate


class RoundRobin:
    """Runs jobs in this process, a step of each that runs in turn. `occupancy` decides how many run at once.

    A job that runs out of memory beside others waits again, and goes on from its checkpoint when another has ended.
    """

    def __init__(self, jobs: Sequence[Job], screen: GroupScreen, occupancy: Occupancy, device: Device, *,
                 clock: Callable[[], float] = time.perf_counter):
        self._waiting, self._running = deque(jobs), []
        self._screen, self._occupancy, self._device, self._clock = screen, occupancy, device, clock
        self._each: float | None = None  # bytes that one training takes
        self._started = 0  # jobs that have not taken their memory yet
        self._window = _Window(device, clock)
        self._failed: dict[str, Exception] = {}

    def run(self) -> dict[str, Exception]:
        """Run all jobs, begun in their order. Returns the error of each that failed, by its title.

        An error of one leaves the others alone.
        """
        with shown_on(self._screen):
            try:
                while self._waiting or self._running:
                    self._admit()
                    self._round()
            finally:
                for one in self._running:
                    one.steps.close()
        return self._failed

    def _admit(self) -> None:
        """Start as many more jobs as there is room for."""
        while self._waiting and self._occupancy.may_start(len(self._running), started=self._started,
                                                          free=self._device.free(), each=self._each):
            job = self._waiting.popleft()
            self._running.append(_Running(job, job.steps(job.on_epoch)))
            self._started += 1
            self._window = _Window(self._device, self._clock)

    def _round(self) -> None:
        """One step of each job that runs."""
        steps = 0
        for one in list(self._running):
            try:
                next(one.steps)
                steps += 1
            except StopIteration:
                self._end(one, None)
            except Exception as error:  # whatever is wrong with one must not end the others
                self._end(one, _without_frames(error))
        rate = self._window.add(steps)
        if self._started and self._running and self._window.rounds >= WARM_UP_ROUNDS:
            self._each, self._started = self._device.taken() / len(self._running), 0
        if rate is not None and self._running:
            self._occupancy.measured(len(self._running), rate)

    def _end(self, one: _Running, error: Exception | None) -> None:
        if isinstance(error, OutOfMemory) and len(self._running) > 1:
            self._screen.say(f"{one.job.title} waits for memory: {len(self._running)} at once are too many")
            self._occupancy.ran_out(len(self._running))
            self._waiting.appendleft(one.job)
        else:
            tell_end(self._screen, one.job, error)
            self._screen.end(one.job.title)
            if error is not None and not isinstance(error, Skipped):
                self._failed[one.job.title] = error
        self._running.remove(one)
        one.steps.close()
        self._device.clear()
        self._window = _Window(self._device, self._clock)


def _without_frames(error: Exception) -> Exception:
    """The error without the frames that raised it, which would keep a training's memory; they are kept as text."""
    if not isinstance(error, (*EXPECTED, Skipped)):
        error.add_note("".join(traceback.format_exception(error)))
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
