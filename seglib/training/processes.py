"""Trainings that run together on a CPU: each in a process of its own.

Two trainings with one thread each do more together than one training with two threads, whose threads wait for each
other at every operation. The processes come from a fork server that has imported PyTorch once for all. They end with
the process that started them.
"""

import contextlib
import dataclasses
import io
import multiprocessing
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from seglib import child
from seglib.training import memory
from seglib.training.job import EXPECTED, Job, OnEpoch, Skipped, tell_end
from seglib.training.progress import GroupScreen, Relay, Relayed, shown_on

GRACE = 10.0  # seconds that a process has to end after SIGTERM
MARGIN = 1.2  # so many times the memory of one must be free before one more starts


@dataclasses.dataclass
class _Running:
    """A job whose process runs."""

    job: Job
    process: BaseProcess
    shown: Relayed
    error: Exception | None
    """What ends the job, as far as its process has told. Until it tells its end, that it ended without a word."""
    peak: float = 0.0
    """The most bytes that it has had in memory, as of its last message; 0 before it has trained a step."""


class Processes:
    """Runs jobs in processes of their own: as many at once as their threads fit on the cores, and at most `at_once`.

    One more is started only if memory is left for it, as far as those that have run before tell how much one takes.
    One may always run alone.
    """

    def __init__(self, jobs: Sequence[Job], screen: GroupScreen, *, cores: int, at_once: int,
                 available: Callable[[], float] = memory.available):
        self._waiting, self._screen, self._cores, self._at_once = deque(jobs), screen, cores, at_once
        self._available = available
        self._running: dict[Connection, _Running] = {}
        self._each = 0.0  # bytes: the most that one has taken so far; 0 if none has trained a step
        self._failed: dict[str, Exception] = {}

    def run(self) -> dict[str, Exception]:
        """Run all jobs, begun in their order. Returns the error of each that failed, by its title.

        An error of one leaves the others alone.
        """
        try:
            while self._waiting or self._running:
                while self._waiting and self._fits(self._waiting[0]):
                    self._start(self._waiting.popleft())
                for connection in wait(list(self._running)):
                    try:
                        self._hear(self._running[connection], connection.recv())
                    except (EOFError, OSError):  # the process has ended
                        self._end(self._running.pop(connection), connection)
        finally:
            _stop([one.process for one in self._running.values()])
        return self._failed

    def _fits(self, job: Job) -> bool:
        """Whether a job may start beside those that run."""
        running = self._running.values()
        if not running:
            return True
        threads = sum(one.job.threads for one in running) + job.threads
        if len(running) >= self._at_once or threads > self._cores or not self._each:
            return False
        still_to_take = sum(max(self._each - one.peak, 0.0) for one in running)
        return self._available() >= MARGIN * self._each + still_to_take

    def _start(self, job: Job) -> None:
        context = _context()
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(job.title, job.steps, theirs, Path.cwd()), daemon=True)
        died = ChildProcessError("its process was ended from outside, perhaps because memory ran out")
        self._running[ours] = _Running(job, process, Relayed(self._screen), died)
        process.start()
        theirs.close()  # so that ours ends when the process does

    def _hear(self, one: _Running, message: tuple[Any, ...]) -> None:
        match message:
            case "epoch", rows:
                one.job.on_epoch(rows)
            case "ended", error:
                one.error = error
            case _:
                one.shown.play(message)
        if message[0] in ("update", "epoch"):
            one.peak = memory.peak_of(one.process.pid) or 1.0  # one byte if it is unknown
            self._each = max(self._each, one.peak)

    def _end(self, one: _Running, connection: Connection) -> None:
        connection.close()
        one.shown.close()
        one.process.join()
        tell_end(self._screen, one.job, one.error)
        self._screen.end(one.job.title)
        if one.error is not None and not isinstance(one.error, Skipped):
            self._failed[one.job.title] = one.error


def _context() -> BaseContext:
    """Starts processes from a fork server, or each anew if the path of the server's socket would be too long."""
    context = multiprocessing.get_context("forkserver")
    # Imported once for all. Not `stages`, whose import watches DVC in a thread: a fork must have one thread.
    context.set_forkserver_preload(["torch", *(name for name in list(sys.modules) if name.startswith("seglib."))])
    try:
        forkserver.ensure_running()
    except OSError:
        return multiprocessing.get_context("spawn")
    return context


def _stop(processes: Sequence[BaseProcess]) -> None:
    """End processes: what they have half written is taken away."""
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()  # nothing happens if it has ended
        process.join()


def _work(title: str, steps: Callable[[OnEpoch], Iterator[None]], connection: Connection, folder: Path) -> None:
    """Run a job in a process of its own; tell the process that started it what it shows and how it ended."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    child.begin(folder, GRACE)
    relay, error = Relay(connection.send), None
    try:
        with shown_on(relay), contextlib.redirect_stdout(_Lines(title, relay)):
            for _ in steps(lambda rows: connection.send(("epoch", rows))):
                pass
    except Exception as raised:  # the process that started us decides
        error = _portable(raised)
    connection.send(("ended", error))


def _portable(error: Exception) -> Exception:
    """An error that can be sent to another process; of one that is a defect, with its traceback."""
    if not isinstance(error, (*EXPECTED, Skipped)):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # its class takes other arguments than it keeps, or holds what cannot be pickled
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


class _Lines(io.TextIOBase):
    """Whole lines that are printed, each said on a screen under a title."""

    def __init__(self, title: str, relay: Relay):
        self._title, self._relay, self._rest = title, relay, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._relay.say(f"{self._title} {line}")
        return len(text)
