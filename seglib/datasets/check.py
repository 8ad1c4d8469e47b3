"""Say what is wrong with a dataset before an hour is spent on it: every picture is read as `prepare` will read it."""

import dataclasses
import filecmp
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from seglib.configs import PrepareConfig
from seglib.datasets import folder
from seglib.datasets.folder.ids import class_ids
from seglib.datasets.readers import SELECTION, reader_of
from seglib.datasets.samples import done
from seglib.datasets.survey import EXAMPLES, LEVELS, Finding, Survey, counted
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


def run(dataset: str, config: PrepareConfig) -> Report:
    """Look for what is wrong with a dataset; `config` is the one that `prepare` would be given.

    A user's folder is read in its place, any other dataset where `fetch` puts it. A mistake that would stop a stage is
    a finding, not an exception.
    """
    reader = reader_of(config.kind)
    raw = repository_root() / raw_folder(dataset)
    place = folder.source_folder(config.options) if reader is folder else raw
    survey = Survey(reader.describe(config), config)
    findings = []
    if not place.is_dir():
        text = (f"{place} is not there: give its path as datasets.{dataset}.path" if reader is folder else
                f"not fetched yet: name {dataset} in run.datasets and run `dvc repro fetch@{dataset}`")
        findings.append(Finding(level="error", text=text))
    else:
        try:
            if reader is folder:
                findings += _of_folder(place, raw, dataset, config)
            for split in survey.description.splits:
                for entry in tqdm(done(reader.read(place, config, split)), desc=f"checking {split}", unit="picture",
                                  disable=None):
                    survey.add(split, entry)
            findings += survey.findings()
        except (ValueError, OSError) as error:
            findings.append(Finding(level="error", text=str(error)))
    return Report(dataset=dataset, place=place, classes=survey.description.classes, pictures=survey.pictures,
                  class_pixels={split: pixels.tolist() for split, pixels in survey.class_pixels.items()},
                  valid_pixels=survey.valid_pixels, ignored_pixels=survey.ignored_pixels, findings=findings)


def _of_folder(place: Path, raw: Path, dataset: str, config: PrepareConfig) -> Iterator[Finding]:
    """Findings that only a user's own folder can have."""
    options = config.options
    for noun, text, names in folder.remarks(place, config):
        if names:
            yield Finding(level="note", text=f"{counted(len(names), noun)} {text}", names=tuple(names[:EXAMPLES]))
    if options["masks"] == "ids":
        ids = class_ids(len(options["classes"]), options["ignore"])
        meaning = ", ".join(f"{i} {name}" for i, name in zip(ids, options["classes"], strict=True))
        ignored = ", ".join(map(str, options["ignore"])) or "none"
        yield Finding(level="note", text=f"ids in masks stand for: {meaning}; ignored: {ignored}")
    if raw.is_dir():
        here = {path.relative_to(place): path for path in folder.files_to_fetch(place, options)}
        there = {path.relative_to(raw): path for path in raw.rglob("*") if path.is_file() and path.name != SELECTION}
        changed = [path for path in here.keys() | there.keys() if path not in here or path not in there
                   or not filecmp.cmp(here[path], there[path], shallow=False)]
        if changed:
            yield Finding(level="warning", names=tuple(sorted(map(str, changed))[:EXAMPLES]),
                          text=f"{counted(len(changed), 'file')} changed since the fetch: run `dvc repro -f "
                               f"fetch@{dataset}`")
