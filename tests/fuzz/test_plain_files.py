"""A folder's masks as ids and as class folders, Stanford's two packagings, Pets' archives: their files, damaged."""

import functools
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.datasets import folder, pets, stanford
from seglib.datasets.samples import Rejection, Sample, done
from tests.conftest import prepare_config
from tests.datasets.folders import ALL_TRAIN, CONFIG
from tests.fuzz.mutation import assert_lawful, damage, fuzzed
from tests.fuzz.test_pictures import SIZE, masks, pictures

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900, method="thread")]

IDS = prepare_config(CONFIG | ALL_TRAIN)
FOLDERS = prepare_config(CONFIG | ALL_TRAIN | {"masks": "folders", "classes": ["cat", "dog"]})
STANFORD = prepare_config({"kind": "stanford", "unknown": "ignore", "test_fraction": 0.0})
maybe_damaged_pictures = damage(pictures()[:8]) | st.sampled_from(pictures())
maybe_damaged_masks = damage(masks()) | st.sampled_from(masks())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plain")
    for name in ("images", "labels", "masks/cat", "masks/dog", "course/train", "course/val", "course/test"):
        (root / name).mkdir(parents=True)
    return root


@fuzzed(0.3)
@given(maybe_damaged_pictures, maybe_damaged_masks)
def test_a_folders_ids(place: Path, picture: bytes, mask: bytes):
    (place / "images/a.png").write_bytes(picture)
    (place / "masks/a.png").write_bytes(mask)
    assert_lawful(lambda: done(folder.read(place, IDS, "train")), 3, exclusive=True)


@fuzzed(0.2)
@given(maybe_damaged_pictures, maybe_damaged_masks, maybe_damaged_masks)
def test_a_folder_for_each_class(place: Path, picture: bytes, cat: bytes, dog: bytes):
    (place / "images/a.png").write_bytes(picture)
    (place / "masks/cat/a.png").write_bytes(cat)
    (place / "masks/dog/a.png").write_bytes(dog)
    assert_lawful(lambda: done(folder.read(place, FOLDERS, "train")), 2)


@fuzzed(0.2)
@given(damage([b"a\n", "# list\n猫.png\nimages/a.png\n\n".encode(), b"\xef\xbb\xbfa\r\n../a\n"]))
def test_a_folders_lists(place: Path, names: bytes):
    (place / "images/a.png").write_bytes(pictures()[5])
    (place / "masks/a.png").write_bytes(masks()[0])
    for name in ("train.txt", "test.txt"):
        (place / name).write_bytes(names if name == "train.txt" else b"")
    try:
        assert_lawful(lambda: done(folder.read(place, IDS, "train")), 3, exclusive=True)
    finally:
        for name in ("train.txt", "test.txt"):
            (place / name).unlink()


def regions(ids_HW: np.ndarray) -> bytes:
    return "".join(" ".join(map(str, row)) + "\n" for row in ids_HW.tolist()).encode()


REGIONS = [regions(np.random.default_rng(i).integers(-1, 8, SIZE)) for i in range(2)]
tokens = st.sampled_from(["0", "7", "8", "-1", "-9", "x", "1_0", "0x1", "1e0", "٣", "", "9" * 30, "-", "\f", "\x1c"])
made_up_regions = st.lists(st.lists(tokens, max_size=4), max_size=4).map(
    lambda rows: "\n".join(" ".join(row) for row in rows).encode())


@fuzzed(0.6)
@given(damage(REGIONS) | made_up_regions | st.sampled_from(REGIONS), maybe_damaged_pictures)
def test_stanfords_regions(place: Path, labels: bytes, picture: bytes):
    (place / "images/a.jpg").write_bytes(picture)
    (place / "labels/a.regions.txt").write_bytes(labels)
    found = assert_lawful(lambda: done(stanford.read(place, STANFORD, "train")), 8, exclusive=True)
    for sample in found:
        if isinstance(sample, Sample):  # Python's own reading of what was accepted
            numbers_HW = [[int(number) for number in line.split(b" ") if number.strip()]
                          for line in labels.replace(b"\t", b" ").splitlines() if line.strip()]
            np.testing.assert_array_equal(np.where(sample.ignore_HW, -1, sample.planes_KHW.argmax(0)),
                                          np.maximum(numbers_HW, -1))


CLASS_LISTS = ["\n".join([*stanford.CLASSES, "misc"]).encode(), "\n".join(["unknown", *stanford.CLASSES]).encode()]


@fuzzed(0.4)
@given(damage(CLASS_LISTS) | st.sampled_from(CLASS_LISTS), maybe_damaged_masks)
def test_stanfords_ids_and_names(place: Path, classes: bytes, mask: bytes):
    root = place / "course"
    (root / "train/a.jpg").write_bytes(pictures()[5])
    (root / "train/a.png").write_bytes(mask)
    (root / "classes.txt").write_bytes(classes)
    assert_lawful(lambda: done(stanford.read(root, STANFORD, "train")), 8, exclusive=True)


LIST = b"a 1 1 1\nb 2 1 1\n"


def tar(files: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@functools.cache
def trimap() -> bytes:
    from PIL import Image
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(4).integers(1, 4, SIZE, np.uint8)).save(file, "PNG")
    return file.getvalue()


@fuzzed(1)
@given(damage([LIST, b"# list\na 1 1 1\n"]) | st.just(LIST), maybe_damaged_pictures,
       damage([trimap()]) | st.just(trimap()) | maybe_damaged_masks, st.sampled_from(["ignore", "foreground"]),
       st.lists(st.integers(0, 6), max_size=2))
def test_petss_lists_pictures_and_trimaps(place: Path, names: bytes, picture: bytes, mask: bytes, border: str,
                                          again: list[int]):
    files = [("annotations/trainval.txt", names), ("annotations/test.txt", b"z 1 1 1\n"),
             ("annotations/trimaps/a.png", mask), ("annotations/trimaps/b.png", trimap())]
    images = [("images/a.jpg", picture), ("images/b.jpg", pictures()[5]), ("images/b.mat", b"")]
    for i in again:  # what is there twice
        (files if i < 4 else images).append((files + images)[i])
    (place / pets.ANNOTATIONS).write_bytes(tar(files))
    (place / pets.IMAGES).write_bytes(tar(images))
    config = prepare_config({"kind": "pets", "border": border})
    found = assert_lawful(lambda: done(pets.read(place, config, "train")), 1)
    ids = [entry.id for entry in found if not (isinstance(entry, Rejection) and entry.what == "file")]
    assert len(set(ids)) == len(ids)
