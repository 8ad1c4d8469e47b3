"""From one study's recipe to another's, one factor at a time: `seglib bridge shapes-2024 default`.

A configuration is flat here: {"model.depth": 16, "loss.dice": 20.0, "train.lr": 0.0001, ...}. A step takes the keys
that its factor names from the end, and all others from the step before. Each step is an experiment of DVC's, so what
was trained once is not trained again.
"""

import dataclasses
import datetime
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seglib import resolve
from seglib.files import atomic_file
from seglib.names import nearest
from seglib.params import Params, ParamsError, bridges
from seglib.params.bridges import DEFAULT, Bridge, Size
from seglib.params.losses import resolved_loss
from seglib.strict import as_yaml
from seglib.tools import bridge_results, studies

BRIDGES = Path("bridges.yaml")
MODEL = "bridge"  # the name of the one model of each step
TABLE, FIGURE = "bridge.csv", "bridge.png"
ABSENT = "nothing"
Flat = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One experiment of a bridge."""

    factor: str
    """The factor that moved last; at the start, the name of the first study."""
    changed: str
    """The keys that moved with it, with their values before and after."""
    configs: dict[str, Flat]
    """The configuration of each loss."""


def find(start: str, end: str) -> Bridge:
    """The bridge of bridges.yaml between two studies. A name may have "-" for "_". Raises ValueError if there is none.
    """
    known = {f"{bridge.start} {bridge.end}": bridge for bridge in bridges.load(BRIDGES)}
    name = f"{start} {end}".replace("-", "_")
    if name not in known:
        raise ValueError(f"{BRIDGES} has no bridge '{name}': {nearest(name, list(known))}")
    return known[name]


def steps_of(bridge: Bridge, *, full: bool = False, changes: Sequence[str] = ()) -> list[Step]:
    """The steps of a bridge, the start among them.

    changes: values for params.yaml, as for a study. Raises ParamsError if the factors do not lead from start to end, or
    a name is taken.
    """
    size = bridge.full if full else bridge.small
    now, end = (_end(bridge, place, own, changes) for place, own in enumerate((size.start, size.end)))
    _check_keys(bridge, now, end)
    steps = [Step(factor=bridge.start, changed="", configs=now)]
    for factor in bridge.factors:
        after = {loss: _moved(now[loss], end[loss], factor.keys) for loss in now}
        steps.append(Step(factor=factor.name, changed=_difference(now, after), configs=after))
        now = after
    return steps


def _end(bridge: Bridge, place: int, size: Flat, changes: Sequence[str]) -> dict[str, Flat]:
    """The configuration of each loss at the start (place 0) or the end (1) of a bridge, at some size."""
    study = (bridge.start, bridge.end)[place]

    def settings_with(changes: Sequence[str]) -> Params:
        return studies.settings(list(changes) if study == DEFAULT else studies.changes_of(study, changes=changes))

    settings, unchanged = settings_with(changes), settings_with([])
    for name, section in ((MODEL, settings.models), *((loss, settings.losses) for loss in bridge.losses)):
        if name in section:
            raise ParamsError(f"the bridge {bridge.start} {bridge.end} needs the name {name}, which params.yaml has "
                              "already; choose another")
    found = {}
    for name, losses in bridge.losses.items():
        flat = flat_config(settings, bridge.dataset, bridge.models[place], losses[place])
        if unknown := [key for key in size if key not in flat]:
            raise ParamsError(f"{BRIDGES}: unknown key {unknown[0]}: {nearest(unknown[0], list(flat))}")
        before = flat_config(unchanged, bridge.dataset, bridge.models[place], losses[place])
        if fixed := [key for key in size if flat[key] != before[key]]:
            raise ParamsError(f"-S changes {fixed[0]} of {study}, but the size in {BRIDGES} sets it: change it there")
        found[name] = flat | size
    return found


def flat_config(settings: Params, dataset: str, model: str, loss: str) -> Flat:
    """What decides a training besides data and seed, by the path of each key. Raises ParamsError for an unknown name.
    """
    for name, section in ((dataset, settings.datasets), (model, settings.models), (loss, settings.losses)):
        if name not in section:
            raise ParamsError(f"{BRIDGES}: {name} is not defined in params.yaml, {nearest(name, list(section))}")
    terms = resolved_loss(settings.losses[loss], settings.loss)
    parts = {"model": settings.models[model].resolved().content(), "loss": terms.terms | terms.options,
             "train": resolve.merged_train(settings, dataset, model, loss).model_dump()}
    return {f"{part}.{key}": value for part, content in parts.items() for key, value in content.items()}


def _check_keys(bridge: Bridge, start: dict[str, Flat], end: dict[str, Flat]) -> None:
    """Raise ParamsError if a key that differs is in no factor, or a factor names a key that neither end has."""
    moved = {key for factor in bridge.factors for key in factor.keys}
    known = {key for ends in (start, end) for flat in ends.values() for key in flat}
    if unknown := sorted(moved - known):
        raise ParamsError(f"{BRIDGES}: unknown key {unknown[0]}: {nearest(unknown[0], sorted(known))}")
    for loss in start:
        if left := [key for key in _differing(start[loss], end[loss]) if key not in moved]:
            raise ParamsError(f"{BRIDGES}: no factor moves what {bridge.start} and {bridge.end} do not share: "
                              f"{', '.join(left)} (loss {loss})")


def _differing(one: Flat, other: Flat) -> list[str]:
    return [key for key in one | other if one.get(key, ABSENT) != other.get(key, ABSENT)]


def _moved(now: Flat, end: Flat, keys: Sequence[str]) -> Flat:
    """A configuration with these keys as they are at the end; a key that the end does not have is left out."""
    kept = {key: value for key, value in now.items() if key not in keys}
    return kept | {key: end[key] for key in keys if key in end}


def _difference(before: dict[str, Flat], after: dict[str, Flat]) -> str:
    """The keys that differ, as text. If only some losses change a key, their names follow it."""
    losses_of: dict[str, list[str]] = {}
    for loss in before:
        for key in _differing(before[loss], after[loss]):
            values = [as_yaml(flat[loss].get(key, ABSENT)) for flat in (before, after)]
            losses_of.setdefault(f"{key} {values[0]} → {values[1]}", []).append(loss)
    return ", ".join(text if len(losses) == len(before) else f"{text} ({', '.join(losses)})"
                     for text, losses in losses_of.items())


def changes_of(bridge: Bridge, step: Step, *, full: bool = False, changes: Sequence[str] = ()) -> list[str]:
    """What a step changes in params.yaml: values for `dvc exp run -S`."""
    size = bridge.full if full else bridge.small
    flats = list(step.configs.values())
    entries = {f"+models.{MODEL}": _part(flats[0], "model"), "run.datasets": [bridge.dataset], "run.models": [MODEL],
               "run.losses": list(step.configs), "run.predictors": []}
    for loss, flat in step.configs.items():
        entries[f"+losses.{loss}"] = _part(flat, "loss") | {"train": _part(flat, "train")}
    return [*_texts(size.set), *changes, *_texts(entries)]


def _part(flat: Flat, name: str) -> Flat:
    return {key.removeprefix(f"{name}."): value for key, value in flat.items() if key.startswith(f"{name}.")}


def _texts(values: Flat) -> list[str]:
    return [f"{key}={as_yaml(value)}" for key, value in values.items()]


def size_text(size: Size) -> str:
    """The size in words: what was set in all steps and at the two ends."""
    parts = (("all steps", size.set), ("start", size.start), ("end", size.end))
    return "; ".join(f"{', '.join(_texts(values)).replace('=', ' ')} ({where})" for where, values in parts if values)


def plan(bridge: Bridge, *, full: bool = False, changes: Sequence[str] = ()) -> str:
    """What a bridge will run: its steps, its size and the number of trainings, as text."""
    steps = steps_of(bridge, full=full, changes=changes)
    seeds = studies.settings(changes_of(bridge, steps[0], full=full, changes=changes)).run.seeds
    lines = [f"step {number}: {step.factor}{': ' * bool(step.changed)}{step.changed}"
             for number, step in enumerate(steps)]
    count = len(steps) * len(bridge.losses) * len(seeds)
    return "\n".join([*lines, f"size: {size_text(bridge.full if full else bridge.small)}",
                      f"trainings: {count} at most ({len(steps)} steps, {len(bridge.losses)} losses, {len(seeds)} "
                      "seeds); equal ones run once"])


def run(bridge: Bridge, *, full: bool = False, changes: Sequence[str] = (), command: Sequence[str]) -> Path:
    """Run every step as an experiment and leave a table and a figure. Returns their folder; `N/` in it is step N.

    A step that was run before is taken from DVC's cache. Raises ValueError if a step fails.
    """
    name = f"bridge-{bridge.start}-{bridge.end}{'-full' * full}"
    steps = steps_of(bridge, full=full, changes=changes)
    tables = []
    for number, step in enumerate(steps):
        print(f"\nstep {number} of {len(steps) - 1}: {step.factor}", flush=True)
        folder = studies.run(f"{name}/{number}", changes_of(bridge, step, full=full, changes=changes), command=command)
        if folder is None:
            raise ValueError(f"step {number} ({step.factor}) failed (see above). Finished trainings are kept: the same "
                             f"command runs only what is missing: {shlex.join(command)}")
        tables.append(folder / "comparisons" / bridge.dataset / "tables")
    return write(bridge, steps, tables, studies.STUDIES / name, size=size_text(bridge.full if full else bridge.small))


def write(bridge: Bridge, steps: Sequence[Step], tables: Sequence[Path], folder: Path, *, size: str) -> Path:
    """Gather the tables of all steps in bridge.csv, draw bridge.png, and print what they show. Returns the folder."""
    found = bridge_results.gather([(step.factor, step.changed) for step in steps], tables, model=MODEL,
                                  losses=list(bridge.losses), scores=bridge.scores)
    text = found.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    _put_aside(folder, text)
    with atomic_file(folder / TABLE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    bridge_results.draw(found, folder / FIGURE, title=f"From {bridge.start} to {bridge.end}, one factor at a time",
                        size=size)
    print(f"\n{bridge_results.render(found)}\n\nSize: {size}")
    return folder


def _put_aside(folder: Path, text: str) -> None:
    """Rename the table and the figure of an earlier run by their date, unless the table has this text."""
    table = folder / TABLE
    if not table.exists() or table.read_text(encoding="utf-8") == text:
        return
    date = datetime.datetime.fromtimestamp(table.stat().st_mtime)
    for path in (table, folder / FIGURE):
        if path.exists():
            path.rename(path.with_name(f"{path.stem}-{date:%Y%m%d-%H%M%S}{path.suffix}"))
