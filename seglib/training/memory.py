"""The memory of this machine and of its processes, on Linux."""

import math
from pathlib import Path

MACHINE = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


def available(machine: Path = MACHINE, container: Path = CONTAINER) -> float:
    """Bytes that processes can still take before this machine or its container runs out; infinity if this is unknown.

    machine, container: where Linux reports it.
    """
    try:
        found = _fields(machine)["MemAvailable:"] * 1024.0
    except (OSError, KeyError):
        found = math.inf
    try:
        limit = int((container / "memory.max").read_text())
        # What files have in memory is given up for processes.
        used = int((container / "memory.current").read_text()) - _fields(container / "memory.stat")["inactive_file"]
    except (OSError, KeyError, ValueError):  # no container, or none with a limit ("max")
        return found
    return min(found, limit - used)


def peak_of(process: int) -> float:
    """The most bytes that a process has had in memory so far; 0 if it has ended, or if this is unknown."""
    try:
        return _fields(Path(f"/proc/{process}/status"))["VmHWM:"] * 1024.0
    except (OSError, KeyError):
        return 0.0


def _fields(path: Path) -> dict[str, int]:
    """The numbers in a file of lines "name number ..."."""
    words = (line.split() for line in path.read_text().splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}
