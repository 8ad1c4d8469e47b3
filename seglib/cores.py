"""How many processors' worth of work this machine does at once."""

import os
from pathlib import Path


def physical_cores() -> int:
    """Physical cores that this process may use: a second thread on a core adds nothing to numeric work."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})


def _siblings(cpu: int) -> str:
    """The logical processors that share a core with this one."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:  # not said, as in some containers
        return str(cpu)
