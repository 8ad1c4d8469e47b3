"""Data for the page's scripts. A page opened from disk may not fetch files, so its data are scripts too.

Shapes: R numbers of run lengths.
"""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglib.report.tables import Comparison

# JSON is JavaScript except for these; "<" and the rest must not end a script element or open a comment in one.
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def script_json(content: Any) -> str:
    """JSON that is safe inside a script, whatever its content."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in UNSAFE.items():
        text = text.replace(character, escaped)
    return text


def packed_runs(runs: Sequence[int]) -> str:
    """[value, length, ...] as base64 of variable-length integers (7 bits per byte, lowest first), half as long."""
    values = np.asarray(runs, np.uint64)
    place = np.arange(5)  # 35 bits are enough for a mask's value and any picture
    digits_R5 = (values[:, None] >> (7 * place).astype(np.uint64) & np.uint64(127)).astype(np.uint8)
    needed_R = np.maximum(np.where(digits_R5 > 0, place + 1, 1).max(1), 1)
    digits_R5[place < needed_R[:, None] - 1] |= 128  # the high bit: another byte follows
    return base64.b64encode(digits_R5[place < needed_R[:, None]].tobytes()).decode()


def dataset_script(name: str, comparison: Comparison, confusion: dict[str, Any], images: str) -> str:
    """The script that gives the page one section: `seglibData[name] = ...`. images: the gallery's address."""
    gallery = comparison.gallery
    pictures = [picture | {
        "file": f"{images}/{Path(picture['file']).name}", "truth": packed_runs(picture["truth"]),
        "ignored": packed_runs(picture["ignored"]) if picture["ignored"] else None,
        "variants": {variant: of | {"runs": packed_runs(of["runs"])}
                     for variant, of in picture["variants"].items()}} for picture in gallery["pictures"]]
    data = {"gallery": gallery | {"pictures": pictures, "variants": comparison.compared},
            "confusion": {kind: of["cells"] for kind, of in confusion.items()}}
    return f"(window.seglibData ??= {{}})[{script_json(name)}] = {script_json(data)};\n"
