"""Each stage runs no code of ours that its fingerprint does not hold."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from seglib.pipeline.fingerprint import INERT, WORDS, Fingerprinter
from tests.conftest import ROOT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """How a stage runs on the small repository, and what it uses there of registries and of configurations."""

    call: str
    entries: tuple[str, ...] = ()
    uses: Mapping[str, Collection[str]]
    messages: bool = False


TASK = {"seglib.tasks:NAMES": ["multilabel"], "seglib.configs": []}
DATASET = TASK | {"seglib.datasets.readers:KINDS": ["shapes"]}
MODEL = TASK | {"seglib.models:KINDS": ["munet"]}
BASELINES = TASK | {"seglib.prediction:KINDS": ["background", "foreground", "frequency"]}
RUNS = {
    "fetch": Run(call="main('shapes')", uses=DATASET, messages=True),
    "prepare": Run(call="main('shapes')", uses=DATASET, messages=True),
    "train": Run(call="main('shapes', 'munet-mse_dice-1')", uses=MODEL | {"seglib.losses:TERMS": ["mse", "dice"]}),
    "evaluate": Run(call="main('shapes', 'munet-mse_dice-1')", uses=MODEL | {"seglib.prediction:KINDS": []}),
    "predict": Run(call="main('shapes')", uses=BASELINES),
    "compare": Run(call="main('shapes')", uses=TASK, entries=("seglib.pipeline.workspace",)),
    "report": Run(call="main()", uses={}, entries=("seglib.pipeline.workspace",)),
}


@pytest.mark.parametrize("stage", RUNS)
def test_what_a_stage_imports_while_it_runs_is_in_its_closure_or_cannot_change_an_output(copied: Path, stage: str):
    run, fingerprinter = RUNS[stage], Fingerprinter()
    code = f"import sys\nfrom stages import {stage}\n{stage}.{run.call}\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
                          capture_output=True, text=True)
    loaded = {name for name in done.stdout.rpartition("loaded:")[2].split()
              if name.partition(".")[0] in ("seglib", "stages")}
    closure = fingerprinter.modules([f"stages.{stage}", *run.entries], uses=run.uses, messages=run.messages)
    # Inert modules may bring others, which no other module of the stage imports.
    brought = fingerprinter.modules((INERT | WORDS) & loaded)
    assert f"stages.{stage}" in loaded
    assert loaded - set(closure) <= set(brought)
    assert (INERT | WORDS) & set(closure) <= {*run.entries, *WORDS}
