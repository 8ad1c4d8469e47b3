"""Processes that other processes started: whether they run, and whether a killed one leaves some behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT


def is_running(process: int) -> bool:
    """A process that has ended and that nobody has asked about yet is still there, but does not run."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_none_is_left(program: str, folder: Path, how: signal.Signals) -> tuple[int, set[int]]:
    """Run a Python program, end it by a signal while it works, and wait until none of its processes runs any more.

    The program prints the numbers of a worker process and of that process's parent, again and again. Returns the
    number of the program's own process, and all numbers that it printed. SIGINT is sent as a terminal does it, to all
    processes.
    """
    (folder / "busy.py").write_text(program)
    started = subprocess.Popen([sys.executable, "busy.py"], cwd=folder, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, start_new_session=True,
                               env=os.environ | {"PYTHONPATH": str(ROOT)})
    at_work = {int(number) for _ in range(20) for number in started.stdout.readline().split()}
    if how == signal.SIGINT:
        os.killpg(started.pid, how)
    else:
        started.send_signal(how)
    assert started.wait(timeout=60) != 0
    for _ in range(600):
        if not any(map(is_running, at_work)):
            break
        time.sleep(0.1)
    assert not any(map(is_running, at_work))
    started.stdout.close()
    return started.pid, at_work
