"""A stage ends with the DVC that runs it. DVC that is killed, or told to end, leaves it running otherwise.

Imported before anything else, since imports take seconds. On Linux alone.
"""

import os
import select
import signal
import threading
from pathlib import Path

NAME = "DVC_STAGE"  # what DVC sets for the commands it runs: DVC itself does not have it


def end_with_dvc() -> None:
    """If DVC runs this process, send it SIGTERM as soon as DVC is gone.

    A stage that was started by hand may outlive its terminal.
    """
    if not _is_stage():
        return
    dvc = _runner(os.getppid())
    if dvc is None:
        raise SystemExit("error: DVC ended before its stage began")
    try:
        watched = os.pidfd_open(dvc)
    except ProcessLookupError:
        raise SystemExit("error: DVC ended before its stage began") from None
    except OSError:  # a kernel before 5.3, or a container that forbids it
        return
    threading.Thread(target=_wait_and_end, args=(watched,), daemon=True).start()


def dvc_of_this_stage() -> int | None:
    """The number of the process of DVC that runs this stage. None if there is none, and on other systems than Linux."""
    return _runner(os.getppid()) if _is_stage() else None


def _is_stage() -> bool:
    """Whether DVC started this process, on a system that can tell which DVC."""
    return NAME in os.environ and hasattr(os, "pidfd_open")


def _runner(process: int) -> int | None:
    """The nearest ancestor that DVC did not start; between it and us stands a shell. None if that is not DVC."""
    while process > 1:
        if f"\0{NAME}=".encode() not in b"\0" + Path(f"/proc/{process}/environ").read_bytes():
            return process
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    # Who has lost its parent gets process 1, which in a container may well be DVC itself.
    first = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    return process if {b"dvc", b"seglib"} & {Path(os.fsdecode(word)).name.encode() for word in first} else None


def _wait_and_end(watched: int) -> None:
    select.select([watched], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
