"""What a training shows: a bar in a terminal, lines without one."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
import torch

from seglib.training.progress import Progress
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


def test_a_terminal_sees_speed_time_left_loss_and_memory():
    """A real one: the program's standard error is a pseudo-terminal."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 40, 160, 0, 0))  # rows and columns
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=its, text=True)
    said, _ = process.communicate()
    os.close(its)
    seen = os.read(own, 1 << 20).decode()
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
