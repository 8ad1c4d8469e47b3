"""Which value or colour of a mask stands for which class. Shapes: K classes, H, W.

A mask holds one number per pixel (a grey or palette picture, or numbers saved as RGB) or one colour per pixel. The key
`values` maps numbers, `colors` maps colours. If neither is given, numbers count from 0 in the order of `classes`, and
colours are read by labelmap.txt (as CVAT writes it) or by PASCAL VOC's palette, whose colours stand for numbers.
"""

import collections
import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from seglib.datasets.labels import text_of

LABELMAP = "labelmap.txt"
Item = TypeVar("Item")

IGNORED = -1
SHOWN = 8  # values that a message gives


def class_ids(classes: int, ignore: Collection[int | str]) -> list[int]:
    """The number of each class if no key maps them: counted from 0, and ignored numbers are skipped."""
    return list(itertools.islice((number for number in itertools.count() if number not in ignore), classes))


def voc_palette() -> dict[int, int]:
    """The 256 colours (red · 2¹⁶ + green · 2⁸ + blue) of PASCAL VOC's label maps to the numbers for which they stand.

    Bits 0, 1, 2 of a number become the highest bits of red, green and blue, bits 3, 4, 5 the next ones, and so on
    (VOClabelcolormap in VOC's development kit).
    """
    palette = {}
    for number in range(256):
        channels = [sum((number >> (3 * i + channel) & 1) << (7 - i) for i in range(3)) for channel in range(3)]
        palette[channels[0] << 16 | channels[1] << 8 | channels[2]] = number
    return palette


def read_labelmap(folder: Path) -> dict[int, str] | None:
    """The class of each colour in CVAT's labelmap.txt, `name:red,green,blue:parts:actions` per line; None without one.

    Raises ValueError for a line of another form.
    """
    path = folder / LABELMAP
    if not path.is_file():
        return None
    found = {}
    for line in text_of(path.read_bytes(), path).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        channels = rest.partition(":")[0].split(",")
        if len(channels) != 3 or not all(part.strip().isdecimal() and int(part) < 256 for part in channels):
            raise ValueError(f"{path}: expected name:red,green,blue:parts:actions, found {line!r:.80}")
        red, green, blue = map(int, channels)
        found[red << 16 | green << 8 | blue] = name.strip()
    return found


def a_few(items: Sequence[Item], most: int) -> Sequence[Item]:
    """At most `most` of the items, spread evenly."""
    return items[::-(-len(items) // most)] if items else items


def hex_of(color: int) -> str:
    return f"#{color:06x}"


def joined(colors_HW3: np.ndarray) -> np.ndarray:
    """Colours uint8 (H, W, 3) as one number each, int32 (H, W)."""
    red_HW, green_HW, blue_HW = (colors_HW3[..., i].astype(np.int32) for i in range(3))
    return red_HW << 16 | green_HW << 8 | blue_HW


def as_numbers(labels: np.ndarray) -> np.ndarray:
    """Numbers that were saved as RGB, three equal channels, as numbers (H, W); anything else as it is."""
    if labels.ndim == 3 and (labels == labels[..., :1]).all():
        return np.ascontiguousarray(labels[..., 0])
    return labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValueMap:
    """Values and colours to class indices; IGNORED for those that count nowhere."""

    values: Mapping[int, int]
    colors: Mapping[int, int]
    colors_first: bool  # whether a palette's colours are mapped, not its indices
    colors_named: bool  # whether the user named colours, by a key or by labelmap.txt
    classes: int

    @classmethod
    def of(cls, options: Mapping[str, Any], folder: Path) -> "ValueMap":
        """The mapping that the options of a folder ask for. Raises ValueError if labelmap.txt cannot be read."""
        classes, labelmap = options["classes"], read_labelmap(folder)
        ignored = {value: IGNORED for value in options["ignore"] if isinstance(value, int)}
        if options["values"] is not None:
            values = ignored | {int(value): classes.index(name) for value, name in options["values"].items()}
        else:
            values = ignored | {number: k for k, number in enumerate(class_ids(len(classes), options["ignore"]))}
        colors = {int(color[1:], 16): IGNORED for color in options["ignore"] if isinstance(color, str)}
        if options["colors"] is not None:
            colors |= {int(color[1:], 16): classes.index(name) for color, name in options["colors"].items()}
        elif labelmap is not None:
            colors = {color: classes.index(name) for color, name in labelmap.items() if name in classes} | colors
        else:
            colors = {color: values[number] for color, number in voc_palette().items() if number in values} | colors
        return cls(values=values, colors=colors, colors_first=options["colors"] is not None, classes=len(classes),
                   colors_named=options["colors"] is not None or labelmap is not None
                   or any(isinstance(value, str) for value in options["ignore"]))

    def _colors_of(self, labels: np.ndarray, palette: Mapping[int, int]) -> np.ndarray | None:
        """The colour of each pixel, int32 (H, W), if colours decide; None if numbers do.

        Numbers saved as RGB and numbers with a palette have colours, too. They decide if all of them are named.
        """
        if labels.ndim == 3:
            colors_HW, are_numbers = joined(labels), as_numbers(labels).ndim == 2
        elif palette:
            colors_HW, are_numbers = np.array([palette.get(i, 0) for i in range(256)], np.int32)[labels], True
        else:
            return None
        if not are_numbers or (self.colors_first and labels.ndim == 2):
            return colors_HW
        is_named = self.colors_named and all(int(color) in self.colors for color in np.unique(colors_HW))
        return colors_HW if is_named else None

    def covers(self, found: Collection[int | str]) -> bool:
        """Whether each value or colour that was found is mapped, and each class has one."""
        mapped = [self.colors.get(int(value[1:], 16)) if isinstance(value, str) else self.values.get(value)
                  for value in found]
        return None not in mapped and {*mapped} >= {*range(self.classes)}

    def planes(self, labels: np.ndarray, palette: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The classes' planes, bool (K, H, W), and the ignored pixels, bool (H, W).

        labels: numbers (H, W) or colours (H, W, 3). palette: the colour of each number, if the mask has a palette.
        Raises ValueError for a value or a colour that nothing maps.
        """
        colors = self._colors_of(labels, palette)
        if colors is None:
            found, mapping, key, word = as_numbers(labels), self.values, "values", "values"
        else:
            found, mapping, key, word = colors, self.colors, "colors", "colours"
        there = [int(value) for value in np.unique(found)]
        if unknown := [value for value in there if value not in mapping]:
            named = [hex_of(value) if key == "colors" else str(value) for value in unknown]
            raise ValueError(f"its mask holds {word} that are neither a class nor ignored: {_shortened(named)}; map "
                             f"them by the key {key}, or add them to ignore")
        indices_HW = np.array([mapping[value] for value in there], np.int32)[np.searchsorted(there, found)]
        return indices_HW == np.arange(self.classes).reshape(-1, 1, 1), indices_HW == IGNORED


def _shortened(values: list[str]) -> str:
    return ", ".join(values[:SHOWN]) + (" …" if len(values) > SHOWN else "")


class ValueCount:
    """Counts the values or colours of masks, and says how `params.yaml` could map them."""

    def __init__(self) -> None:
        self.pixels: collections.Counter[int | str] = collections.Counter()
        self.masks: collections.Counter[int | str] = collections.Counter()
        self.total = 0

    def add(self, labels: np.ndarray) -> None:
        """labels: numbers (H, W) or colours (H, W, 3)."""
        labels = as_numbers(labels)
        values, counts = np.unique(joined(labels) if labels.ndim == 3 else labels, return_counts=True)
        self.total += 1
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            name = hex_of(value) if labels.ndim == 3 else value
            self.pixels[name] += count
            self.masks[name] += 1

    def describe(self) -> str:
        """Such as "0 (74.0 % of the pixels, in 12 of 12 masks)", the lowest value first."""
        whole = sum(self.pixels.values())
        named = [f"{value} ({self.pixels[value] / whole:.1%} of the pixels, in {self.masks[value]} of {self.total} "
                 "masks)" for value in sorted(self.pixels, key=lambda one: (isinstance(one, str), one))[:SHOWN]]
        return ", ".join(named) + (" …" if len(self.pixels) > SHOWN else "")

    def mapping(self, classes: list[str], ignore: Iterable[int | str] = ()) -> str:
        """Lines for params.yaml that map every value, for the user to correct: the classes' names in turn."""
        colored = any(isinstance(value, str) for value in self.pixels)
        there = sorted(value for value in self.pixels if isinstance(value, str) == colored)
        ignored = [value for value in ignore if value in there] if len(there) > len(classes) else []
        mapped = [value for value in there if value not in ignored]
        names = [classes[k] if k < len(classes) else f"class_{str(value).lstrip('#')}"
                 for k, value in enumerate(mapped)]
        pairs = ", ".join(f'"{value}": {name}' if colored else f"{value}: {name}"
                          for value, name in zip(mapped, names, strict=True))
        shown = ", ".join(f'"{value}"' if colored else str(value) for value in ignored)
        return f"classes: [{', '.join(names)}]\n{'colors' if colored else 'values'}: {{{pairs}}}\nignore: [{shown}]"
