"""What a training shows: a bar in a terminal, lines without one."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
import torch

from seglib.training.progress import GroupScreen, Progress, Relay, Relayed, shown_on
from tests.conftest import ROOT

PROGRAM = """
import time, torch
from seglib.training.progress import Progress
with Progress("shapes munet", images=400, done=100, device=torch.device("cpu")) as progress:
    progress.say("goes on after epoch 1")
    for _ in range(3):
        time.sleep(0.3)
        progress.update(100)
        progress.show(0.12341)
"""


GROUP = """
import time, torch
from seglib.training.progress import GroupScreen, Progress, shown_on
screen = GroupScreen("shapes", {"first": 400, "second": 400, "third": 200})
with shown_on(screen):
    bars = [Progress(title, images=400, done=0, device=torch.device("cpu")) for title in ("first", "second")]
    for _ in range(4):
        time.sleep(0.2)
        for bar in bars:
            bar.update(100)
            bar.show(0.5)
    bars[0].say("epoch 1/1")
    for bar in bars:
        bar.__exit__()
screen.end("first")
time.sleep(0.3)
screen.end("second")
screen.close()
"""


def in_a_terminal(program: str) -> tuple[str, str]:
    """What a program prints, and what it shows on standard error, which is a pseudo-terminal."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 40, 160, 0, 0))  # rows and columns
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=its, text=True)
    os.close(its)
    seen = b""
    with contextlib.suppress(OSError):  # which the last read raises
        while part := os.read(own, 1 << 20):
            seen += part
    os.close(own)
    return process.communicate()[0], seen.decode()


def test_a_terminal_sees_speed_time_left_loss_and_memory():
    said, seen = in_a_terminal(PROGRAM)
    last = seen.strip().split("\r")[-1]
    assert said == "shapes munet goes on after epoch 1\n"
    assert "shapes munet: 100%" in last and "400/400" in last and "image/s" in last
    assert "loss=0.1234" in last and "memory=0." in last and " GB" in last
    assert "<" in seen  # elapsed < left


def test_without_a_terminal_only_what_is_said_is_printed(capsys: pytest.CaptureFixture):
    with Progress("shapes munet", images=2, done=0, device=torch.device("cpu")) as progress:
        progress.update(1)
        progress.show(0.5)
        progress.say("epoch 1/1")
    assert capsys.readouterr() == ("shapes munet epoch 1/1\n", "")


def test_a_terminal_sees_a_bar_of_each_training_that_runs_and_a_line_of_all():
    said, seen = in_a_terminal(GROUP)
    assert said == "first epoch 1/1\n"
    for title in ("first", "second"):
        assert re.search(rf"{title}: +\d+%.*\d/400.*loss=0.5", seen)
    assert re.search(r"shapes: 2 of 3 trainings ended, \d+ images/s together, about 00:0\d left  80%", seen)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_time_left_for_all_follows_from_pictures_and_speed():
    """1,000 pictures, 100 of them behind an earlier run; 100 are seen in 2 seconds, so that 800 take 16."""
    clock = Clock()
    screen = GroupScreen("shapes", {"a": 500, "b": 500}, clock=clock)
    assert screen.summary() == "0 of 2 trainings ended"
    bar = screen.open("a", images=500, done=100)
    bar.update(60)
    bar.update(40)
    clock.seconds = 2.0
    assert screen.summary() == "0 of 2 trainings ended, 50 images/s together, about 00:16 left"
    bar.close()
    screen.open("a", images=500, done=120)  # it was put back, and goes on from its checkpoint
    assert screen.summary() == "0 of 2 trainings ended, 50 images/s together, about 00:17 left"
    screen.end("a")  # it stops early
    assert screen.summary() == "1 of 2 trainings ended, 50 images/s together, about 00:10 left"
    screen.end("b")
    assert screen.summary() == "2 of 2 trainings ended"


def test_without_a_terminal_a_group_prints_a_line_when_a_training_ends(capsys: pytest.CaptureFixture):
    screen = GroupScreen("shapes", {"a": 2, "b": 2})
    with shown_on(screen), Progress("a", images=2, done=0, device=torch.device("cpu")) as progress:
        progress.update(1)
        progress.show(0.5)
        progress.say("epoch 1/1")
    screen.end("a")
    out, err = capsys.readouterr()
    assert out.startswith("a epoch 1/1\nshapes: 1 of 2 trainings ended, ") and err == ""


def test_what_another_process_shows_is_shown_as_if_it_were_shown_here(capsys: pytest.CaptureFixture):
    clock = Clock()
    screen = GroupScreen("shapes", {"a": 100, "b": 100}, clock=clock)
    relayed = Relayed(screen)
    with shown_on(Relay(relayed.play)), Progress("a", images=100, done=20, device=torch.device("cpu")) as progress:
        for _ in range(30):
            progress.update(1)
        progress.show(0.5)
        progress.say("epoch 1/1")
    clock.seconds = 3.0
    assert screen.summary() == "0 of 2 trainings ended, 10 images/s together, about 00:15 left"
    relayed.close()  # as of a process that was killed; twice does no harm
    assert capsys.readouterr().out == "a epoch 1/1\n"
