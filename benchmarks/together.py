"""Many trainings on a CPU: one process per core with one thread each, beside one after another with a thread per core.

    python -m benchmarks.together [--size tiny|short|full]    # seconds, 5 minutes, an hour

The trainings are the default study's: three losses, five seeds each. Every way is timed on the machine as it is, which
should be idle, and beside a process that keeps one core busy. A training's threads wait for each other, so that one
busy core slows all of them down.
"""

import argparse
import contextlib
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import inputs
from benchmarks.harness import heading, in_turn, machine, table
from benchmarks.jobs import train_all
from seglib.cores import physical_cores

# pictures: how many are trained on. width: of the network. `full` is the default study itself.
SIZES = {
    "tiny": {"pictures": 16, "epochs": 1, "seeds": 1, "rounds": 1, "width": 8},
    "short": {"pictures": 320, "epochs": 1, "seeds": 5, "rounds": 2, "width": 32},
    "full": {"pictures": 2340, "epochs": 5, "seeds": 5, "rounds": 1, "width": 32},
}
ONE_BY_ONE, AT_ONCE = "one after another, a thread per core", "a process per core, one thread each"
IDLE, BUSY = "idle", "beside one busy core"
GOALS = {IDLE: "1.05×", BUSY: "2.5×"}


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.together")
    parser.add_argument("--size", choices=list(SIZES), default="short")
    size, cores = SIZES[parser.parse_args(arguments).size], physical_cores()
    with tempfile.TemporaryDirectory() as folder:
        pictures = size["pictures"]
        dataset = inputs.write_dataset(Path(folder) / "shapes", train=pictures, val=max(2, pictures // 9))

        def seconds(*, threads: int, busy: bool) -> float:
            configs = inputs.default_study(seeds=size["seeds"], width=size["width"], epochs=size["epochs"],
                                           device="cpu", threads=threads)
            with busy_core() if busy else contextlib.nullcontext():
                start = time.perf_counter()
                train_all(configs, dataset)
                return time.perf_counter() - start

        works = {}
        for where in (IDLE, BUSY):  # as many run at once as their threads fit on the cores
            works[where, ONE_BY_ONE] = functools.partial(seconds, threads=cores, busy=where == BUSY)
            works[where, AT_ONCE] = functools.partial(seconds, threads=1, busy=where == BUSY)
        timings = in_turn(works, rounds=size["rounds"], warmup=0)
    trainings = 3 * size["seeds"]
    learnt_from = trainings * pictures * size["epochs"]
    heading(f"{trainings} trainings of the default study on {cores} cores",
            f"{machine()}. {pictures} pictures, {size['epochs']} epochs, medians of {size['rounds']} rounds; "
            "with the start of each process, which has PyTorch imported, and with validation.")
    table(["the machine", "how", "seconds", "images/s", "times as fast", "goal"],
          [[where, name, f"{timing.median:.1f}", f"{timing.rate(learnt_from):.0f}",
            timing.times_faster(timings[where, ONE_BY_ONE]), GOALS[where] if name == AT_ONCE else ""]
           for (where, name), timing in timings.items()])


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """A process that keeps one core busy meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
