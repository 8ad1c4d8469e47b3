"""What the forms share that list objects one by one. Shapes: K classes, H, W."""

from collections.abc import Mapping
from typing import Any

from seglib.datasets.folder.masks import Masks
from seglib.datasets.outlines import Drawn, draw


def masks_of(drawn: Drawn, licence: str = "not recorded") -> Masks:
    return Masks(**vars(drawn), licence=licence)


def of_unlisted(options: Mapping[str, Any], size: tuple[int, int], missing: str) -> Masks:
    """The masks of a picture that has no annotations. Raises ValueError unless `unlisted` is empty.

    missing: such as "annotations.json does not list it".
    """
    if options["unlisted"] != "empty":
        raise ValueError(f"{missing}: set unlisted: skip, if nobody looked for objects in it, or unlisted: empty, if "
                         "it holds none")
    return masks_of(draw((), size, len(options["classes"])))
