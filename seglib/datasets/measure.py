"""What `check` keeps of a picture: measured by any process, so that no picture is sent to another.

Shapes: K classes, H, W.
"""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from seglib.datasets.duplicates import perceptual_hash
from seglib.datasets.geometry import Fit, Size
from seglib.datasets.pixels import PixelFacts
from seglib.datasets.samples import Entry, Job, Rejection, Sample


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A picture that `prepare` would take. Pixels are counted at its own size; an ignored one counts for no class."""

    id: str
    own_size: Size
    digest: bytes  # of its size and pixels
    looks: int | None  # its perceptual hash: see `duplicates`
    class_pixels: list[int]
    valid_pixels: int
    ignored_pixels: int
    enlarged: float  # times, in height or in width
    misfit: float  # how far its shape is from the network's: see `Measurer`
    lost: bool  # whether a class that it shows has no pixel left at the network's size
    unit: str | None  # see samples.Sample
    tally: Mapping[str, int]
    palette: Mapping[int, str]
    facts: PixelFacts | None  # see samples.Sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurer:
    """Measures what a reader gives, a job or an entry: see `readers`.

    The misfit is the ratio of the two axes' scales for mode "stretch", the share of the picture that is cut away for
    "crop", and the share of the frame that stays empty for "pad".
    """

    size: Size  # the network's
    mode: str  # see geometry

    def measure(self, entry: Entry | Job) -> list[Measured | Rejection]:
        """All that a job gives, or one entry, in order."""
        if isinstance(entry, Rejection):
            return [entry]
        if isinstance(entry, Sample):
            return [self._measured(entry)]
        return [measured for given in entry() for measured in self.measure(given)]

    def _measured(self, sample: Sample) -> Measured:
        valid_HW = np.ones(sample.own_size, bool) if sample.ignore_HW is None else ~sample.ignore_HW
        valid = int(np.count_nonzero(valid_HW))
        fit = Fit(self.mode, sample.own_size, self.size)
        (height, width), (old_height, old_width) = fit.target.size, fit.source.size
        scales = height / old_height, width / old_width
        misfit = {"stretch": max(scales) / min(scales), "crop": 1 - old_height * old_width / np.prod(fit.own),
                  "pad": 1 - height * width / np.prod(fit.size)}[self.mode]
        pixels = repr(sample.own_size).encode() + sample.image_HWC.tobytes()
        return Measured(
            id=sample.id, own_size=sample.own_size, digest=hashlib.blake2b(pixels, digest_size=16).digest(),
            looks=perceptual_hash(sample.image_HWC),
            class_pixels=[int(np.count_nonzero(plane_HW & valid_HW)) for plane_HW in sample.planes_KHW],
            valid_pixels=valid, ignored_pixels=valid_HW.size - valid, enlarged=max(scales), misfit=float(misfit),
            lost=any(plane_HW.any() and not fit.plane(plane_HW).any() for plane_HW in sample.planes_KHW),
            unit=sample.unit, tally=sample.tally, palette=sample.palette, facts=sample.facts)
