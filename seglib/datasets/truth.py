"""Find masks that are useless for training or scoring. `prepare` stops at them unless the dataset's `allow` names them.

Shapes: K classes.
"""

import collections
import dataclasses
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from seglib.tasks.task import Task

DEGENERATE = {
    "absent_class": "a class never occurs in train, so no network can learn it",
    "unscored_class": "a class never occurs in val or test, so a mean there is over fewer classes",
    "empty_masks": "no picture of a split holds any class",
    "ignored_masks": "all pixels of a split are ignored",
    "single_class": "there is one class that excludes all others, so it always wins",
    "dangling": "most annotations point to pictures or categories that are not there",
    "undrawable": "most annotations cannot be drawn, so the pixels of their boxes count nowhere",
    "only_crowds": "all annotations mark crowds, whose pixels count nowhere",
    "palettes": "masks have different palettes, so one number may stand for several classes",
    "one_group": "test has one group, so its intervals say nothing about other groups",
    "pixels": "pixels are not what they seem: their range, pages, a fourth band, an orientation",
}
EXAMPLES = 3  # names that a fault gives


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """A problem of the truth. `text` describes it and names the key that fixes it."""

    key: str  # of DEGENERATE
    text: str

    @property
    def refusal(self) -> str:
        """The text, followed by the key that allows it."""
        return f"{self.text}. To go on all the same, set datasets.*.allow: [{self.key}]"


class TruthSurvey:
    """Counts pixels, annotations and palettes picture by picture, and then lists the faults of the truth."""

    def __init__(self, task: Task, classes: list[str], splits: Collection[str]):
        self._task, self._classes = task, classes
        self.pictures = dict.fromkeys(splits, 0)
        self.class_pixels = {split: np.zeros(len(classes), np.int64) for split in splits}
        self.valid_pixels, self.ignored_pixels = dict.fromkeys(splits, 0), dict.fromkeys(splits, 0)
        self.tally: collections.Counter[str] = collections.Counter()  # of annotations, see samples.TALLIES
        self.examples: dict[str, list[str]] = collections.defaultdict(list)  # of annotations in a tally
        self._colors: dict[int, tuple[str, str]] = {}  # of a palette's number: the colour, and a picture that has it
        self._palettes: list[str] = []
        self.units: dict[str, set[str]] = {split: set() for split in splits}  # groups

    def add(self, split: str, name: str, class_pixels: list[int], valid_pixels: int, ignored_pixels: int,
            palette: Mapping[int, str], unit: str | None = None) -> None:
        """Add a picture. palette: the colour of each number in its mask, if that has one. unit: its group, if any."""
        if unit is not None:
            self.units[split].add(unit)
        self.pictures[split] += 1
        self.class_pixels[split] += class_pixels
        self.valid_pixels[split] += valid_pixels
        self.ignored_pixels[split] += ignored_pixels
        for number, color in palette.items():
            there, other = self._colors.setdefault(number, (color, name))
            if there != color and len(self._palettes) < EXAMPLES:
                self._palettes.append(f"{number} is {there} in the mask of {other}, {color} in that of {name}")

    def add_tally(self, tally: Mapping[str, int], source: str = "") -> None:
        """Add annotations by tally. source: the name of the annotation, if it is a single one."""
        self.tally.update(tally)
        for key in tally:
            if source and len(self.examples[key]) < EXAMPLES:
                self.examples[key].append(source)

    def faults(self) -> list[Fault]:
        return [Fault(key=key, text=text) for key, text in self._found()]

    def _found(self) -> Iterator[tuple[str, str]]:
        if self._task.exclusive and len(self._classes) == 1:
            yield "single_class", (f"the class {self._classes[0]} is the only one, and excludes all others: it always "
                                   "wins. Name two classes or more, such as classes: [background, "
                                   f"{self._classes[0]}], and ignore no value that is one of them")
        yield from self._about_annotations()
        for split in (split for split, count in self.pictures.items() if count):
            if not self.valid_pixels[split]:
                yield "ignored_masks", (f"all pixels of {split} are ignored. Take values that stand for a class out of "
                                        "ignore, or map them by the key values")
            elif not self.class_pixels[split].any():
                yield "empty_masks", (f"no picture of {split} holds any of the classes {', '.join(self._classes)}. "
                                      "Compare classes with the names and numbers in the masks")
            elif absent := [self._classes[k] for k in np.flatnonzero(self.class_pixels[split] == 0)]:
                names = f"the class{'es' * (len(absent) > 1)} {', '.join(absent)} never occur{'s' * (len(absent) == 1)}"
                if split == "train":
                    yield "absent_class", (f"{names} in train: no network can learn it. Take it out of classes, map "
                                           "its value in the masks by the key values, or add pictures that show it")
                else:
                    there = len(self._classes) - len(absent)
                    yield "unscored_class", (f"{names} in {split}: a mean there is over {there} of "
                                             f"{len(self._classes)} classes. Move pictures that show it to {split}, "
                                             "or make the split larger (its list, val_fraction, test_fraction)")
        if len(units := self.units.get("test", set())) == 1:
            yield "one_group", (f"test has one group, {min(units)}: its intervals say nothing about other groups. Add "
                                "groups, or make test larger (test.txt, test_fraction)")
        if self._palettes:
            yield "palettes", (f"masks differ in their palettes: {'; '.join(self._palettes)}. Map colours by the key "
                               "colors")

    def _about_annotations(self) -> Iterator[tuple[str, str]]:
        total = sum(self.tally.values()) - self.tally["other"]
        shown = {key: f" (such as {', '.join(names)})" for key, names in self.examples.items() if names}
        if 2 * self.tally["dangling"] > total:
            yield "dangling", (f"{self.tally['dangling']:,} of {total:,} annotations point to pictures or categories "
                               f"that are not there{shown.get('dangling', '')}. Compare image_id and category_id with "
                               "the ids of images and categories")
        if 2 * self.tally["undrawable"] > total:
            yield "undrawable", (f"{self.tally['undrawable']:,} of {total:,} annotations cannot be drawn"
                                 f"{shown.get('undrawable', '')}, such as boxes without an outline; the pixels of "
                                 "their boxes count nowhere. Export outlines or masks")
        if total and self.tally["crowd"] == total:
            yield "only_crowds", (f"all {total:,} annotations are crowds (iscrowd: 1), as brushes of some tools write "
                                  "them, and the pixels of crowds count nowhere. Set crowds: objects")


def judge(faults: list[Fault], allowed: Collection[str]) -> list[Fault]:
    """The faults whose keys are not allowed."""
    return [fault for fault in faults if fault.key not in allowed]
