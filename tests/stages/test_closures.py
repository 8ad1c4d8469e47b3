"""Each stage runs no code of ours that its fingerprint does not hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seglib.pipeline.fingerprint import INERT, WORDS, Fingerprinter
from tests.conftest import ROOT

RUNS = {
    "fetch": "fetch.main('shapes')",
    "prepare": "prepare.main('shapes')",
    "train": "train.main('shapes', 'munet-mse_dice-1')",
    "evaluate": "evaluate.main('shapes', 'munet-mse_dice-1')",
    "compare": "compare.main('shapes')",
    "report": "report.main()",
}
MESSAGES = ("fetch", "prepare")  # those whose messages reach rejected.csv
LISTING = ("compare", "report")  # those whose inputs `workspace` lists


@pytest.mark.parametrize("stage", RUNS)
def test_what_a_stage_imports_while_it_runs_is_in_its_closure_or_cannot_change_an_output(copied: Path, stage: str):
    code = f"import sys\nfrom stages import {stage}\n{RUNS[stage]}\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
                          capture_output=True, text=True)
    loaded = {name for name in done.stdout.rpartition("loaded:")[2].split()
              if name.partition(".")[0] in ("seglib", "stages")}
    fingerprinter, messages = Fingerprinter(), stage in MESSAGES
    entries = [f"stages.{stage}", *["seglib.pipeline.workspace"] * (stage in LISTING)]
    closure = set(fingerprinter.modules(entries, messages=messages))
    # Modules that cannot change an output bring others, which no other module of the stage imports.
    inert = set(fingerprinter.modules(INERT | WORDS))
    assert f"stages.{stage}" in loaded
    assert loaded - closure <= inert
