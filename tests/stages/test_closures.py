"""Each stage runs no code of ours that its fingerprint does not hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seglib.pipeline.code import Code
from seglib.pipeline.fingerprint import INERT, WORDS, Fingerprinter
from tests.conftest import ROOT

RUNS = {
    "fetch": ("main('shapes')", "conf/shapes.fetch.json"),
    "prepare": ("main('shapes')", "conf/shapes.prepare.json"),
    "train": ("main('shapes', 'munet-mse_dice-1')", "conf/shapes/munet-mse_dice-1/train.json"),
    "evaluate": ("main('shapes', 'munet-mse_dice-1')", "conf/shapes/munet-mse_dice-1/evaluate.json"),
    "predict": ("main('shapes')", "conf/shapes.predict.json"),
    "compare": ("main('shapes')", "conf/shapes.compare.json"),
    "report": ("main()", "conf/report.json"),
}


@pytest.mark.parametrize("stage", [
    pytest.param(stage, marks=[] if stage in ("fetch", "train", "report") else pytest.mark.slow) for stage in RUNS])
def test_what_a_stage_imports_while_it_runs_is_in_its_closure_or_cannot_change_an_output(copied: Path, stage: str):
    call, config = RUNS[stage]
    program = f"import sys\nfrom stages import {stage}\n{stage}.{call}\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
                          capture_output=True, text=True)
    loaded = {name for name in done.stdout.rpartition("loaded:")[2].split()
              if name.partition(".")[0] in ("seglib", "stages")}
    fingerprinter, code = Fingerprinter(), Code.read(Path(config), part="code")
    closure = fingerprinter.modules(code.entries, uses=code.uses, messages=code.messages)
    # Inert modules may bring others, which no other module of the stage imports.
    brought = fingerprinter.modules((INERT | WORDS) & loaded)
    assert f"stages.{stage}" in loaded
    assert loaded - set(closure) <= set(brought)
    assert (INERT | WORDS) & set(closure) <= {*code.entries, *WORDS}
