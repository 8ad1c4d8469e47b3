"""Who has to wait does, until what it waits for is there."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seglib.pipeline.locks import exclusive, wait_for_cores

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
