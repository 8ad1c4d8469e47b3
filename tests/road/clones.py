"""Fresh clones of the repository, and commands run in them as a user runs them."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT, SHARED


def clone(folder: Path) -> Path:
    """A fresh clone, with the real pictures beside it as they stand beside the original."""
    folder.mkdir()
    target = folder / "seglib"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    if SHARED.exists():
        (folder / "shared").symlink_to(SHARED)
    return target


def environment() -> dict[str, str]:
    """A user's: this Python's programs first, a name for git, MLflow's store in the repository."""
    found = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **{f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "road"), ("EMAIL", "road@example.org"))}}
    found.pop("MLFLOW_TRACKING_URI", None)
    return found


def run(repository: Path, *command: str) -> str:
    """A command's output, as a user sees it; fails with it."""
    done = subprocess.run(command, cwd=repository, env=environment(), text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    print(f"$ {' '.join(command)}\n{done.stdout}")
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def make(repository: Path, target: str) -> str:
    """The output of `make`, by this Python's environment in place of a new .venv."""
    return run(repository, "make", "--no-print-directory", "--old-file=.venv/stamp", target)


def run_queue(repository: Path, jobs: int) -> str:
    """Let so many workers run what is queued, to its end; what `dvc queue status` then says."""
    run(repository, "dvc", "queue", "start", "--jobs", str(jobs))
    while any(state in (status := run(repository, "dvc", "queue", "status")) for state in ("Running", "Queued")):
        time.sleep(3)
    return status


def executed(output: str, stage: str) -> set[str]:
    return set(re.findall(rf"Running stage '{stage}@([^']+)'", output))
