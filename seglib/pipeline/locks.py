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
    """Another process holds a lock, and this one does not wait. Its text says who, and what it does."""


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
    folder = Path(tempfile.gettempdir(), f"seglib-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    cores = [FileLock(folder / f"core-{core}.lock") for core in range(physical_cores())]
    needed, is_told = min(torch.get_num_threads(), len(cores)), False
    with contextlib.ExitStack() as held:
        while len(taken := _take(cores, needed)) < needed:
            for core in taken:  # never wait with some in hand: two that do would wait for ever
                core.release()
            if not is_told:
                print("waiting for this machine's cores: another training or evaluation has them", flush=True)
                is_told = True
            time.sleep(0.5)
        for core in taken:
            held.callback(core.release)
        yield


def _take(cores: list[FileLock], needed: int) -> list[FileLock]:
    """The first `needed` locks that are free, taken; fewer when fewer are."""
    taken: list[FileLock] = []
    for core in cores:
        if len(taken) < needed:
            with contextlib.suppress(Timeout):
                core.acquire(timeout=0)
                taken.append(core)
    return taken
