"""How many cores there are to use."""

import os

import pytest

from seglib import cores


def test_cores_are_counted_once_however_many_threads_share_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 6})
    monkeypatch.setattr(cores, "_siblings", lambda cpu: f"{cpu % 4},{cpu % 4 + 4}")
    assert cores.physical_cores() == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores.physical_cores() == os.cpu_count()
