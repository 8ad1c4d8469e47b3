"""Work in other processes: its order, its errors, and that nothing of it outlives the process that asked for it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seglib.datasets.workers import AHEAD, BATCH, FEW, Workers
from tests.processes import assert_none_is_left

MANY = 3 * FEW


def square_slowly(number: int) -> tuple[int, int]:
    """Every fifth takes so long that those after it end before it; the square, and who worked it out."""
    time.sleep(0.02 if number % 5 == 0 else 0)
    return number ** 2, os.getpid()


def refuse(number: int) -> int:
    if number == FEW + 7:
        raise ValueError(f"number {number} cannot be used")
    return number


def end_abruptly(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def read_relative(name: str) -> str:
    return Path(name).read_text()


def never(item: object) -> bool:
    return False


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_items_order(count: int):
    with Workers(count, []) as pool:
        found = list(pool.map(square_slowly, range(MANY), never))
    assert [square for square, _ in found] == [number ** 2 for number in range(MANY)]
    processes = {process for _, process in found}
    assert processes == {os.getpid()} if count == 1 else os.getpid() not in processes and len(processes) == count


def test_few_items_and_ready_ones_are_done_here():
    with Workers(2, []) as pool:
        few = list(pool.map(square_slowly, range(FEW), never))
        mixed = list(pool.map(square_slowly, range(MANY), lambda number: number // BATCH % 3 == 0))
    assert {process for _, process in few} == {os.getpid()}
    assert [square for square, _ in mixed] == [number ** 2 for number in range(MANY)]
    assert all((process == os.getpid()) == (number // BATCH % 3 == 0) for number, (_, process) in enumerate(mixed))


def test_no_more_is_asked_for_than_is_soon_needed():
    asked = []

    def items() -> Iterator[int]:
        for number in range(MANY):
            asked.append(number)
            yield number
    with Workers(2, []) as pool:
        for taken, _ in enumerate(pool.map(square_slowly, items(), never), start=1):
            assert len(asked) <= max(FEW + 1, taken + BATCH * (2 * AHEAD + 1))


def test_an_error_is_the_one_that_was_raised():
    with Workers(2, []) as pool, pytest.raises(ValueError, match=f"^number {FEW + 7} cannot be used$"):
        list(pool.map(refuse, range(MANY), never))


def test_a_process_that_is_ended_from_outside_is_said():
    with Workers(2, []) as pool, pytest.raises(ChildProcessError, match="worker process died"):
        list(pool.map(end_abruptly, range(MANY), never))


def test_relative_paths_hold_in_the_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("content")
    with Workers(2, []) as pool:
        assert set(pool.map(read_relative, ["file"] * MANY, never)) == {"content"}


BUSY = """
import os, time
from seglib.datasets.workers import Workers

def work(number):
    os.write(1, f"{os.getpid()} {os.getppid()}\\n".encode())  # at once: the others write there too
    time.sleep(0.05)

if __name__ == "__main__":
    with Workers(2, []) as pool:
        for _ in pool.map(work, range(100_000), lambda number: False):
            pass
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_process_that_asked(tmp_path: Path, how: signal.Signals):
    _, at_work = assert_none_is_left(BUSY, tmp_path, how)
    assert len(at_work) == 3  # two and the fork server
