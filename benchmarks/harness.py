"""How things are timed here: interleaved, each figure a ratio against its peer in the same run; and printed as tables.

Needs nothing but the standard library. Machines are shared and noisy, so a time alone says little: works that are
compared take turns, and their ratio is the median over rounds.
"""

import dataclasses
import datetime
import functools
import gc
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One value a round: the median and, in brackets, the smallest and the largest."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        median, low, high = (f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
                             for value in (self.median, min(self.values), max(self.values)))
        return f"{median}×" if low == high else f"{median}× ({low}–{high})"


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long each round of one work took, seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def rate(self, count: float) -> float:
        """`count` things a round, a second."""
        return count / self.median

    def times_faster(self, peer: "Timing") -> Ratio:
        """How many times as fast as the peer, round by round."""
        return Ratio(tuple(theirs / own for own, theirs in zip(self.seconds, peer.seconds, strict=True)))


def interleaved(works: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 1) -> dict[str, Timing]:
    """Time each work once a round, in turn, the order reversed every other round; first, `warmup` rounds untimed."""
    def seconds(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return in_turn({name: functools.partial(seconds, work) for name, work in works.items()}, rounds=rounds,
                   warmup=warmup)


def in_turn(works: Mapping[str, Callable[[], float]], *, rounds: int, warmup: int = 1) -> dict[str, Timing]:
    """As `interleaved`, of works that say themselves how many seconds they took, or took for one of their things."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-warmup, rounds):
        for name, work in list(works.items())[::1 if turn % 2 == 0 else -1]:
            gc.collect()
            taken = work()
            if turn >= 0:
                seconds[name].append(taken)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


@dataclasses.dataclass(frozen=True)
class Run:
    """One command in a process of its own."""

    seconds: float
    peak_mb: float  # of 2²⁰ bytes: the process and its descendants together, pages that several share counted once
    output: str  # its standard output


def run(command: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end, watching its memory. Raises RuntimeError, with what it said, where it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], cwd=cwd, stdout=out, stderr=err,
                                   env=os.environ | (env or {}))
        watcher = _Watcher(process.pid)
        watcher.start()
        try:
            code = process.wait()
        finally:
            process.kill()  # where the wait was interrupted
        seconds = time.perf_counter() - start
        peak_mb = watcher.stop()
        out.seek(0)
        err.seek(0)
        if code:
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {code}:\n{err.read().decode()[-2000:]}")
        return Run(seconds, peak_mb, out.read().decode())


def python(code: str, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Run:
    """Run Python code in a fresh interpreter of this environment, with the repository's root on its path."""
    return run([sys.executable, "-c", code], cwd=cwd, env={"PYTHONPATH": str(ROOT), **(env or {})})


class _Watcher(threading.Thread):
    """Samples the proportional set size of a process tree, mapped files' pages among it; a short peak may be missed.

    A sample walks all pages: it is taken 20 times a second, or as seldom as takes a twentieth of one core.
    """

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._pid, self._peak, self._stopped = pid, 0.0, threading.Event()

    def run(self) -> None:
        pause = 0.05
        while not self._stopped.wait(pause):
            start = time.perf_counter()
            self._peak = max(self._peak, sum(map(_pss_mb, _tree(self._pid))))
            pause = max(0.05, 20 * (time.perf_counter() - start))

    def stop(self) -> float:
        self._stopped.set()
        self.join()
        return self._peak


def _tree(pid: int) -> Iterable[int]:
    yield pid
    try:
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                    for child in (task / "children").read_text().split()]
    except OSError:  # it has ended meanwhile
        return
    for child in children:
        yield from _tree(child)


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def heading(title: str, text: str = "") -> None:
    """A section of the output, which is Markdown."""
    print(f"\n### {title}\n" + (f"\n{text}\n" if text else ""), flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print(flush=True)


def machine() -> str:
    """The processor, the logical processors this process may use, and the day."""
    return f"{processor()}, {len(os.sched_getaffinity(0))} processors, {datetime.date.today().isoformat()}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
