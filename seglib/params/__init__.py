"""params.yaml, typed and validated: which keys it may hold, and which values they may have.

A wrong key, type, range or name is a `ParamsError`: one line per problem, with the key's path and what is allowed.
"""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML, YAMLError

from seglib.names import brief, nearest
from seglib.params.datasets import AnyDataset
from seglib.params.losses import Loss, LossConstants
from seglib.params.models import Model
from seglib.params.predictors import AnyPredictor
from seglib.params.train import TrainOverride, TrainSection
from seglib.prediction import KINDS
from seglib.strict import LONGEST_NAME, Once, ParamsError, Strict, Text, as_yaml, expected, explain

EVERYTHING = "everything"  # the folder of the page of all studies: no study may have this name
NAME_PATTERN = r"[A-Za-z0-9_]+"  # names join with "-" into stage names, and `-S` cannot address a "+"
MOST_MERGED = 100_000  # entries that merging may make of a file
Selected = Annotated[list[str], Field(min_length=1), Once]
Value = bool | int | float | str | None
SetTo = Annotated[Value | list[Value], expected("a value, or a list of values")]


def plain_names(entries: dict[str, Any]) -> dict[str, Any]:
    """Entries whose names can be parts of stage names, of `-S` and of file names."""
    for name in entries:
        if not re.fullmatch(NAME_PATTERN, name):
            raise PydanticCustomError("name", "the name {name} may hold letters, digits and underscores only",
                                      {"name": brief(name)})
        if len(name) > LONGEST_NAME:
            raise PydanticCustomError("name", "the name {name} exceeds {most} characters (the name becomes a file "
                                      "name)", {"name": brief(name), "most": LONGEST_NAME})
    return entries


class Run(Strict):
    datasets: Selected
    models: Selected
    losses: Selected
    predictors: Annotated[list[str], Once]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), Once]


class Fetch(Strict):
    mirror: Text | None
    workers: int = Field(ge=1, le=128)
    retries: int = Field(ge=1, le=100)
    timeout: float = Field(gt=0, le=86_400)


class Prepare(Strict):
    max_rejected: float = Field(ge=0, le=1)


class Evaluate(Strict):
    tolerance: int = Field(ge=1, le=10_000)
    boundary_band: Annotated[int, Field(ge=1, le=10_000)] | None


class Compare(Strict):
    pictures: int = Field(ge=3, le=10_000)
    gallery: int = Field(ge=3, le=10_000)
    margin: float = Field(gt=0, lt=1)
    failed_below: float | None = Field(ge=0, le=1)


class Study(Run):
    """A named selection, for `seglib study NAME`: the keys of `run`, changes to `train`, and other keys to `set`.

    `set` and `sample` name keys by their path, as `-S` does (datasets.shapes.train_images). `--sample` adds `sample`:
    a size at which the study takes minutes. It shows that the study runs, and nothing else.
    """

    predictors: Annotated[list[str], Once] = []
    train: TrainOverride = TrainOverride()
    set: dict[str, SetTo] = {}
    sample: dict[str, SetTo] = {}


class Params(Strict):
    """The whole of params.yaml."""

    run: Run
    studies: dict[str, Study]
    fetch: Fetch
    prepare: Prepare
    evaluate: Evaluate
    compare: Compare
    loss: LossConstants
    losses: dict[str, Loss]
    models: dict[str, Model]
    predictors: dict[str, AnyPredictor] = {}
    datasets: dict[str, AnyDataset]
    train: TrainSection

    @field_validator("losses", "models", "predictors", "datasets", "studies")
    @classmethod
    def _plain_names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        return plain_names(entries)

    @field_validator("studies")
    @classmethod
    def _name_is_free(cls, studies: dict[str, Study]) -> dict[str, Study]:
        if EVERYTHING in studies:
            raise PydanticCustomError("name", "the name {name} is taken by the page of all studies; choose another",
                                      {"name": EVERYTHING})
        return studies

    @field_validator("predictors")
    @classmethod
    def _no_baseline_has_the_name(cls, predictors: dict[str, AnyPredictor]) -> dict[str, AnyPredictor]:
        for name in predictors:
            if name in KINDS and KINDS[name].baseline is not None:
                raise PydanticCustomError("name", "the name {name} is taken by a baseline; choose another",
                                          {"name": name})
        return predictors

    @model_validator(mode="after")
    def _run_picks_what_is_defined(self) -> "Params":
        selections = {"run": self.run} | {f"studies.{name}": study for name, study in self.studies.items()}
        for where, picked in selections.items():
            for section in ("datasets", "models", "losses", "predictors"):
                known = list(getattr(self, section))
                for name in getattr(picked, section):
                    if name not in known:
                        raise PydanticCustomError("undefined", "{where}.{section}: {name} is not defined, {hint}",
                                                  {"where": where, "section": section, "name": brief(name),
                                                   "hint": nearest(name, known)})
        return self


def load(path: Path) -> Params:
    """Read and validate a params.yaml. It is YAML 1.2, as DVC reads it, so `1e-06` is a number in both.

    Raises ParamsError with one line per problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if "<<" in text and (size := _merged_size(YAML(typ="safe", pure=True).compose(text), {})) > MOST_MERGED:
            raise ParamsError(f"{path.name} merges (<<) {size:.0e} entries, more than {MOST_MERGED}: write them out")
        raw = YAML(typ="safe", pure=True).load(text)
    except ParamsError:
        raise
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path.name} is not text in UTF-8: {error}") from None
    except (YAMLError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError,
            RecursionError) as error:  # ruamel's constructors pass on what Python says of a date or a number
        raise ParamsError(f"{path.name} is not YAML: {' '.join(str(error).split()):.500}") from None
    if not isinstance(raw, dict):
        sections = ", ".join(Params.model_fields)
        raise ParamsError(f"{path.name} must hold the sections {sections}; found {type(raw).__name__}")
    return parse(raw)


def _merged_size(node: Any, known: dict[int, int]) -> int:
    """The number of nodes with every alias written out: a few short lines can make very many by merging."""
    if id(node) not in known:
        known[id(node)] = 1  # in case it holds itself
        inner = node.value if isinstance(getattr(node, "value", None), list) else ()
        parts = (part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,)))
        known[id(node)] = 1 + sum(_merged_size(part, known) for part in parts)
    return known[id(node)]


def parse(raw: dict[str, Any]) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(explain(error, tags=KINDS)) from None


def as_overrides(study: Study, *, sample: bool = False) -> list[str]:
    """The values that a study gives to `dvc exp run -S`: one KEY=VALUE per key. sample: at sample size."""
    picked = {f"run.{key}": getattr(study, key) for key in Run.model_fields}
    changed = {f"train.{key}": value for key, value in study.train.model_dump(exclude_unset=True).items()}
    values = picked | changed | study.set | (study.sample if sample else {})
    return [f"{key}={as_yaml(value)}" for key, value in values.items()]
