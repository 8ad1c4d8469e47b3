"""Errands are done one after another, by a thread that nobody waits for."""

import subprocess
import sys
import threading

import pytest

from seglib.pipeline.background import BackgroundThread
from tests.conftest import ROOT


def test_errands_are_done_in_the_order_they_were_sent():
    thread, done = BackgroundThread(), []
    results = [thread.submit(lambda number=number: done.append(number) or number) for number in range(50)]
    assert [result.result() for result in results] == done == list(range(50))


def test_whoever_asks_is_told_of_an_error_and_the_next_errand_is_done():
    thread = BackgroundThread()
    failing = thread.submit(lambda: 1 // 0)
    assert thread.submit(lambda: "next").result() == "next"
    with pytest.raises(ZeroDivisionError):
        failing.result()


def test_the_last_is_done_next_in_place_of_all_that_has_not_begun():
    thread, begun, may_end, done = BackgroundThread(), threading.Event(), threading.Event(), []

    def long() -> None:
        begun.set()
        may_end.wait()
        done.append("under way")

    first = thread.submit(long)
    begun.wait()
    passed_over = [thread.submit(lambda: done.append("waiting")) for _ in range(2)]
    last = thread.submit_last(lambda: done.append("last"))
    may_end.set()
    last.result()
    assert done == ["under way", "last"] and first.done()
    assert all(one.cancelled() for one in passed_over)


def test_a_process_ends_whatever_hangs():
    script = ("import threading\nfrom seglib.pipeline.background import BackgroundThread\nbegun = threading.Event()\n"
              "BackgroundThread().submit(lambda: begun.set() or threading.Event().wait())\nbegun.wait()\nprint('end')")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
