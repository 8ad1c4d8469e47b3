"""Jobs in processes of their own: how many at once, how each ends, and what the process that started them hears."""

import functools
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from seglib.training import memory
from seglib.training.job import Job, OnEpoch, Skipped
from seglib.training.processes import Processes
from seglib.training.progress import GroupScreen
from tests.conftest import ROOT

Work = Callable[[Path, str, OnEpoch], Iterator[None]]


def work(log: Path, name: str, on_epoch: OnEpoch, *, meets: int = 1) -> Iterator[None]:
    """Notes when it starts and when it ends. meets: it does not end before so many have started."""
    for said in ("start", "end"):
        on_epoch([{"epoch": said, "process": os.getpid()}])
        with log.open("a") as file:
            file.write(f"{said} {name}\n")
        deadline = time.monotonic() + 60
        while log.read_text().count("start") < meets and time.monotonic() < deadline:
            time.sleep(0.01)
        yield


def raises_a_users_error(log: Path, name: str, on_epoch: OnEpoch) -> Iterator[None]:
    yield
    raise ValueError("batch_size is too large")


def raises_a_defect(log: Path, name: str, on_epoch: OnEpoch) -> Iterator[None]:
    yield
    print(1 / len(name[:0]))


class Odd(Exception):
    """Cannot be made again from what it keeps."""

    def __init__(self, first: str, second: str):
        super().__init__(first + second)


def raises_what_cannot_be_sent(log: Path, name: str, on_epoch: OnEpoch) -> Iterator[None]:
    yield
    raise Odd("of two", " parts")


def skips(log: Path, name: str, on_epoch: OnEpoch) -> Iterator[None]:
    raise Skipped("process 1 trains it already")
    yield


def is_killed(log: Path, name: str, on_epoch: OnEpoch) -> Iterator[None]:
    yield
    os.kill(os.getpid(), signal.SIGKILL)


def prints(log: Path, name: str, on_epoch: OnEpoch) -> Iterator[None]:
    print("waits for")
    print("a core", end="")
    print()
    yield


def job(log: Path, title: str, steps: Work = work, *, threads: int = 1,
        on_epoch: OnEpoch = lambda rows: None) -> Job:
    return Job(title=title, images=10, threads=threads, steps=functools.partial(steps, log, title), on_epoch=on_epoch)


def run(jobs: list[Job], *, cores: int = 2, at_once: int = 2,
        available: Callable[[], float] = lambda: math.inf) -> dict[str, Exception]:
    screen = GroupScreen("group", {one.title: one.images for one in jobs})
    return Processes(jobs, screen, cores=cores, at_once=at_once, available=available).run()


def most_at_once(log: Path) -> int:
    running = most = 0
    for line in log.read_text().splitlines():
        running += 1 if line.startswith("start") else -1
        most = max(most, running)
    return most


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.mark.parametrize(("cores", "at_once", "threads", "expected"), [
    (2, 9, 1, 2), (2, 9, 4, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        (2, 2, 1, 2), (4, 2, 1, 2), (4, 9, 2, 2), (9, 1, 1, 1)))])
def test_as_many_at_once_as_fit_and_all_in_their_order(log: Path, cores: int, at_once: int, threads: int,
                                                       expected: int):
    meeting = functools.partial(work, meets=expected)
    jobs = [job(log, str(number), meeting, threads=threads) for number in range(5)]
    assert run(jobs, cores=cores, at_once=at_once) == {}
    assert most_at_once(log) == expected
    started = [line for line in log.read_text().splitlines() if line.startswith("start")]
    assert sorted(started[:2]) == ["start 0", "start 1"] and len(started) == 5


def test_one_alone_if_memory_is_short(log: Path):
    assert run([job(log, str(number)) for number in range(3)], available=lambda: 1e6) == {}
    assert most_at_once(log) == 1


def test_what_is_learnt_reaches_the_process_that_started_them(log: Path):
    heard: dict[str, list[dict[str, object]]] = {name: [] for name in "ab"}
    run([job(log, name, on_epoch=heard[name].extend) for name in heard])
    assert [[row["epoch"] for row in heard[name]] for name in "ab"] == [["start", "end"]] * 2
    processes = {row["process"] for rows in heard.values() for row in rows}
    assert len(processes) == 2 and os.getpid() not in processes


def test_each_ends_in_its_own_way(log: Path, capsys: pytest.CaptureFixture):
    works = {"user": raises_a_users_error, "defect": raises_a_defect, "odd": raises_what_cannot_be_sent,
             "skips": skips, "killed": is_killed, "prints": prints, "works": work}
    failed = run([job(log, title, steps) for title, steps in works.items()])
    assert failed.keys() == {"user", "defect", "odd", "killed"}
    assert type(failed["user"]) is ValueError and str(failed["user"]) == "batch_size is too large"
    assert type(failed["defect"]) is ZeroDivisionError
    assert "in raises_a_defect" in failed["defect"].__notes__[0]  # where it was raised
    assert type(failed["odd"]) is RuntimeError and "Odd: of two parts" in str(failed["odd"])
    assert type(failed["killed"]) is ChildProcessError
    said = capsys.readouterr().out
    assert "user failed: batch_size is too large. The others go on; its own stage will say more\n" in said
    assert "skips is left out: process 1 trains it already\n" in said
    assert "prints waits for\nprints a core\n" in said
    assert "group: 7 of 7 trainings ended\n" in said
    assert log.read_text() == "start works\nend works\n"


PROGRAM = """
import functools, sys
from pathlib import Path
from tests.training.test_processes import job, run, work
if __name__ == "__main__":
    run([job(Path(sys.argv[1]), str(number), functools.partial(work, meets=20)) for number in range(20)])
"""


def begun(log: Path, tmp_path: Path, **environment: str) -> subprocess.Popen:
    """A program that runs twenty jobs, two of which have started."""
    (tmp_path / "program.py").write_text(PROGRAM)
    process = subprocess.Popen([sys.executable, tmp_path / "program.py", log], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True,
                               env=os.environ | {"PYTHONPATH": str(ROOT)} | environment)
    while not log.exists() or log.read_text().count("start") < 2:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("how", [
    signal.SIGKILL, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGINT, signal.SIGTERM))])
def test_no_process_outlives_the_one_that_started_it(log: Path, tmp_path: Path, how: signal.Signals):
    process = begun(log, tmp_path)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    process.communicate()
    assert len(children) >= 3  # the fork server and two of its children
    assert not psutil.wait_procs(children, timeout=30)[1]


@pytest.mark.slow
def test_a_long_path_for_temporary_files_is_no_trouble(log: Path, tmp_path: Path):
    """A socket's path has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="x" * 100) as folder:
        process = begun(log, tmp_path, TMPDIR=folder)
        process.terminate()
        process.communicate()


def test_memory_is_the_machines_or_the_containers(tmp_path: Path):
    machine, container = tmp_path / "meminfo", tmp_path / "cgroup"
    assert memory.available(machine, container) == math.inf
    machine.write_text("MemTotal:  4000000 kB\nMemAvailable:  3000000 kB\nHugePages_Total:  0\n")
    assert memory.available(machine, container) == 3_000_000 * 1024
    container.mkdir()
    (container / "memory.max").write_text("max\n")
    (container / "memory.current").write_text("1500000000\n")
    (container / "memory.stat").write_text("anon 900000000\ninactive_file 500000000\n")
    assert memory.available(machine, container) == 3_000_000 * 1024
    (container / "memory.max").write_text("2000000000\n")
    assert memory.available(machine, container) == 1_000_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says")
def test_the_peak_of_a_process_is_in_bytes():
    peak = memory.peak_of(os.getpid())
    assert peak == pytest.approx(psutil.Process().memory_info().rss, rel=1) and peak > 1e7
    assert memory.peak_of(2**22 + 1) == 0.0
