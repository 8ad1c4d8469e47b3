"""What holds for every fuzz test: memory ends soon, so that an input that asks for much of it is found out.

A crash in C code ends pytest itself, with faulthandler's trace and an exit status that is not 0.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

ALLOWANCE = 2 << 30  # bytes beyond what is in use: the inputs have some thousands


@pytest.fixture(scope="module", autouse=True)  # no longer: a browser that is started later wants more
def scarce_memory() -> Iterator[None]:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("how much memory is in use is read from Linux's /proc")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + ALLOWANCE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
