"""The `datasets` section: one class per kind of dataset."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from seglib.configs import DownloadConfig, FetchConfig, PrepareConfig
from seglib.datasets.images import MAX_PIXELS
from seglib.datasets.truth import DEGENERATE
from seglib.names import brief, nearest
from seglib.params.train import TrainOverride
from seglib.strict import OfAKind, Once, Strict, Text, expected
from seglib.tasks.task import MOST_CLASSES

# The keys that `prepare` reads itself. The others, but for `kind` and `train`, are the reader's own options.
PREPARE_KEYS = ("image_size", "resize", "val_fraction", "allow")


PixelValue = Annotated[int, Field(ge=0, le=65535)]
Color = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$"), expected("a color such as '#ff0000'")]
ValueOrColor = Annotated[PixelValue | Color, expected("a number from 0 to 65535, or a color such as '#ff0000'")]
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise PydanticCustomError("pattern", "expected a regular expression, found {text}: {error}",
                                  {"text": brief(text), "error": str(error)}) from None
    return text


def _fit_a_mask(names: list[str]) -> list[str]:
    if len(names) > MOST_CLASSES:
        raise PydanticCustomError("classes", "found {n} classes, and a mask holds at most {most}: name fewer, or merge "
                                  "some of them in your data", {"n": len(names), "most": MOST_CLASSES})
    return names


ClassNames = Annotated[list[Text], Field(min_length=1), AfterValidator(_fit_a_mask), Once]


class Dataset(Strict):
    """What all datasets share. `fetch_keys` decide what is fetched; the others decide only how it is prepared."""

    kind: str
    val_fraction: float = Field(gt=0, lt=1)
    allow: Annotated[list[Literal[tuple(DEGENERATE)]], Once] = []  # what may be wrong with the truth
    train: TrainOverride = TrainOverride()
    coursework: ClassVar[bool] = False  # whether the coursework that seglib repeats studied datasets of this kind

    def task(self) -> str:
        """The name of its task, one of `tasks.NAMES`."""
        raise AssertionError("each dataset names its own")

    def class_count(self) -> int:
        raise AssertionError("each dataset knows its own")

    def fetch_keys(self) -> tuple[str, ...]:
        """The reader's own options that decide what is fetched."""
        raise AssertionError("each dataset names its own")

    def from_network(self) -> bool:
        raise AssertionError("each dataset knows its own source")

    def generated(self) -> bool:
        """Whether the data are generated in place of published ones."""
        return False

    def user_paths(self) -> tuple[str, ...]:
        """The keys whose values lead to files that the user owns: see seglib/pipeline/user_paths.py."""
        raise AssertionError("each dataset knows its own")

    def fetch_config(self, download: DownloadConfig) -> FetchConfig:
        """What decides the bytes of the raw data; with `download` if they come from the network."""
        return FetchConfig(kind=self.kind, options=self.model_dump(include=set(self.fetch_keys())),
                           download=download if self.from_network() else None)

    def prepare_config(self, max_rejected: float) -> PrepareConfig:
        """What decides the bytes of the prepared data, besides the raw data."""
        # Pictures of one size need no resizing: to stretch them to their own size changes nothing.
        shared = {"image_size": None, "resize": "stretch"} | self.model_dump(include=set(PREPARE_KEYS))
        return PrepareConfig(kind=self.kind, options=self.model_dump(exclude={"kind", "train", *PREPARE_KEYS}),
                             max_rejected=max_rejected, **shared)


class Resized(Dataset):
    """A dataset whose pictures have sizes of their own."""

    image_size: int = Field(ge=8, le=16384)
    resize: Literal["stretch", "pad", "crop"]


class Shapes(Dataset):
    kind: Literal["shapes"]
    coursework: ClassVar[bool] = True
    source: Text
    train_images: int = Field(ge=2, le=10_000_000)
    test_images: int = Field(ge=1, le=10_000_000)
    seed: int = Field(ge=0, lt=2**63)
    background: Literal["dark", "varied"]

    def task(self) -> str:
        return "multilabel"

    def class_count(self) -> int:
        return 5

    def fetch_keys(self) -> tuple[str, ...]:
        counts = ("source", "train_images", "test_images")
        return (*counts, "seed", "background") if self.source == "generated" else counts

    def from_network(self) -> bool:
        return self.source == "purdue"

    def generated(self) -> bool:
        return self.source == "generated"

    def user_paths(self) -> tuple[str, ...]:
        return () if self.source in ("generated", "purdue") else ("source",)


class Coco(Resized):
    kind: Literal["coco"]
    coursework: ClassVar[bool] = True
    classes: ClassNames
    min_box: float = Field(ge=0, le=1e6)
    instances: Literal["single", "any"]

    def task(self) -> str:
        return "multilabel"

    def class_count(self) -> int:
        return len(self.classes)

    def fetch_keys(self) -> tuple[str, ...]:
        return ("classes", "min_box", "instances")

    def from_network(self) -> bool:
        return True

    def user_paths(self) -> tuple[str, ...]:
        return ()


class Pets(Resized):
    kind: Literal["pets"]
    coursework: ClassVar[bool] = True
    border: Literal["foreground", "background", "ignore"]

    def task(self) -> str:
        return "multilabel"

    def class_count(self) -> int:
        return 1

    def fetch_keys(self) -> tuple[str, ...]:
        return ()

    def from_network(self) -> bool:
        return True

    def user_paths(self) -> tuple[str, ...]:
        return ()


class Stanford(Resized):
    kind: Literal["stanford"]
    coursework: ClassVar[bool] = True
    source: Text  # original | a path
    unknown: Literal["ignore", "class"] = "ignore"  # what unknown pixels are: counted nowhere, or a ninth class
    test_fraction: float = Field(gt=0, lt=1)

    def task(self) -> str:
        return "multiclass"

    def class_count(self) -> int:
        return 9 if self.unknown == "class" else 8

    def fetch_keys(self) -> tuple[str, ...]:
        return ("source",)

    def from_network(self) -> bool:
        return self.source == "original"

    def user_paths(self) -> tuple[str, ...]:
        return () if self.source == "original" else ("source",)


class Folder(Resized):
    kind: Literal["folder"]
    path: Text
    masks: Literal["ids", "folders", "coco", "labelme", "yolo"]
    pictures: Text = "images"  # the folder of the pictures, in `path`
    truth: Text | None = None  # the folder or file of the masks, in `path`; None: the usual one of the form
    classes: ClassNames
    values: Annotated[dict[PixelValue, Text], Field(min_length=1)] | None = None  # of masks: ids
    colors: Annotated[dict[Color, Text], Field(min_length=1)] | None = None  # of masks: ids
    ignore: Annotated[list[ValueOrColor], Once] = []  # of masks: ids
    mask_ending: Text | None = None  # what a mask's name has after the picture's; None: what all masks have in common
    crowds: Literal["ignore", "objects"] = "ignore"
    unlisted: Literal["skip", "empty"] | None = None  # pictures that the annotations do not list; None: left out
    group: Annotated[Text, AfterValidator(_pattern)] | None = None  # pictures of one group stay in one split
    upright: bool = False  # whether masks fit the pictures as their EXIF orientation turns them
    range: Annotated[Literal["percentile"] | Bounds | None, expected("percentile, or [LOWEST, HIGHEST]")] = None
    page: Annotated[int, Field(ge=1)] | None = None  # of a file with several pages
    alpha: Literal["drop", "white"] | None = None  # what to do with a fourth band that is not constant
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)  # of a picture
    test_fraction: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _keys_fit_each_other(self) -> "Folder":
        if isinstance(self.range, list) and self.range[0] >= self.range[1]:
            raise PydanticCustomError("range", "range: expected [lo, hi] with lo below hi, found {range}",
                                      {"range": brief(self.range)})
        if self.unlisted == "empty" and self.masks == "ids":
            raise PydanticCustomError("unlisted", "unlisted: empty says that a picture without a mask shows no class, "
                                      "but with masks: ids each pixel has one; set unlisted: skip")
        return self

    @model_validator(mode="after")
    def _mapped_names_are_classes(self) -> "Folder":
        for key, mapping in (("values", self.values), ("colors", self.colors)):
            if mapping is not None and self.masks != "ids":
                raise PydanticCustomError("mapped", "{key} maps what masks of the form ids hold; masks is {masks}",
                                          {"key": key, "masks": self.masks})
            if unknown := [name for name in (mapping or {}).values() if name not in self.classes]:
                raise PydanticCustomError("mapped", "{key} maps to {name}, which is not one of classes: {hint}",
                                          {"key": key, "name": brief(unknown[0]),
                                           "hint": nearest(unknown[0], self.classes)})
        mapped = {*(self.values or {}).values(), *(self.colors or {}).values()}
        if self.values is not None and (missing := [name for name in self.classes if name not in mapped]):
            raise PydanticCustomError("mapped", "values maps nothing to the class {name}", {"name": brief(missing[0])})
        return self

    def task(self) -> str:
        return "multiclass" if self.masks == "ids" else "multilabel"

    def class_count(self) -> int:
        return len(self.classes)

    def fetch_keys(self) -> tuple[str, ...]:
        return ("path", "masks", "pictures", "truth", "classes", "mask_ending")

    def from_network(self) -> bool:
        return False

    def user_paths(self) -> tuple[str, ...]:
        return ("path",)


AnyDataset = Annotated[Shapes | Coco | Pets | Stanford | Folder, Field(discriminator="kind"), OfAKind]
