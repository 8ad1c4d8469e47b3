"""Forked processes: results in order, errors as they were raised, and no process that stays."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seglib.pipeline.forked import ForkedProcesses, can_fork
from tests.processes import assert_none_is_left, is_running

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux alone")

ITEMS = range(40)


def late_square(number: int) -> int:
    """Odd numbers take longer, so that results come out of order."""
    time.sleep(0.01 * (number % 2))
    return number * number


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_are_in_the_items_order_whatever_the_number_of_processes(count: int):
    with ForkedProcesses(late_square, count) as pool:
        assert list(pool.map(ITEMS)) == [number * number for number in ITEMS]
        assert list(pool.map([])) == []
        assert list(pool.map([5])) == [25]


@pytest.mark.parametrize("count", [0, 2])
def test_the_work_is_done_by_as_many_processes_as_asked_for(count: int):
    with ForkedProcesses(lambda number: (late_square(1), os.getpid())[1], count) as pool:
        done_by = set(pool.map(ITEMS))
    assert len(done_by) == max(count, 1) and (os.getpid() in done_by) == (count == 0)


def test_items_and_results_larger_than_a_pipe_pass():
    arrays = [np.full(1 << 20, number) for number in range(6)]
    with ForkedProcesses(lambda array: array + 1, 2) as pool:
        for number, found in enumerate(pool.map(arrays)):
            np.testing.assert_array_equal(found, arrays[number] + 1)


def test_an_item_is_taken_when_a_process_is_free_for_it():
    taken = []

    def items() -> Iterator[int]:
        for number in ITEMS:
            taken.append(number)
            yield number
    with ForkedProcesses(late_square, 1) as pool:
        for done, _ in enumerate(pool.map(items()), 1):
            assert len(taken) == done


def test_an_error_is_the_one_that_was_raised():
    def refuse(number: int) -> int:
        if number == 7:
            raise ValueError("number 7 cannot be used")
        return number
    with ForkedProcesses(refuse, 2) as pool, pytest.raises(ValueError) as caught:
        list(pool.map(ITEMS))
    assert str(caught.value) == "number 7 cannot be used"
    assert "in refuse" in caught.value.__notes__[0]  # where in the other process


def test_an_error_or_a_result_that_cannot_be_pickled_is_said():
    class Strange(Exception):
        pass

    def fail(number: int) -> int:
        raise Strange("odd")
    with ForkedProcesses(fail, 2) as pool, pytest.raises(RuntimeError, match="Strange: odd"):
        list(pool.map(ITEMS))
    with ForkedProcesses(lambda number: lambda: number, 2) as pool, pytest.raises(Exception, match="pickle"):
        list(pool.map(ITEMS))


def test_a_process_that_is_ended_from_outside_is_said():
    def end(number: int) -> None:
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    with ForkedProcesses(end, 2) as pool, pytest.raises(ChildProcessError, match="worker process died .signal 9."):
        list(pool.map(ITEMS))


def test_processes_leave_when_they_are_asked_to_and_one_stays():
    with ForkedProcesses(lambda number: (late_square(1), os.getpid())[1], 3, leave=lambda: True) as pool:
        assert len(set(pool.map(ITEMS))) == 1


def test_no_process_is_left_when_the_caller_stops_early():
    with ForkedProcesses(lambda number: (time.sleep(number), os.getpid())[1], 2) as pool:
        first = next(pool.map([0, 1000, 1000]))
    assert not is_running(first)


BUSY = """
import os, signal, sys, time
from seglib.pipeline.forked import ForkedProcesses

def work(number):
    os.write(1, f"{os.getpid()} {os.getppid()}\\n".encode())  # at once: the others write there too
    time.sleep(0.05)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as a stage does
with ForkedProcesses(work, 2) as pool:
    for _ in pool.map(range(100_000)):
        pass
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_process_that_forked(tmp_path: Path, how: signal.Signals):
    program, at_work = assert_none_is_left(BUSY, tmp_path, how)
    assert len(at_work) == 3 and program in at_work
