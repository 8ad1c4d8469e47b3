"""What the user asked DVC for: read from the command line of the DVC that runs this stage.

A stage knows its own training alone, and DVC runs one stage after another. A stage that trains others as well must not
train what DVC would not. The command line is read by DVC's own parser. What is not understood counts as not asked for.
"""

import argparse
import contextlib
import dataclasses
import fnmatch
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path

from seglib.pipeline.watchdog import dvc_of_this_stage
from seglib.pipeline.workspace import TrainingFiles

PIPELINE = "dvc.yaml"
FIRST = "resolve/dvc.yaml"
STUDIES = {"study", "bridge", "reproduce"}  # the commands of `seglib` that run DVC in their own process


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one DVC was asked for."""

    command: Sequence[str]
    """The words of its command line: `dvc repro` or `dvc exp run` with options and targets, or a command of `STUDIES`,
    which runs `dvc exp run` without targets in its own process. An interpreter and its options may stand before them.
    """
    started: float
    """When it started, in seconds since 1970."""

    @classmethod
    def of_this_stage(cls) -> "Request | None":
        """None if no DVC runs this stage, or if its command line cannot be read."""
        try:
            process = dvc_of_this_stage()
            if process is None:
                return None
            words = Path(f"/proc/{process}/cmdline").read_bytes().removesuffix(b"\0").split(b"\0")
            return cls(command=[os.fsdecode(word) for word in words], started=_start_of(process))
        except OSError:  # it has ended, or is another user's
            return None

    def trainings(self, live: Sequence[TrainingFiles]) -> list[TrainingFiles]:
        """Those of the live trainings that DVC was asked for, in the same order; none if its command is another."""
        if self._is_study:
            return list(live)
        options = self._options
        if options is None or options.interactive:
            return []
        if options.all_pipelines:
            return list(live)
        targets = [_plain(target) for target in options.targets] or [PIPELINE]
        return [files for files in live if _includes(files, targets, options)]

    @property
    def repeats(self) -> bool:
        """Whether what is finished is to be done again (`--force`)."""
        return not self._is_study and self._options is not None and self._options.force

    @property
    def _is_study(self) -> bool:
        program, words = _program(self.command)
        return program != "dvc" and bool(STUDIES.intersection(words[:1]))

    @property
    def _options(self) -> argparse.Namespace | None:
        """The options of `dvc repro` or `dvc exp run`; None for any other command, a worker of DVC's queue for one."""
        program, words = _program(self.command)
        if program != "dvc":
            return None
        from dvc.cli import DvcParserError
        from dvc.cli.parser import get_main_parser

        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                options = get_main_parser().parse_args(words)
        except (DvcParserError, SystemExit):
            return None
        if options.cmd == "run" and not options.run_all:
            options.glob = False  # which `dvc exp run` does not have
            return options
        return options if options.cmd == "repro" else None


def _includes(files: TrainingFiles, targets: Sequence[str], options: argparse.Namespace) -> bool:
    """Whether DVC runs this training for these targets."""
    dataset, key = files.dataset, f"{files.dataset}-{files.name}"
    above = [FIRST, f"{FIRST}:resolve", "fetch", f"fetch@{dataset}", "prepare", f"prepare@{dataset}"]
    itself = [PIPELINE, "train", f"train@{key}"]
    below = ["evaluate", f"evaluate@{key}", "compare", f"compare@{dataset}", "report"]
    if options.single_item:
        names = itself
    elif options.pipeline:  # all stages from `resolve` to `report` are one pipeline
        return True
    else:
        names = itself + (above if options.downstream else below)
    matches = fnmatch.fnmatchcase if options.glob else str.__eq__
    return any(matches(name, target) for name in names for target in targets)


def _plain(target: str) -> str:
    """A target as `_includes` names it: without the file if that is dvc.yaml."""
    path, has_name, name = target.rpartition(":")
    if not has_name:
        path, name = (target, "") if target.endswith(".yaml") else (PIPELINE, target)
    path = os.path.normpath(path)
    if path == PIPELINE:
        return name or PIPELINE
    return f"{path}:{name}" if name else path


def _program(command: Sequence[str]) -> tuple[str, list[str]]:
    """The program that a command runs, if it is "dvc", "seglib" or "seglib.cli", and its arguments; else ("", [])."""
    for place, word in enumerate(command):
        if (name := Path(word).name) in ("dvc", "seglib", "seglib.cli"):
            return name, list(command[place + 1:])
    return "", []


def _start_of(process: int) -> float:
    """When a process started, in seconds since 1970. Raises OSError if it has ended."""
    ticks = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))
