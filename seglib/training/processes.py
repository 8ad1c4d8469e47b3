"""Trainings that run together on a CPU: each in a process of its own.

Two trainings with one thread each do more together than one training with two threads, whose threads wait for each
other at every operation. The processes come from a fork server that has imported PyTorch once for all. They end with
the process that started them.
"""

import contextlib
import dataclasses
import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from seglib.training.job import EXPECTED, Job, OnEpoch, Skipped, tell_end
from seglib.training.progress import GroupScreen, Relay, Relayed, shown_on

# What the fork server imports, once for all trainings.
MODULES = ["torch", "seglib.training.loop"]
GRACE = 10.0  # seconds that a process has to end after SIGTERM


@dataclasses.dataclass
class _Running:
    """A job whose process runs."""

    job: Job
    process: BaseProcess
    shown: Relayed
    error: Exception | None
    """What ends the job, as far as its process has told. Until it tells its end, that it ended without a word."""


def run_in_processes(jobs: Sequence[Job], screen: GroupScreen, *, cores: int, at_once: int) -> dict[str, Exception]:
    """Run all jobs, in their order, as many at once as their threads fit on the cores, and at most `at_once`.

    Returns the error of each job that failed, by its title. An error of one leaves the others alone.
    """
    waiting, failed = list(jobs), {}
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and _fits(waiting[0], [one.job for one in running.values()], cores, at_once):
                _start(waiting.pop(0), running, screen)
            for connection in wait(list(running)):
                one = running[connection]
                try:
                    _hear(one, connection.recv())
                except (EOFError, OSError):  # the process has ended
                    del running[connection]
                    error = _end(one, connection)
                    tell_end(screen, one.job, error)
                    screen.end(one.job.title)
                    if error is not None and not isinstance(error, Skipped):
                        failed[one.job.title] = error
    finally:
        _stop([one.process for one in running.values()])
    return failed


def _fits(job: Job, running: Sequence[Job], cores: int, at_once: int) -> bool:
    """Whether a job may start beside those that run. One may always run alone."""
    threads = sum(one.threads for one in running) + job.threads
    return not running or (len(running) < at_once and threads <= cores)


def _start(job: Job, running: dict[Connection, _Running], screen: GroupScreen) -> None:
    context = _context()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job.title, job.steps, theirs, Path.cwd()), daemon=True)
    died = ChildProcessError("its process was ended from outside, perhaps because memory ran out")
    running[ours] = _Running(job, process, Relayed(screen), died)
    process.start()
    theirs.close()  # so that ours ends when the process does


def _context() -> BaseContext:
    """Starts processes from a fork server, or each anew if the path of the server's socket would be too long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    try:
        forkserver.ensure_running()
    except OSError:
        return multiprocessing.get_context("spawn")
    return context


def _hear(one: _Running, message: tuple[Any, ...]) -> None:
    match message:
        case "epoch", rows:
            one.job.on_epoch(rows)
        case "ended", error:
            one.error = error
        case _:
            one.shown.play(message)


def _end(one: _Running, connection: Connection) -> Exception | None:
    connection.close()
    one.shown.close()
    one.process.join()
    return one.error


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the process that started us ends us
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)  # the fork server may have started elsewhere
    relay, error = Relay(connection.send), None
    try:
        with shown_on(relay), contextlib.redirect_stdout(_Lines(title, relay)):
            for _ in steps(lambda rows: connection.send(("epoch", rows))):
                pass
    except Exception as raised:  # the process that started us decides
        error = _portable(raised)
    connection.send(("ended", error))


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: killed, it can no longer end us."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """An error that can be sent to another process; of one that is a defect, with its traceback."""
    if not isinstance(error, (*EXPECTED, Skipped)):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
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
