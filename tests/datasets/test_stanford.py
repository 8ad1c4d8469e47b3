"""Stanford Background in both packagings, written here in their real formats; labels read back against NumPy's own."""

import hashlib
import io
import re
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.configs import DownloadConfig
from seglib.datasets import prepare, readers, stanford, store, workers
from seglib.datasets.samples import Rejection, Sample, done
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config

CONFIG = {"kind": "stanford", "source": "original", "unknown": "ignore", "image_size": 16, "resize": "stretch",
          "val_fraction": 0.25, "test_fraction": 0.3, "max_rejected": 0.0}
COURSE = ["sky", "tree", "road", "grass", "water", "building", "mountain", "foreground", "misc"]
PICTURE, LABELS = "images/0000003.jpg", "labels/0000003.regions.txt"
NETWORK = {"workers": 1, "retries": 1, "timeout": 5.0}


def scene(seed: int, size: tuple[int, int] = (24, 32)) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) and its classes (H, W), -1 to 7."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (*size, 3), np.uint8), random.integers(-1, 8, size)


def jpeg(image_HWC: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "JPEG")
    return file.getvalue()


def regions(ids_HW: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savetxt(file, ids_HW, fmt="%d")
    return file.getvalue()


def original(folder: Path, count: int = 20, changed: dict[str, bytes | None] | None = None) -> Path:
    """A tarball as the authors': `count` pictures and what stands beside them; `changed` has other content, or none."""
    files: dict[str, bytes | None] = {"horizons.txt": b"0000000 32 24 12\n"}
    for i in range(count):
        image_HWC, ids_HW = scene(i)
        files |= {f"images/{i:07d}.jpg": jpeg(image_HWC), f"labels/{i:07d}.regions.txt": regions(ids_HW),
                  f"labels/{i:07d}.surfaces.txt": regions(ids_HW % 3), f"labels/{i:07d}.layers.txt": regions(ids_HW),
                  f"images/._{i:07d}.jpg": b"what macOS adds"}
    files |= changed or {}
    path = folder / "iccv09Data.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            if content is not None:
                entry = tarfile.TarInfo(f"iccv09Data/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


def course(folder: Path, counts: dict[str, int], *, names: list[str] | None = COURSE, palette: bool = False) -> Path:
    """The course's folder: number i of all pictures is `scene(i)`, unknown by the id of "misc"."""
    number = 0
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        for _ in range(count):
            image_HWC, ids_HW = scene(number)
            (folder / split / f"img_{number:04d}.jpg").write_bytes(jpeg(image_HWC))
            order = [(names or COURSE).index(name) for name in COURSE]
            label = Image.fromarray(np.array(order, np.uint8)[ids_HW])  # -1 is the last one, "misc"
            if palette:
                label.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
            label.save(folder / split / f"img_{number:04d}.png")
            number += 1
    if names:
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


def fetched(source: Path | str, out: Path, download: DownloadConfig | None = None) -> Path:
    out.mkdir()
    write_json(out / readers.SELECTION, stanford.fetch(fetch_config(CONFIG | {"source": str(source)}, download), out))
    return out


def entries(raw: Path, split: str | None = None, **changed: str) -> list[Sample | Rejection]:
    splits = [split] if split else stanford.SPLITS
    return [entry for name in splits for entry in done(stanford.read(raw, prepare_config(CONFIG | changed), name))]


def assert_is_scene(sample: Sample, number: int) -> None:
    image_HWC, ids_HW = scene(number)
    with Image.open(io.BytesIO(jpeg(image_HWC))) as decoded:
        np.testing.assert_array_equal(sample.image_HWC, np.asarray(decoded))
    np.testing.assert_array_equal(np.where(sample.ignore_HW, -1, sample.planes_KHW.argmax(0)), ids_HW)
    assert sample.planes_KHW.shape == (8, 24, 32)
    np.testing.assert_array_equal(sample.planes_KHW.sum(0), ids_HW >= 0)  # of the others, each in one class


@pytest.mark.parametrize("form", ["tarball", "unpacked", "mirror"])
def test_the_original_comes_from_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path, download = original(tmp_path), None
    if form == "unpacked":
        subprocess.run(["tar", "-xf", path, "-C", tmp_path], check=True)
        path = tmp_path / "iccv09Data"
    if form == "mirror":
        place = tmp_path / "mirror/dags.stanford.edu/data/iccv09Data.tar.gz"
        place.parent.mkdir(parents=True)
        path.rename(place)
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
        (tmp_path / "mirror/SHA256SUMS").write_text(f"{digest}  dags.stanford.edu/data/iccv09Data.tar.gz\n")
        path, download = "original", DownloadConfig(mirror=str(tmp_path / "mirror"), **NETWORK)
    raw = fetched(path, tmp_path / "raw", download)
    names = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file()}
    assert names == {readers.SELECTION} | {name for i in range(20) for name in
                                           (f"images/{i:07d}.jpg", f"labels/{i:07d}.regions.txt")}
    found = entries(raw)
    assert sorted(sample.id for sample in found) == [f"{i:07d}" for i in range(20)]
    for sample in found:
        assert_is_scene(sample, int(sample.id))


def test_the_originals_split_is_a_matter_of_each_name(tmp_path: Path):
    few, more = (fetched(original(tmp_path, count), tmp_path / f"raw{count}") for count in (20, 200))
    split_of = [{entry.id: split for split in stanford.SPLITS for entry in entries(raw, split)} for raw in (few, more)]
    assert split_of[0].items() <= split_of[1].items()
    counts = [list(split_of[1].values()).count(split) for split in stanford.SPLITS]
    # 200 draws: test .3, val a quarter of the rest. Three standard deviations about the mean.
    for found, share in zip(counts, (0.525, 0.175, 0.3), strict=True):
        assert abs(found - 200 * share) < 3 * (200 * share * (1 - share)) ** 0.5


def test_a_tarball_with_two_pictures_of_one_name_is_refused(tmp_path: Path):
    path = original(tmp_path, 4, {f"old/{PICTURE}": jpeg(scene(9)[0])})
    with pytest.raises(ValueError, match=f"holds iccv09Data/{PICTURE} and iccv09Data/old/{PICTURE}, expected one"):
        fetched(path, tmp_path / "raw")


@pytest.mark.parametrize(("changed", "what", "said"), [
    ({LABELS: None}, "picture", "a picture without labels"),
    ({PICTURE: None}, "file", "labels without a picture"),
    ({LABELS: regions(scene(3)[1].T)}, "picture", "its mask is 24×32, the picture 32×24"),
    ({LABELS: regions(scene(3)[1])[:100]}, "picture", "no matrix of integers"),
    ({LABELS: b"0 1 sky\n" * 24}, "picture", "no matrix of integers: .*'sky'"),
    ({LABELS: b"0.5 1\n" * 24}, "picture", "no matrix of integers"),
    ({LABELS: b"9" * 30}, "picture", "no matrix of integers"),
    ({LABELS: regions(scene(3)[1]).replace(b"7", b"0_7")}, "picture", "no matrix of integers: it holds '_7'"),
    ({LABELS: regions(scene(3)[1]).replace(b"\n", b"\f", 1)}, "picture", "no matrix of integers: it holds"),
    ({LABELS: regions(scene(3)[1])[:-5]}, "picture", "no matrix of integers"),
    ({LABELS: regions(scene(3)[1]) + b"0\n"}, "picture", "no matrix of integers"),
    ({LABELS: regions(scene(3)[1][1:])}, "picture", "its mask is 32×23, the picture 32×24"),
    ({LABELS: b"\xff\xfe\x00"}, "picture", "no matrix of integers"),
    ({LABELS: b""}, "picture", "no matrix of integers: the file is empty"),
    ({LABELS: regions(scene(3)[1] + 2)}, "picture", "neither a class nor ignored: 8, 9"),
    ({PICTURE: jpeg(scene(3)[0])[:400]}, "picture", "cannot be read as a picture"),
])
def test_what_is_damaged_is_one_rejection(tmp_path: Path, changed: dict, what: str, said: str):
    found = entries(fetched(original(tmp_path, 6, changed), tmp_path / "raw"))
    (rejection,) = [entry for entry in found if isinstance(entry, Rejection)]
    assert (rejection.id, rejection.what) == ("0000003", what)
    assert re.search(said, rejection.reason)
    assert len(found) == 6


@pytest.mark.parametrize("names", [COURSE, ["misc", *COURSE[:-1]], None])
@pytest.mark.parametrize("palette", [False, True])
def test_the_courses_folder_brings_its_splits_and_its_names(tmp_path: Path, names: list[str] | None, palette: bool):
    raw = fetched(course(tmp_path / "sbd", {"train": 3, "val": 2, "test": 1}, names=names, palette=palette),
                  tmp_path / "raw")
    for split, numbers in (("train", [0, 1, 2]), ("val", [3, 4]), ("test", [5])):
        found = entries(raw, split)
        assert [sample.id for sample in found] == [f"img_{number:04d}" for number in numbers]
        for sample, number in zip(found, numbers, strict=True):
            assert_is_scene(sample, number)


@pytest.mark.parametrize("packaging", ["original", "course", "course with both names"])
def test_unknown_pixels_may_be_a_ninth_class(tmp_path: Path, packaging: str):
    if packaging == "original":
        folder = original(tmp_path, 3)
    else:
        folder = course(tmp_path / "sbd", {"train": 1, "val": 1, "test": 1})
    if packaging == "course with both names":
        (folder / "classes.txt").write_text("\n".join([*COURSE, "unknown"]))
        label = Image.open(folder / "train/img_0000.png")
        ids_HW = np.asarray(label).copy()
        ids_HW[:12][ids_HW[:12] == 8] = 9
        Image.fromarray(ids_HW).save(folder / "train/img_0000.png")
    raw = fetched(folder, tmp_path / "raw")
    found = entries(raw, unknown="class")
    assert len(found) == 3
    for sample in found:
        ids_HW = scene(int(sample.id.removeprefix("img_")))[1]
        np.testing.assert_array_equal(sample.planes_KHW.argmax(0), np.where(ids_HW == -1, 8, ids_HW))
        assert (sample.planes_KHW.sum(0) == 1).all() and sample.ignore_HW is None


def test_nine_classes_are_described_and_prepared(tmp_path: Path):
    raw, out = fetched(original(tmp_path), tmp_path / "raw"), tmp_path / "out"
    out.mkdir()
    prepare.prepare(raw, prepare_config(CONFIG | {"unknown": "class"}), out)
    assert store.DatasetInfo.read(out).classes == COURSE
    split = store.Split.open(out, "test")
    for i, row in enumerate(split.index().itertuples()):
        ids_HW = scene(int(row.id))[1]
        expected = Image.fromarray(np.where(ids_HW == -1, 8, ids_HW).astype(np.uint8))
        np.testing.assert_array_equal(split.masks[i], np.asarray(expected.resize((16, 16), Image.Resampling.NEAREST)))


def test_an_id_beyond_the_courses_nine_is_left_out(tmp_path: Path):
    raw = fetched(course(tmp_path / "sbd", {"train": 2, "val": 1, "test": 1}), tmp_path / "raw")
    Image.fromarray(np.full((24, 32), 9, np.uint8)).save(raw / "train/img_0001.png")
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(raw / "val/img_0002.png")
    _, unknown, in_colour, _ = entries(raw)
    assert unknown.reason == "its mask holds ids that are neither a class nor ignored: 9"
    assert "mode RGB" in in_colour.reason


@pytest.mark.parametrize(("names", "said"), [
    ("\n".join(COURSE[:-2]).encode(), "expected sky, tree"), ("\n".join([*COURSE, "sea"]).encode(), "misc, sea;"),
    ("\n".join([*COURSE, "sky"]).encode(), "once each"), (b"sk\xff", "classes.txt is not text in UTF-8")])
def test_classes_of_another_dataset_are_refused(tmp_path: Path, names: bytes, said: str):
    folder = course(tmp_path / "sbd", {"train": 1, "val": 1, "test": 1})
    (folder / "classes.txt").write_bytes(names)
    with pytest.raises(ValueError, match=said):
        fetched(folder, tmp_path / "raw")


def test_a_source_that_is_neither_packaging_is_a_clear_error(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for source in ("nowhere", tmp_path / "empty"):
        with pytest.raises(ValueError, match="expected original, or the path of"):
            stanford.fetch(fetch_config(CONFIG | {"source": str(source)}), tmp_path)
    folder = course(tmp_path / "sbd", {"train": 1, "val": 1, "test": 1})
    (folder / "test/img_0002.png").unlink()
    with pytest.raises(ValueError, match="test holds no labels"):
        fetched(folder, tmp_path / "raw")
    whole = original(tmp_path).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is not a whole tar archive"):
        fetched(tmp_path / "cut.tar.gz", tmp_path / "raw2")


@pytest.mark.parametrize("processes", [1, 2])
def test_prepared_masks_hold_class_ids_and_255(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int):
    monkeypatch.setattr(workers, "FEW", 0)
    raw = fetched(original(tmp_path), tmp_path / "raw")
    out = tmp_path / "out"
    out.mkdir()
    contents = prepare.prepare(raw, prepare_config(CONFIG), out, processes=processes)
    info = store.DatasetInfo.read(out)
    assert (info.task.name, info.classes, sum(contents.counts.values())) == ("multiclass", COURSE[:-1], 20)
    split = store.Split.open(out, "test")
    for i, row in enumerate(split.index().itertuples()):
        ids_HW = scene(int(row.id))[1].astype(np.int8)
        expected = Image.fromarray(ids_HW.view(np.uint8)).resize((16, 16), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(split.masks[i], np.asarray(expected))  # -1 is 255


def test_a_name_that_two_files_have_is_left_out(tmp_path: Path):
    raw = fetched(course(tmp_path / "sbd", {"train": 2, "val": 1, "test": 1}), tmp_path / "raw")
    (raw / "train/img_0000.JPG").write_bytes(jpeg(scene(7)[0]))
    found = entries(raw, "train")
    assert [(entry.id, isinstance(entry, Sample)) for entry in found] == [("img_0000", False), ("img_0001", True)]
    assert found[0].reason == "several files have its name"
