"""Looking at a folder's pixels before they are trusted: what each file holds, and what is wrong with all together.

One dark picture is no fault, a folder of them is: so files are looked at one by one, and judged when all are known.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from seglib.datasets.images import (
    NUMBER_MODES,
    SIXTEEN_BIT_MODES,
    Decoded,
    Reading,
    decoded,
    finite_of,
    rgb_of,
    values_of,
)

EXAMPLES = 3  # names that a fault gives
LEAST_RANGE = 0.1  # of what its type holds that a folder's pixels must use
MODEST_RANGE = 0.25  # what 14 bits of 16 use

Size = tuple[int, int]  # H, W
Fault = tuple[str, str, tuple[str, ...]]  # "error" or "warning", what is wrong and which key changes it, a few names


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PixelFacts:
    """What one file holds. It is small, and goes from process to process."""

    format: str  # such as "PNG"
    mode: str  # Pillow's, such as "RGB"
    bits: int  # of each number, as they are stored
    low: float  # the least finite value of any band but the transparency; inf if none is finite
    high: float  # the greatest; -inf if none is finite
    bands: int  # in the file
    unread: int  # of these, the bands that are passed over
    pages: int
    sheer: bool  # whether some pixel is not wholly opaque
    orientation: int  # of EXIF, 1 to 8; 1 is upright
    size: Size  # as it is read

    @property
    def top(self) -> int:
        """The greatest value that becomes white, if no range is set."""
        return 65535 if self.mode in SIXTEEN_BIT_MODES or self.is_deep_colour else 255

    @property
    def is_deep_colour(self) -> bool:
        """Whether its colours have more than the 8 bits that are read of them."""
        return _is_deep_colour(self.mode, self.bits)


def look(source: Path | BinaryIO, reading: Reading) -> tuple[Image.Image, PixelFacts]:
    """The picture as `read_rgb` gives it, and what its file holds. Raises ImageError as `read_rgb` does."""
    with decoded(source, reading, counts_pages=True) as found:
        return rgb_of(found, reading), _facts(found)


def facts_of(source: Path | BinaryIO, reading: Reading) -> PixelFacts:
    """What a picture's file holds. Raises ImageError if it cannot be decoded."""
    with decoded(source, reading, counts_pages=True) as found:
        return _facts(found)


def _facts(found: Decoded) -> PixelFacts:
    image, finite = found.image, finite_of(values_of(found))
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (math.inf, -math.inf)
    if _is_deep_colour(image.mode, found.bits):  # the upper 8 bits were read
        low, high = 256 * low, 256 * high + 255
    return PixelFacts(
        format=found.format, mode=image.mode, bits=found.bits, low=low, high=high, bands=found.bands,
        unread=max(0, found.bands - len(image.getbands())), pages=found.pages,
        sheer=found.has_alpha and image.convert("RGBA").getchannel("A").getextrema() != (255, 255),
        orientation=found.orientation, size=(image.height, image.width))


def _is_deep_colour(mode: str, bits: int) -> bool:
    return bits > 8 and mode not in NUMBER_MODES


class _Names:
    """How many pictures something is true of, and the first few."""

    def __init__(self) -> None:
        self.count, self.first = 0, ()

    def add(self, name: str) -> None:
        self.count += 1
        self.first = (*self.first, name)[:EXAMPLES]

    def fault(self, level: str, text: str) -> Iterator[Fault]:
        """"N pictures `text`", if there is one."""
        if self.count:
            yield level, f"{self.count:,} picture{'s' * (self.count != 1)} {text}", self.first


class _Kind:
    """The pictures that hold numbers of one kind: between which values all of them lie."""

    def __init__(self) -> None:
        self.all, self.narrow, self.low, self.high = _Names(), _Names(), math.inf, -math.inf

    def add(self, name: str, facts: PixelFacts) -> None:
        self.all.add(name)
        self.low, self.high = min(self.low, facts.low), max(self.high, facts.high)
        if facts.high - facts.low < LEAST_RANGE * facts.top:
            self.narrow.add(name)


class PixelSurvey:
    """Collects the facts of a folder's pictures, one after the other, and says what is wrong with them.

    Its memory does not grow with their number.
    """

    def __init__(self, reading: Reading):
        self._reading = reading
        self._kinds: dict[tuple[str, int], _Kind] = defaultdict(_Kind)
        self._pages, self._sheer, self._unread, self._turned, self._unclear = (_Names() for _ in range(5))

    def add(self, name: str, facts: PixelFacts, mask_size: Size | None = None) -> None:
        """mask_size: of the picture's mask, as it is read; None if that says nothing."""
        kind = "F" if facts.mode == "F" else "colours" if facts.is_deep_colour else "numbers"
        self._kinds[kind, facts.top].add(name, facts)
        if facts.pages > 1:
            self._pages.add(name)
        if facts.sheer:
            self._sheer.add(name)
        if facts.unread:
            self._unread.add(name)
        if facts.orientation != 1 and mask_size is not None:
            if facts.orientation >= 5 and mask_size == facts.size[::-1] != facts.size:
                self._turned.add(name)
            elif mask_size == facts.size and (facts.orientation < 5 or mask_size == facts.size[::-1]):
                self._unclear.add(name)

    def faults(self) -> list[Fault]:
        return list(self._all_faults())

    def _all_faults(self) -> Iterator[Fault]:
        for (kind, top), found in sorted(self._kinds.items()):
            yield from self._of_values(kind, top, found)
        if self._reading.page is None:
            yield from self._pages.fault("error", "with several pages, of which one is read: set `page: 1`, or the "
                                                  "page that the masks belong to")
        if self._reading.alpha is None:
            yield from self._sheer.fault("error", "with a last band that is not opaque everywhere: set `alpha: white` "
                                                  "if it is transparency (the picture is laid over white), or `alpha: "
                                                  "drop` if it is anything else, such as near infrared")
            yield from self._unread.fault("warning", "with more bands than colours, which are not read: set `alpha: "
                                                     "drop` if that is meant")
        is_upright = self._reading.upright
        yield from self._turned.fault("error", f"with an EXIF orientation, whose masks fit only the "
                                               f"{'stored' if is_upright else 'turned'} picture: set `upright: "
                                               f"{'false' if is_upright else 'true'}`")
        if not is_upright:
            yield from self._unclear.fault("warning", "with an EXIF orientation, whose masks fit the picture as it is "
                                                      "stored and as viewers turn it: look at which is right, and set "
                                                      "`upright: true` if the masks are of the turned picture")

    def _of_values(self, kind: str, top: int, found: _Kind) -> Iterator[Fault]:
        low, high, wanted = found.low, found.high, self._reading.range
        held = f"with values from {_plain(low)} to {_plain(high)}"
        remedy = ("store them with 8 bits that use the whole range" if kind == "colours" else
                  f"set `{_fitting(low, high)}` or `range: percentile`")
        if wanted is not None and kind == "colours":
            yield from found.all.fault("error", "with colours of 16 bits, of which 8 are read, so that `range` cannot "
                                                f"be used: {remedy}")
        elif wanted == "percentile" or not math.isfinite(high - low):
            return
        elif wanted is not None:
            if min(high, wanted[1]) - max(low, wanted[0]) < LEAST_RANGE * (wanted[1] - wanted[0]):
                yield from found.all.fault("error", f"{held}, which use less than a tenth of `range: "
                                                    f"{_listed(*wanted)}`: {remedy}")
            elif min(high, wanted[1]) - max(low, wanted[0]) < LEAST_RANGE * (high - low):
                yield from found.all.fault("warning", f"{held}, of which `range: {_listed(*wanted)}` tells apart less "
                                                      "than a tenth; the others become black or white")
        elif kind == "F":
            yield from found.all.fault("error", f"{held}, and nothing says which is white: {remedy}")
        elif low < 0 or high > top:
            yield from found.all.fault("error", f"{held}, of which 0 to {top:,} are read: {remedy}")
        elif low == high:
            yield from found.all.fault("error", f"with the value {_plain(low)} alone")
        elif high - low < LEAST_RANGE * top:
            yield from found.all.fault("error", f"{held}{_in_bits(low, high, top)}, less than a tenth of 0 to {top:,}, "
                                                f"which are nearly of one grey: {remedy}")
        elif high <= MODEST_RANGE * top:
            yield from found.all.fault("warning", f"{held}{_in_bits(low, high, top)}, which are dark: {remedy}")
        elif kind == "numbers" and 2 * found.narrow.count > found.all.count:
            yield from found.narrow.fault("warning", f"with less than a tenth of 0 to {top:,}, though others have "
                                                     "more: set `range: [lo, hi]` or `range: percentile`")


def _plain(value: float) -> str:
    return f"{int(value):,}" if math.isfinite(value) and value == int(value) else f"{value:.4g}"


def _listed(low: float, high: float) -> str:
    return f"[{', '.join(_plain(end).replace(',', '') for end in (low, high))}]"


def _fitting(low: float, high: float) -> str:
    """A range that fits the values: that of the bits they need, if they are whole and use a quarter of it."""
    whole = math.isfinite(high) and 0 <= low == int(low) and high == int(high)
    most = 2 ** _bits_of(high) - 1 if whole else 0
    return f"range: {_listed(0, most) if whole and high - low > most / 4 else _listed(low, high)}"


def _bits_of(high: float) -> int:
    """How many bits a camera of such values has: beyond 8, there are 10, 12, 14 and 16."""
    bits = int(high).bit_length()
    return bits + bits % 2 if bits > 8 else bits


def _in_bits(low: float, high: float, top: int) -> str:
    bits = _bits_of(high)
    return f" ({bits} bit{'s' * (bits != 1)} of {top.bit_length()})" if low >= 0 and bits < top.bit_length() else ""
