"""JSON of all the kinds that label tools write, read as strictly as what it says is needed."""

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec

# A text, which stays as it is, or a number that JSON does not have.
_NOT_A_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?(NaN|Infinity)')

TYPES = {"int": "a whole number", "float": "a number", "str": "text", "array": "a list", "object": "an object",
         "bool": "true or false", "null": "null"}


def read_json(path: Path, kind: Any, tool: str, name: str) -> Any:
    """The content of a file in UTF-8, 16 or 32, with or without byte order mark; NaN and infinity are None.

    kind: what it should hold. Raises ValueError, which says that `name` is not in the format of `tool`.
    """
    content = path.read_bytes()
    try:
        encoding = json.detect_encoding(content)
        if encoding != "utf-8":
            content = content.decode(encoding).encode()
        if b"NaN" in content or b"Infinity" in content:
            content = _NOT_A_NUMBER.sub(lambda found: b"null" if found[1] else found[0], content)
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not in {tool}'s format: {_in_words(str(error))}") from None


def _in_words(text: str) -> str:
    """What is wrong, and where, in place of msgspec's words; texts of another form stay as they are."""
    said, _, place = text.partition(" - at ")
    where = place.strip("`").removeprefix("$").removeprefix(".") or "the file"
    if found := re.fullmatch("Object missing required field `(.+)`", said):
        return f"{where} has no {found[1]}"
    if found := re.fullmatch("Expected `(.+)`, got `(.+)`", said):
        return f"{where} is {_kinds(found[2])}, expected {_kinds(found[1])}"
    return text


def _kinds(text: str) -> str:
    kinds = text.split(" | ")
    return " or ".join(TYPES.get(kind, kind) for kind in kinds if kind != "int" or "float" not in kinds)


def plain(value: Any) -> Any:
    """An id in one form, whether a tool wrote 3, 3.0 or "3"."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (text := value.strip()).isascii() and text.isdigit() and str(int(text[:19])) == text:
        return int(text)
    return value


def number(value: Any) -> float | None:
    """A number, or a text that is one; None for anything else."""
    try:
        found = msgspec.convert(value, float, strict=False)
    except msgspec.ValidationError:
        return None
    return found if math.isfinite(found) else None
