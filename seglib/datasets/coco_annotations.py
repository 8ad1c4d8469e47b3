"""COCO's annotation files, of which train2017's is 448 MB: nothing becomes Python objects but what is asked for.

The text is split into its pictures and annotations once; each stays a slice of it until it is wanted.
Format: https://cocodataset.org/#format-data.
"""

import collections
import json
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Raw

from seglib.names import nearest


class _File(msgspec.Struct):
    categories: list[Raw]
    images: list[Raw]
    annotations: list[Raw]
    info: Any = msgspec.field(default_factory=dict)
    licenses: Any = msgspec.field(default_factory=list)


class Category(TypedDict):
    id: int
    name: str


# Of no other folder, nor hidden, and of one line.
FileName = Annotated[str, msgspec.Meta(pattern=r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*\Z")]
Pixels = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]


class _Picture(TypedDict):
    id: int
    file_name: FileName


class _Keys(msgspec.Struct, gc=False):  # nearly a million at once, which the garbage collector need not look through
    image_id: int
    category_id: int


class Instance(TypedDict):
    image_id: int
    category_id: int
    iscrowd: Any  # 0 or 1; some tools write false or true
    bbox: tuple[Pixels, Pixels, Pixels, Pixels]  # x, y, width, height


def _reader(kind: Any) -> Callable[[Raw], Any]:
    return msgspec.json.Decoder(kind).decode


def _whole(entry: Raw) -> Any:
    return json.loads(bytes(entry))


def check_unique(values: Collection[Hashable], name: str, what: str) -> None:
    """Raise ValueError if a value occurs twice. `name` is the name of the file."""
    if len(set(values)) < len(values):
        [(value, count)] = collections.Counter(values).most_common(1)
        raise ValueError(f"{name}: {count} {what} {value!r:.80}")


def category_ids(categories: Sequence[Mapping[str, Any]], classes: list[str], name: str) -> dict[Any, int]:
    """The id of each class's category to the class's index. `name` is the file's.

    Raises ValueError for a class that is no category's name, and for categories that have one name or one id.
    """
    for key in ("id", "name"):
        check_unique([category[key] for category in categories], name, f"categories have the {key}")
    ids = {category["name"]: category["id"] for category in categories}
    for label in classes:
        if label not in ids:
            raise ValueError(f"{name} has no category {label!r}: {nearest(label, list(ids))}")
    return {ids[label]: k for k, label in enumerate(classes)}


def licence_of(picture: Mapping[str, Any], licenses: Any) -> str:
    """What a picture's file says of it, as far as it does: nothing depends on that."""
    for entry in licenses if isinstance(licenses, list) else ():
        if isinstance(entry, dict) and (number := entry.get("id")) is not None and number == picture.get("license"):
            return str(entry.get("name", "not recorded"))
    return "not recorded"


class AnnotationFile:
    """A file of instances. `text` is its JSON, UTF-8; `name` is what errors call it.

    Raises ValueError, which names the place, for JSON that is damaged or holds NaN, for a picture without an id and a
    file_name of its own, and an annotation without image_id or category_id. What else an annotation lacks is said when
    it is asked for.
    """

    def __init__(self, text: bytes | bytearray, name: str):
        try:
            file = msgspec.json.decode(text, type=_File)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} is not in COCO's format: {error}") from None
        self._name, self._info, self._licenses = name, file.info, file.licenses
        self._entries = {"categories": file.categories, "images": file.images, "annotations": file.annotations}
        pictures = list(self._each(_reader(_Picture), "images"))
        self._picture_ids = [picture["id"] for picture in pictures]
        check_unique(self._picture_ids, name, "pictures have the id")
        check_unique([picture["file_name"] for picture in pictures], name, "pictures have the file_name")
        self._keys = list(self._each(_reader(_Keys), "annotations"))

    @property
    def pictures(self) -> int:
        return len(self._picture_ids)

    def outline(self, classes: Collection[str]) -> dict[str, Any]:
        """The file's content as far as a rule looks at it: no segmentations, and annotations of these classes alone."""
        categories = list(self._each(_reader(Category), "categories"))
        ids = {category["id"] for category in categories if category["name"] in classes}
        places = (i for i, keys in enumerate(self._keys) if keys.category_id in ids)
        return {"categories": categories, "images": [{"id": id} for id in self._picture_ids],
                "annotations": list(self._each(_reader(Instance), "annotations", places))}

    def of_pictures(self, ids: Collection[int]) -> dict[str, Any]:
        """The file's content cut down to these pictures, with all that it says of them."""
        images = (i for i, id in enumerate(self._picture_ids) if id in ids)
        annotations = (i for i, keys in enumerate(self._keys) if keys.image_id in ids)
        return {"info": self._info, "licenses": self._licenses, "categories": list(self._each(_whole, "categories")),
                "images": list(self._each(_whole, "images", images)),
                "annotations": list(self._each(_whole, "annotations", annotations))}

    def _each(self, read: Callable[[Raw], Any], entries: str, places: Iterable[int] | None = None) -> Iterator[Any]:
        found = self._entries[entries]
        for i in range(len(found)) if places is None else places:
            try:
                yield read(found[i])
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{self._name}, {entries}[{i}]: {error}") from None
