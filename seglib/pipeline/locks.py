"""Who may train now: one process per training, and on one CPU as many as it has cores for."""

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from seglib.cores import physical_cores


class HeldElsewhere(Exception):
    """Another process holds a lock, and this one does not wait. Its text names that process, and says what it does."""


@contextlib.contextmanager
def exclusive(path: Path, doing: str, *, waits: bool = True) -> Iterator[None]:
    """Hold the lock at `path`. If another process has it, say which, and wait: it may be making what is needed here.

    doing: what it is doing then, in words. The lock of a process that was killed is free. waits: if not, raise
    HeldElsewhere in place of waiting.
    """
    lock, holder = FileLock(path), path.with_suffix(".holder")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with contextlib.suppress(FileNotFoundError):  # it has only just taken the lock, or left it
            doing = f"{holder.read_text(encoding='utf-8')} {doing}"
        if not waits:
            raise HeldElsewhere(doing) from None
        print(f"waiting: {doing}", flush=True)
        lock.acquire()
    try:
        holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def wait_for_cores(device: torch.device) -> Iterator[None]:
    """Wait until this machine's cores are free, if the CPU computes; other devices arbitrate themselves.

    Two processes whose threads together outnumber the cores wait for each other at every step: measured on two cores,
    two trainings at once ran at a tenth of their speed. So they take turns: as many at once as their threads fit.
    """
    if device.type != "cpu":
        yield
        return
    cores, waiting = _core_locks(), _waiting_lock()
    needed, is_told = min(torch.get_num_threads(), len(cores)), False
    with contextlib.ExitStack() as held:
        held.callback(waiting.release)
        while len(taken := _take(cores, needed)) < needed:
            for core in taken:  # never wait with some in hand: two that do would wait for ever
                core.release()
            if not is_told:
                print("waiting for this machine's cores: another training or evaluation has them", flush=True)
                is_told = True
            if not waiting.is_locked:
                _take([waiting], 1)
            time.sleep(0.5)
        waiting.release()
        for core in taken:
            held.callback(core.release)
        yield


class SpareCores:
    """Cores beyond those that a process needs. It has them as long as no other process waits for one."""

    def __init__(self, cores: list[FileLock], waiting: FileLock):
        self._cores, self._waiting = cores, waiting

    def __len__(self) -> int:
        return len(self._cores)

    def give_back(self) -> bool:
        """If another process waits for cores, release one. Returns whether one was released."""
        if not self._cores or not _is_wanted(self._waiting):
            return False
        self._cores.pop().release()
        return True


@contextlib.contextmanager
def spare_cores() -> Iterator[SpareCores]:
    """Take all cores of this machine that are free now, without waiting. They are released when the block ends."""
    waiting = _waiting_lock()
    cores = [] if _is_wanted(waiting) else _take(locks := _core_locks(), len(locks))
    try:
        yield SpareCores(cores, waiting)
    finally:
        for core in cores:
            core.release()


def _core_locks() -> list[FileLock]:
    return [FileLock(_folder() / f"core-{core}.lock") for core in range(physical_cores())]


def _waiting_lock() -> FileLock:
    """One of the processes that wait for cores holds this lock."""
    return FileLock(_folder() / "waiting.lock")


def _folder() -> Path:
    folder = Path(tempfile.gettempdir(), f"seglib-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    return folder


def _is_wanted(waiting: FileLock) -> bool:
    free = _take([waiting], 1)
    for lock in free:
        lock.release()
    return not free


def _take(cores: list[FileLock], needed: int) -> list[FileLock]:
    """The first `needed` locks that are free, taken; fewer when fewer are."""
    taken: list[FileLock] = []
    for core in cores:
        if len(taken) < needed:
            with contextlib.suppress(Timeout):
                core.acquire(timeout=0)
                taken.append(core)
    return taken
