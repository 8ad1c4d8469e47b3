"""Say what is wrong with a dataset before an hour is spent on it: every picture is read as `prepare` will read it."""

import dataclasses
import filecmp
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from seglib.configs import PrepareConfig
from seglib.cores import physical_cores
from seglib.datasets import folder, measure
from seglib.datasets.folder.values import class_ids
from seglib.datasets.measure import Measurer
from seglib.datasets.readers import SELECTION, reader_of
from seglib.datasets.samples import Entry
from seglib.datasets.survey import EXAMPLES, LEVELS, Finding, Survey, counted
from seglib.datasets.workers import Workers
from seglib.files import repository_root
from seglib.pipeline.workspace import raw_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The result of `run`. Pixels are counted at the pictures' own sizes; an ignored pixel counts for no class."""

    dataset: str
    place: Path  # the folder that was read
    classes: list[str]
    pictures: dict[str, int]  # usable pictures of each split
    class_pixels: dict[str, list[int]]  # of each split and class
    valid_pixels: dict[str, int]  # of each split: those that are not ignored
    ignored_pixels: dict[str, int]
    findings: list[Finding]

    @property
    def failed(self) -> bool:
        return any(finding.level == "error" for finding in self.findings)

    def render(self) -> str:
        """The report as plain text, the worst first."""
        lines = [f"{self.dataset}: {self.place}"]
        if any(self.pictures.values()):
            lines += ["", *self._table()]
        for level in LEVELS:
            for finding in self.findings:
                if finding.level == level:
                    lines += ["", f"{level}: {finding.text}"]
                    lines += ["    such as " + ", ".join(finding.names)] if finding.names else []
        counts = Counter(finding.level for finding in self.findings)
        lines += ["", ", ".join(counted(counts[level], level) for level in LEVELS)]
        return "\n".join(lines)

    def _table(self) -> Iterator[str]:
        width = max(map(len, [*self.classes, "pictures"]))
        yield " ".join([" " * width, *(f"{split:>9}" for split in self.pictures)])
        yield " ".join([f"{'pictures':<{width}}", *(f"{count:>9,}" for count in self.pictures.values())])
        for k, name in enumerate(self.classes):
            yield self._row(name, width, {split: pixels[k] for split, pixels in self.class_pixels.items()},
                            self.valid_pixels)
        yield self._row("ignored", width, self.ignored_pixels,
                        {split: self.valid_pixels[split] + self.ignored_pixels[split] for split in self.pictures})

    @staticmethod
    def _row(name: str, width: int, parts: dict[str, int], wholes: dict[str, int]) -> str:
        shares = (parts[split] / wholes[split] if wholes[split] else 0.0 for split in parts)
        return " ".join([f"{name:<{width}}", *(f"{share:>9.2%}" for share in shares)])


def run(dataset: str, config: PrepareConfig, *, place: Path | None = None, processes: int | None = None) -> Report:
    """Look for what is wrong with a dataset; `config` is the one that `prepare` would be given.

    place: the folder to read, if it is not the one that `config` names or that `fetch` fills.

    processes: how many decode pictures; None: one per core, if that many are worth their start.

    A user's folder is read in its place, any other dataset where `fetch` puts it. A mistake that would stop a stage is
    a finding, not an exception.
    """
    reader = reader_of(config.kind)
    raw = repository_root() / raw_folder(dataset)
    fetched = place is None
    if place is None:
        place = folder.source_folder(config.options) if reader is folder else raw
    description = reader.describe(config)
    survey, measurer = Survey(description, config), Measurer(size=description.image_size, mode=config.resize)
    findings = []
    if not place.is_dir():
        text = (f"{place} is not there: give its path as datasets.{dataset}.path" if reader is folder else
                f"not fetched yet: name {dataset} in run.datasets and run `dvc repro fetch@{dataset}`")
        findings.append(Finding(level="error", text=text))
    else:
        try:
            if reader is folder:
                findings += _of_folder(place, raw if fetched else None, dataset, config)
            with Workers(processes or physical_cores(), [measure.__name__, reader.__name__]) as workers:
                for split in description.splits:
                    given = workers.map(measurer.measure, reader.read(place, config, split),
                                        lambda one: isinstance(one, Entry))
                    for entry in tqdm(itertools.chain.from_iterable(given), desc=f"checking {split}", unit="picture",
                                      disable=None):
                        survey.add(split, entry)
            findings += survey.findings()
            if any(finding.level == "error" for finding in findings) and hasattr(reader, "advice"):
                advice = reader.advice(place, config)
                findings += [Finding(level="note", text=advice)] if advice else []
        except (ValueError, OSError) as error:
            findings.append(Finding(level="error", text=str(error)))
    truth = survey.truth
    return Report(dataset=dataset, place=place, classes=description.classes, pictures=truth.pictures,
                  class_pixels={split: pixels.tolist() for split, pixels in truth.class_pixels.items()},
                  valid_pixels=truth.valid_pixels, ignored_pixels=truth.ignored_pixels, findings=findings)


def _of_folder(place: Path, raw: Path | None, dataset: str, config: PrepareConfig) -> Iterator[Finding]:
    """Findings that only a user's own folder can have."""
    options = config.options
    for noun, text, names in folder.remarks(place, config):
        if names:
            yield Finding(level="note", text=f"{counted(len(names), noun)} {text}", names=tuple(names[:EXAMPLES]))
    if options["masks"] == "ids" and not options["values"] and not options["colors"]:
        ids = class_ids(len(options["classes"]), options["ignore"])
        meaning = ", ".join(f"{i} {name}" for i, name in zip(ids, options["classes"], strict=True))
        ignored = ", ".join(map(str, options["ignore"])) or "none"
        yield Finding(level="note", text=f"ids in masks stand for: {meaning}; ignored: {ignored}")
    if raw is not None and raw.is_dir():
        here = {path.relative_to(place): path for path in folder.files_to_fetch(place, options)}
        there = {path.relative_to(raw): path for path in raw.rglob("*") if path.is_file() and path.name != SELECTION}
        changed = [path for path in here.keys() | there.keys() if path not in here or path not in there
                   or not filecmp.cmp(here[path], there[path], shallow=False)]
        if changed:
            yield Finding(level="warning", names=tuple(sorted(map(str, changed))[:EXAMPLES]),
                          text=f"{counted(len(changed), 'file')} changed since the fetch: run `dvc repro -f "
                               f"fetch@{dataset}`")
