"""Findings about a dataset, collected while its pictures pass by.

Only the id, the split and hashes of the pixels of each picture are kept.
"""

import dataclasses
import re
from collections.abc import Iterator

import numpy as np

from seglib.configs import PrepareConfig
from seglib.datasets.duplicates import NearDuplicates
from seglib.datasets.images import STORED, Reading
from seglib.datasets.measure import Measured
from seglib.datasets.pixels import PixelSurvey
from seglib.datasets.samples import TALLIES, Description, Rejection
from seglib.datasets.truth import TruthSurvey

LEVELS = ("error", "warning", "note")
EXAMPLES = 3  # names that a finding gives
FEW = 10  # a split with fewer pictures decides nothing
MOSTLY_IGNORED = 0.9  # of a picture's pixels
RARE = 0.001  # of train's pixels that count
DISTORTED = 1.25  # how much wider or higher a stretched picture becomes
LOST = 0.25  # of a cropped picture, or of a padded frame
ENLARGED = 2.0  # times, in height or in width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was noticed, and the first few names it is about.

    level: "error" if it stops `prepare` or makes scores wrong; "warning" if it makes them worse or less certain; "note"
    if it is only good to know.
    """

    level: str
    text: str
    names: tuple[str, ...] = ()


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


class _Names:
    """How many pictures something is true of, and the first few."""

    def __init__(self) -> None:
        self.count, self.first = 0, []

    def add(self, name: str, count: int = 1) -> None:
        self.count += count
        if len(self.first) < EXAMPLES:
            self.first.append(name)

    def finding(self, level: str, noun: str, text: str) -> list[Finding]:
        """One finding, "N nouns `text`", if there is anything to say."""
        return [Finding(level=level, text=f"{counted(self.count, noun)} {text}", names=tuple(self.first))
                ] if self.count else []


class Survey:
    """Takes what `measure` gives, and then gives findings."""

    def __init__(self, description: Description, config: PrepareConfig):
        self.truth = TruthSurvey(description.task, description.classes, description.splits)
        self._pixels = PixelSurvey(STORED if description.reading is None else Reading.of(description.reading))
        self._description, self._config = description, config
        self._left_out: dict[tuple[str, str], tuple[list[str], _Names]] = {}  # what and gist: up to two reasons, names
        self._split_of: dict[str, str] = {}  # by id
        self._seen: dict[bytes, tuple[str, str]] = {}  # split and id, by the hash of the pixels
        self._alike, self._same = NearDuplicates(), set()  # ids of pictures that are the same, pixel for pixel
        self._shared_ids, self._leaked, self._repeated = _Names(), _Names(), _Names()
        self._mostly_ignored, self._nothing, self._lost = _Names(), _Names(), _Names()
        self._misfits, self._enlarged, self._worst = _Names(), _Names(), 0.0

    def add(self, split: str, entry: Measured | Rejection) -> None:
        if isinstance(entry, Rejection):
            self.truth.add_tally(entry.tally, entry.source)
            reasons, names = self._left_out.setdefault((entry.what, _gist(entry)), ([], _Names()))
            names.add(entry.source, sum(entry.tally.values()) if entry.what == "annotation" and entry.tally else 1)
            if len(reasons) < 2 and entry.reason not in reasons:
                reasons.append(entry.reason)
            return
        self.truth.add(split, entry.id, entry.class_pixels, entry.valid_pixels, entry.ignored_pixels, entry.palette,
                       entry.unit)
        self.truth.add_tally(entry.tally)
        if entry.facts is not None:
            self._pixels.add(entry.id, entry.facts, entry.own_size)
        if self._split_of.setdefault(entry.id, split) != split:
            self._shared_ids.add(entry.id)
        if entry.valid_pixels < (1 - MOSTLY_IGNORED) * (entry.valid_pixels + entry.ignored_pixels):
            self._mostly_ignored.add(entry.id)
        elif not any(entry.class_pixels):
            self._nothing.add(entry.id)
        self._add_fit(entry)
        self._alike.add(split, entry.id, entry.looks)
        other_split, other = self._seen.setdefault(entry.digest, (split, entry.id))
        if other_split != split:
            self._leaked.add(f"{entry.id} ({split}) = {other} ({other_split})")
            self._same.add(frozenset((entry.id, other)))
        elif other != entry.id:
            self._repeated.add(f"{entry.id} = {other}")

    def _add_fit(self, entry: Measured) -> None:
        if entry.enlarged > ENLARGED:
            self._enlarged.add(entry.id)
        self._worst = max(self._worst, entry.misfit)
        if entry.misfit > {"stretch": DISTORTED, "crop": LOST, "pad": LOST}[self._config.resize]:
            self._misfits.add(entry.id)
        if entry.lost:
            self._lost.add(entry.id)

    def findings(self) -> list[Finding]:
        return [*self._about_rejections(), *self._about_annotations(), *self._about_splits(), *self._about_classes(),
                *self._about_pixels(), *self._about_sizes()]

    def _about_rejections(self) -> Iterator[Finding]:
        left_out = sum(names.count for (what, _), (_, names) in self._left_out.items() if what == "picture")
        total = left_out + sum(self.truth.pictures.values())
        if left_out > (limit := self._config.max_rejected) * total:
            yield Finding(level="error", text=f"{left_out:,} of {total:,} pictures cannot be used, more than "
                                              f"prepare.max_rejected ({limit:g}) allows")
        for (what, _), ((reason, *others), names) in self._left_out.items():
            yield from names.finding("warning", what, f"left out: {reason}{', and the like' * bool(others)}")

    def _about_annotations(self) -> Iterator[Finding]:
        counts = [f"{self.truth.tally[key]:,} {key}" for key in TALLIES if self.truth.tally[key]]
        if counts:
            total = counted(sum(self.truth.tally.values()), "annotation")
            yield Finding(level="note", text=f"{total}: {', '.join(counts)}")

    def _about_splits(self) -> Iterator[Finding]:
        for split, count in self.truth.pictures.items():
            if not count and any(self.truth.pictures.values()):
                yield Finding(level="error", text=f"the split {split} is empty")
            elif 1 < len(units := self.truth.units[split]) < FEW and split != "train":
                yield Finding(level="warning",
                              text=f"{split} has {len(units)} groups: intervals over so few are too narrow")
            elif 0 < count < FEW and split != "train":
                yield Finding(level="warning",
                              text=f"{split} has {counted(count, 'picture')}: scores on it will say little")
        yield from self._shared_ids.finding("error", "id", "in more than one split")
        yield from self._leaked.finding("error", "picture", "in two splits, pixel for pixel: scores will flatter")
        alike = _Names()
        for one, split, other, other_split in self._alike.pairs():
            if frozenset((one, other)) not in self._same:
                alike.add(f"{one} ({split}) and {other} ({other_split})")
        yield from alike.finding("warning", "pair", "of pictures in two splits that look alike: if they show the same, "
                                                    "keep them together (group, or the lists)")
        yield from self._repeated.finding("warning", "picture", "the same as another of the split, pixel for pixel")

    def _about_classes(self) -> Iterator[Finding]:
        for fault in self.truth.faults():
            allowed = fault.key in self._config.allow
            yield Finding(level="note" if allowed else "error", text=fault.text if allowed else fault.refusal)
        rare_K = self.truth.class_pixels["train"] / max(self.truth.valid_pixels["train"], 1)
        for k in np.flatnonzero((rare_K > 0) & (rare_K < RARE)):
            yield Finding(level="warning", text=f"the class {self._description.classes[k]} has {rare_K[k]:.3%} of "
                                                "train's pixels: weigh classes (ce), or take a loss of overlap (dice)")
        yield from self._mostly_ignored.finding("warning", "picture",
                                                f"with more than {MOSTLY_IGNORED:.0%} of the pixels ignored")
        yield from self._nothing.finding("note", "picture", "without any of the classes")

    def _about_pixels(self) -> Iterator[Finding]:
        for level, text, names in self._pixels.faults():
            allowed = level == "error" and "pixels" in self._config.allow
            yield Finding(level="note" if allowed else level, text=text, names=names)

    def _about_sizes(self) -> Iterator[Finding]:
        size = "×".join(map(str, reversed(self._description.image_size)))
        mode = self._config.resize
        level, misfit = {
            "stretch": ("warning", f"distorted by more than {DISTORTED:g} (at most {self._worst:.2f})"),
            "crop": ("warning", f"cut by more than {LOST:.0%} of the area (at most {self._worst:.0%})"),
            "pad": ("note", f"with more than {LOST:.0%} of the frame empty (at most {self._worst:.0%})")}[mode]
        yield from self._misfits.finding(level, "picture", f"{misfit} at {size} with resize: {mode}")
        yield from self._enlarged.finding("note", "picture", f"enlarged more than {ENLARGED:g} times to {size}")
        yield from self._lost.finding("warning", "picture",
                                      f"with a class lost altogether at {size}, too small or cut away")


def _gist(rejection: Rejection) -> str:
    """A reason without its numbers and its file's name, so that all reasons of one kind are counted together."""
    without_name = re.sub(rf"(?<!\w){re.escape(rejection.id)}\.\w+", "NAME", rejection.reason)
    return re.sub(r"#(, #)+", "#", re.sub(r"\d+(\.\d+)?", "#", without_name))
