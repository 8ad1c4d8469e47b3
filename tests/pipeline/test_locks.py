"""Who has to wait does, until what it waits for is there."""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seglib.pipeline.locks import exclusive, spare_cores, wait_for_cores

Enter = Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture(params=["exclusive", "wait_for_cores"])
def enter(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """One of the two, of a machine of its own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)  # all cores
    return {"exclusive": lambda: exclusive(tmp_path / "one.lock", "has it"),
            "wait_for_cores": lambda: wait_for_cores(torch.device("cpu"))}[request.param]


def test_the_second_waits_until_the_first_has_left(enter: Enter):
    entered = threading.Event()

    def second() -> None:
        with enter():
            entered.set()

    waiting = threading.Thread(target=second)
    with enter():
        waiting.start()
        assert not entered.wait(1.5)  # three looks at the cores
    assert entered.wait(30)
    waiting.join()


def test_after_an_error_the_next_may_enter(enter: Enter):
    with pytest.raises(ZeroDivisionError), enter():
        raise ZeroDivisionError
    with enter():
        pass


def test_trainings_whose_threads_fit_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.setattr("seglib.pipeline.locks.physical_cores", lambda: 4)
    with wait_for_cores(torch.device("cpu")), wait_for_cores(torch.device("cpu")):
        assert len(list(tmp_path.rglob("core-*.lock"))) == 4


def test_a_gpu_takes_no_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with wait_for_cores(torch.device("cuda")), wait_for_cores(torch.device("cuda")):
        assert not list(tmp_path.rglob("core-*.lock"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, and processes of one thread."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    monkeypatch.setattr("seglib.pipeline.locks.physical_cores", lambda: 4)


@pytest.mark.usefixtures("machine")
def test_spare_cores_are_those_that_are_free_now():
    cpu = torch.device("cpu")
    with wait_for_cores(cpu):
        with wait_for_cores(cpu), spare_cores() as spare:
            assert len(spare) == 2
            with spare_cores() as more:
                assert len(more) == 0
            assert not spare.give_back() and len(spare) == 2  # nobody waits
        with spare_cores() as spare:
            assert len(spare) == 3


@pytest.mark.usefixtures("machine")
def test_spare_cores_are_given_back_one_by_one_to_those_who_wait(capsys: pytest.CaptureFixture):
    """Evaluations that start side by side share the cores."""
    entered, leave = threading.Semaphore(0), threading.Event()

    def other() -> None:
        with wait_for_cores(torch.device("cpu")):
            entered.release()
            leave.wait()

    others = [threading.Thread(target=other) for _ in range(2)]
    with wait_for_cores(torch.device("cpu")), spare_cores() as spare:
        assert len(spare) == 3
        for remaining, thread in zip((2, 1), others, strict=True):
            thread.start()
            while not spare.give_back():
                time.sleep(0.01)
            assert entered.acquire(timeout=30) and len(spare) == remaining
        assert not spare.give_back()  # all have what they need
    leave.set()
    for thread in others:
        thread.join()
    with spare_cores() as spare:
        assert len(spare) == 4


@pytest.mark.usefixtures("machine")
def test_no_spare_core_is_taken_while_another_process_waits(monkeypatch: pytest.MonkeyPatch):
    """One that needs four cores, of which one is in use: the other three are not taken from it."""
    leave = threading.Event()

    def other() -> None:
        with wait_for_cores(torch.device("cpu")):
            leave.wait()

    thread = threading.Thread(target=other)
    with wait_for_cores(torch.device("cpu")):
        monkeypatch.setattr("torch.get_num_threads", lambda: 4)
        thread.start()
        taken = 3
        while taken:  # until the other waits
            with spare_cores() as spare:
                taken = len(spare)
            time.sleep(0.01)
    leave.set()
    thread.join()
