"""Where the files of a user's folder lie, and which mask belongs to which picture."""

import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image

from seglib.datasets.images import FORMATS
from seglib.datasets.labels import files_by_name
from seglib.files import repository_root

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")  # formats that keep every pixel's value


def source_folder(options: dict[str, Any]) -> Path:
    """Where the user's folder is; a relative path starts at the repository's root."""
    return repository_root() / options["path"]


def picture_suffixes() -> list[str]:
    """The file name endings of the formats that are read."""
    return [suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS]


def pictures_of(folder: Path) -> dict[str, list[Path]]:
    found = files_by_name(folder / "images", picture_suffixes())
    if not found:
        raise ValueError(f"{folder / 'images'} holds no pictures: expected images/NAME.jpg, or another format, in the "
                         "folder that datasets.*.path names")
    return found


def normal_name(text: str) -> str:
    """A path as it stands in a list or in annotations, in one form: slashes, no %20, letters composed (NFC)."""
    return unicodedata.normalize("NFC", unquote(text).replace("\\", "/"))


