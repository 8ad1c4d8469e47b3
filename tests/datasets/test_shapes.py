"""Shapes: generated in the course's format, read back by the course's own way of reading, packed without loss."""

import gzip
import hashlib
import io
import math
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib import tasks
from seglib.datasets import prepare, readers, shapes, shapes_generator, store
from seglib.datasets.samples import Rejection, Sample
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config

CONFIG = {"kind": "shapes", "source": "generated", "train_images": 6, "test_images": 3, "seed": 11,
          "background": "varied"}
TRAIN, TEST = "PurdueShapes5MultiObject-6-train.gz", "PurdueShapes5MultiObject-3-test.gz"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    shapes.fetch(fetch_config(CONFIG), folder)
    return folder


def course_dataset(path: Path) -> dict[int, list]:
    """As the course's loader reads it: gzip, then pickle with latin-1."""
    with gzip.open(path) as file:
        dataset, label_map = pickle.loads(file.read(), encoding="latin1")
    assert label_map == {"rectangle": 50, "triangle": 100, "disk": 150, "oval": 200, "star": 250}
    return dataset


def test_the_courses_loader_reads_our_files(raw: Path):
    dataset = course_dataset(raw / TRAIN)
    assert len(dataset) == 6
    for i in range(6):
        red, green, blue, masks, boxes = dataset[i]
        assert all(len(channel) == 4096 and {type(value) for value in channel} == {int}
                   and min(channel) >= 0 and max(channel) <= 255 for channel in (red, green, blue))
        assert isinstance(masks, np.ndarray) and masks.dtype == np.uint8 and masks.shape == (5, 64, 64)
        assert sorted(boxes) == [0, 1, 2, 3, 4]
        assert 1 <= sum(map(len, boxes.values())) <= 5
        for k in range(5):
            assert set(np.unique(masks[k])) <= {0, 50 * (k + 1)}
            assert bool(masks[k].any()) == bool(boxes[k])
            rows, columns = masks[k].nonzero()
            if len(boxes[k]):
                around = np.array(boxes[k])
                assert [columns.min(), rows.min()] == around[:, :2].min(0).tolist()
                assert [columns.max(), rows.max()] == around[:, 2:].max(0).tolist()


def test_the_same_bytes_everywhere(raw: Path):
    # Computed once and written down: another machine, Python or zlib must come to the same.
    names = (TRAIN, TEST, shapes.instances_file(raw / TRAIN).name)
    found = [hashlib.sha256((raw / name).read_bytes()).hexdigest() for name in names]
    assert found == ["d70a9fca9645bf3fb33a8d92fe77dda1fe95ddf886a7b5f27511c7d4eef03a58",
                     "77ad8e5a1772f7eeb350dd3911f3a74654000008b2f8b37c6affc8b9939c13b0",
                     "3bfc6323507721cdfda7f885be92b7f75fd34b5e4d647dd93f5114a67317bc16"]


def test_the_cosine_table_has_no_value_near_a_rounding_edge():
    # So that no processor's cosine, right to the last place or not, rounds to another integer.
    for degree in range(360):
        assert abs((math.cos(math.radians(degree)) * 2**14) % 1 - 0.5) > 1e-4


def test_train_and_test_share_no_picture(raw: Path):
    pictures = [tuple(entry[0]) for path in (raw / TRAIN, raw / TEST) for entry in course_dataset(path).values()]
    assert len(set(pictures)) == 9


def test_reading_gives_the_pictures_and_planes_of_the_file(raw: Path):
    dataset = course_dataset(raw / TRAIN)
    samples = list(shapes.read(raw, prepare_config(CONFIG), "train"))
    assert [sample.id for sample in samples] == [f"train-{i:05d}" for i in range(6)]
    for i, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.image_HWC[..., 1].ravel(), dataset[i][1])
        np.testing.assert_array_equal(sample.planes_KHW, dataset[i][3] > 0)
        assert all(0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 64 for _, (x0, y0, x1, y1) in sample.objects)


def rewrite(path: Path, change: Any) -> None:
    with gzip.open(path) as file:
        content = pickle.load(file)
    change(content[0])
    with gzip.open(path, "wb") as file:
        pickle.dump(content, file, protocol=2)


def test_boxes_by_label_value_are_read_too(raw: Path):
    expected = next(shapes.read(raw, prepare_config(CONFIG), "train")).objects

    def by_label(dataset: dict) -> None:
        dataset[0][4] = {50 * (k + 1): boxes for k, boxes in dataset[0][4].items()}
    rewrite(raw / TRAIN, by_label)
    assert next(shapes.read(raw, prepare_config(CONFIG), "train")).objects == expected


@pytest.mark.parametrize("damage", [
    lambda entry: entry[0].pop(), lambda entry: entry[1].__setitem__(0, 256), lambda entry: entry.pop(),
    lambda entry: entry.__setitem__(3, entry[3][:4]), lambda entry: entry.__setitem__(4, {7: [[0, 0, 1, 1]]}),
    lambda entry: entry.__setitem__(2, "text"), lambda entry: entry.__setitem__(3, entry[3] * np.nan),
    lambda entry: entry.__setitem__(3, entry[3] // 2), lambda entry: entry.__setitem__(3, np.roll(entry[3], 1, 0)),
    lambda entry: entry.__setitem__(3, entry[3] > 0), lambda entry: entry.__setitem__(3, [[1], [2, 3]]),
    lambda entry: entry.__setitem__(4, {50: [[0, 0, 1, float("nan")]]}), lambda entry: entry[2].append(0),
])
def test_a_damaged_entry_is_left_out_and_counted(raw: Path, damage: Any):
    rewrite(raw / TRAIN, lambda dataset: damage(dataset[2]))
    found = list(shapes.read(raw, prepare_config(CONFIG), "train"))
    assert [type(entry) for entry in found] == [Sample, Sample, Rejection, Sample, Sample, Sample]
    assert found[2].reason.startswith("not in the format")


OTHER_FORMATS = {"empty": b"", "no gzip": b"no gzip", "no pickle": gzip.compress(b"no pickle"),
                 "a number": gzip.compress(pickle.dumps(1)),
                 "no entries": gzip.compress(pickle.dumps(([], {"disk": 1}))),
                 "an array for a label": gzip.compress(pickle.dumps(([], {"disk": np.zeros(9)}))),
                 "an array for the labels": gzip.compress(pickle.dumps(([], np.zeros(9)))),
                 "a megabyte for a label": gzip.compress(pickle.dumps(([], {"disk": "x" * 10**6})))}


@pytest.mark.parametrize("content", OTHER_FORMATS.values(), ids=OTHER_FORMATS)
def test_a_file_in_another_format_is_a_clear_error(raw: Path, content: bytes):
    (raw / TRAIN).write_bytes(content)
    with pytest.raises(ValueError, match=TRAIN + "|plain numbers") as error:
        list(shapes.read(raw, prepare_config(CONFIG), "train"))
    assert len(str(error.value)) < 1000


def tarball(folder: Path, raw: Path) -> Path:
    path = folder / "datasets.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in (TRAIN, TEST):
            archive.add(raw / name, f"data/{name}")
        evil = tarfile.TarInfo("../../evil")
        evil.size = 4
        archive.addfile(evil, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize("kind", ["tarball", "folder"])
def test_the_courses_own_files_are_taken_from_where_they_are(tmp_path: Path, raw: Path, kind: str):
    source = tarball(tmp_path, raw) if kind == "tarball" else raw
    out = tmp_path / "out"
    out.mkdir()
    shapes.fetch(fetch_config(CONFIG | {"source": str(source)}), out)
    assert {path.name for path in out.iterdir()} == {TRAIN, TEST}
    assert (out / TRAIN).read_bytes() == (raw / TRAIN).read_bytes()
    assert (raw / TRAIN).stat().st_nlink == 1  # where DVC's cache links, it would become read-only


def test_a_tarball_with_two_files_of_one_name_is_refused(tmp_path: Path, raw: Path):
    with tarfile.open(tmp_path / "twice.tar.gz", "w:gz") as archive:
        for name in (f"data/{TRAIN}", f"data/{TEST}", f"old/{TEST}"):
            archive.add(raw / Path(name).name, name)
    with pytest.raises(ValueError, match=f"twice.tar.gz holds data/{TEST} and old/{TEST}, expected one {TEST}"):
        shapes.fetch(fetch_config(CONFIG | {"source": str(tmp_path / "twice.tar.gz")}), tmp_path)


@pytest.mark.parametrize("kind", ["tarball", "folder"])
def test_counts_that_are_not_there_name_those_that_are(tmp_path: Path, raw: Path, kind: str):
    source = tarball(tmp_path, raw) if kind == "tarball" else raw
    with pytest.raises(ValueError, match=f"has no PurdueShapes5MultiObject-10000-train.gz; there: .*{TRAIN}"):
        shapes.fetch(fetch_config(CONFIG | {"source": str(source), "train_images": 10000}), tmp_path)


def test_a_source_that_is_nothing_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ValueError, match="expected generated, purdue, or the path"):
        shapes.fetch(fetch_config(CONFIG | {"source": "nowhere"}), tmp_path)


def prepared(raw: Path, out: Path, **overrides: Any) -> store.Contents:
    write_json(raw / readers.SELECTION, {})
    out.mkdir()
    return prepare.prepare(raw, prepare_config(CONFIG | {"val_fraction": 0.3} | overrides), out)


def test_val_is_the_lowest_hashes_of_train(raw: Path, tmp_path: Path):
    contents = prepared(raw, tmp_path / "out")
    assert contents.counts == {"train": 4, "val": 2, "test": 3}  # ceil(0.3 · 6) = 2
    ids = [f"train-{i:05d}" for i in range(6)]
    lowest = sorted(ids, key=lambda i: hashlib.sha256(i.encode()).hexdigest())[:2]
    assert store.Split.open(tmp_path / "out", "val").index()["id"].to_list() == sorted(lowest)
    train = store.Split.open(tmp_path / "out", "train")
    assert train.index()["id"].to_list() == sorted(set(ids) - set(lowest))
    row = train.index().iloc[0]
    entry = course_dataset(raw / TRAIN)[int(row["id"].split("-")[1])]
    np.testing.assert_array_equal(tasks.get("multilabel").unpack(train.masks[0], 5), entry[3] > 0)
    assert row["areas"].tolist() == (entry[3] > 0).sum((1, 2)).tolist()


def test_prepared_bytes_stay_the_same(raw: Path, tmp_path: Path):
    # Computed once and written down: no other change of the code may change them.
    contents = prepared(raw, tmp_path / "out")
    assert {name: digest for name, digest in contents.files.items() if name.endswith(".npy")} == {
        "test/images.npy": "8b49b8e515ecbfe0c3a35e45d41138903e28a11a72a40ee2e07c3ad8523931f1",
        "test/masks.npy": "bc0c7532a56e74cf01513190754b98556490a3fe64460686ec8c462a5546d23f",
        "train/images.npy": "790990fbdb01bc25f9f7adbddcc4c7dd4548494ac030c94045beeb2d12ddb10b",
        "train/masks.npy": "f8b1dbdf3775c39179ab7f3cb09a83aa3a765d25631cb4b8fe7b7f106f3f4e87",
        "val/images.npy": "b8a46546a4af9a6bc80cc0de90831bdd9abd705780b0f1a8ed05bd4a80ab3a87",
        "val/masks.npy": "bde88f9c0ca1c5702a0880cc2641a4270ac45ee0a30b277cacc72cfdedef128c"}
    assert {Path(name).name for name in contents.files} == {"images.npy", "masks.npy", "index.parquet"}
    assert store.DatasetInfo.read(tmp_path / "out").resize == "stretch"


def test_too_many_rejections_stop_the_stage(raw: Path, tmp_path: Path):
    rewrite(raw / TRAIN, lambda dataset: dataset[0].pop())
    with pytest.raises(ValueError, match=r"1 of 9 pictures cannot be used, more than prepare.max_rejected \(0\)"):
        prepared(raw, tmp_path / "out")
    contents = prepared(raw, tmp_path / "out2", max_rejected=0.2)
    assert sum(contents.counts.values()) == 8
    assert "train,picture,train-00000" in (tmp_path / "out2" / "rejected.csv").read_text()


def test_an_output_of_zeros_has_the_error_that_the_sources_losses_ask_for():
    """The published network cannot go below about .73 of it, and the sources print 350: so it is at most about 490."""
    squares = np.zeros(5)
    for i in range(1000):
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([7, 0, i])))
        squares += np.square(shapes_generator.picture(random, "dark").planes.astype(float)).mean((1, 2))
    assert 460 <= squares.sum() / 5 / 1000 <= 490


def test_instances_tell_objects_of_one_class_apart(raw: Path):
    with gzip.open(shapes.instances_file(raw / TRAIN)) as file:
        instances = pickle.load(file)
    for i, (_, _, _, planes, boxes) in course_dataset(raw / TRAIN).items():
        classes, numbers = instances[i]
        assert numbers.dtype == np.uint8 and numbers.shape == (64, 64)
        assert [classes.count(k) for k in range(5)] == [len(boxes[k]) for k in range(5)]
        np.testing.assert_array_equal(numbers > 0, (planes > 0).any(0))
        drawn = {k: iter(boxes[k]) for k in range(5)}
        for number, k in enumerate(classes, 1):
            rows, columns = (numbers == number).nonzero()
            left, top, right, bottom = next(drawn[k])
            assert (planes[k][numbers == number] > 0).all()
            assert left <= columns.min() and columns.max() <= right and top <= rows.min() and rows.max() <= bottom


def test_speckle_is_what_turning_without_interpolation_leaves():
    """A turn by a multiple of 90 degrees hits every pixel. One by 45 degrees is compared with floating point."""
    assert all(shapes_generator._hit(degree).all() for degree in (0, 90, 180, 270))
    turned = {(round(math.cos(math.radians(45)) * (x - y)), round(math.sin(math.radians(45)) * (x + y)))
              for x in range(-64, 64) for y in range(-64, 64)}
    expected = np.array([[(column - 32, row - 32) in turned for column in range(64)] for row in range(64)])
    assert (shapes_generator._hit(45) == expected).mean() > 0.99  # the table of cosines rounds a few points elsewhere


def test_objects_keep_enough_of_themselves_in_sight():
    for i in range(50):
        random = np.random.Generator(np.random.PCG64(i))
        above = np.zeros((64, 64), bool)
        for _, plane, _ in reversed(shapes_generator._objects(random)):
            assert (plane & ~above).sum() >= shapes_generator.MIN_VISIBLE * plane.sum()
            above |= plane


# What a pickle of a few bytes can hold (tests/datasets/test_unpickle.py): lists that nobody may print, compare or make
# an array of.
LAUGHS: list = ["ha"]
for _ in range(60):
    LAUGHS = [LAUGHS] * 10
DEEP: list = []
for _ in range(50_000):
    DEEP = [DEEP]


def hold(monkeypatch: pytest.MonkeyPatch, content: Any) -> None:
    """Has the file hold this, whatever stands in it."""
    monkeypatch.setattr(shapes, "load_numbers", lambda file, most_memory: content)


@pytest.mark.parametrize("labels", [LAUGHS, DEEP, {"rectangle": LAUGHS}, {"rectangle": DEEP}, {"rectangle": np.ones(2)},
                                    shapes.LABELS | {"star": LAUGHS}], ids=range(6))
def test_labels_that_cannot_be_printed_are_refused_in_one_line(raw: Path, monkeypatch: pytest.MonkeyPatch, labels: Any):
    hold(monkeypatch, ({}, labels))
    with pytest.raises(ValueError, match="has labels .*, expected") as error:
        list(shapes.read(raw, prepare_config(CONFIG), "train"))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("odd", [LAUGHS, DEEP, None, "text", 2**70, {}], ids=range(6))
@pytest.mark.parametrize("part", range(5))
def test_a_picture_of_anything_else_is_left_out_and_the_others_read(raw: Path, monkeypatch: pytest.MonkeyPatch,
                                                                    part: int, odd: Any):
    entry = next(iter(course_dataset(raw / TRAIN).values()))
    odd_entry = [*entry[:part], {0: odd} if part == 4 else odd, *entry[part + 1:]]
    hold(monkeypatch, ({0: odd_entry, 1: entry}, shapes.LABELS))
    first, second = shapes.read(raw, prepare_config(CONFIG), "train")
    assert isinstance(second, Sample)
    assert isinstance(first, Sample if odd == {} and part == 4 else Rejection)


def test_a_file_that_would_take_more_memory_than_its_pictures_need_is_refused(raw: Path):
    with gzip.open(raw / TRAIN, "wb", 1) as file:
        file.write(b"(" + b"]" * 10**6)
    with pytest.raises(ValueError, match="it may take more than .* MB of memory"):
        list(shapes.read(raw, prepare_config(CONFIG), "train"))
