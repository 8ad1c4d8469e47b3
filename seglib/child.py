"""What a process that multiprocessing has started does before its work.

A fork server starts it, so that it does not end by itself with the process that wants its work.
"""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path


def begin(folder: Path, grace: float = 0.0) -> None:
    """Work in this folder, leave Ctrl-C to the parent process, and end when the parent process has ended.

    grace: seconds between SIGTERM and the end, in which half-written files are removed; 0: end at once.
    """
    os.chdir(folder)  # the fork server may have started elsewhere
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the parent ends this one
    threading.Thread(target=_end_with_parent, args=(grace,), daemon=True).start()


def _end_with_parent(grace: float) -> None:
    """A parent that is killed can no longer end this process, which might wait for work for ever."""
    multiprocessing.parent_process().join()
    if grace:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
    os._exit(1)
