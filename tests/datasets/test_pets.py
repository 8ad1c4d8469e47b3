"""Oxford-IIIT Pet: the real sample against Pillow and tar alone; every wart again in hand-made archives."""

import collections
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import tasks
from seglib.configs import DownloadConfig
from seglib.datasets import pets, prepare, readers, store, workers
from seglib.datasets.geometry import MODES, Fit
from seglib.datasets.samples import Rejection, Sample, done
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config

CONFIG = {"kind": "pets", "border": "ignore"}
PREPARE = {"image_size": 64, "resize": "stretch", "val_fraction": 0.1, "max_rejected": 0.0}
NETWORK = {"workers": 4, "retries": 1, "timeout": 5.0}


@pytest.fixture(scope="session")
def unpacked(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pets")
    for name in (pets.IMAGES, pets.ANNOTATIONS):
        # The oldest Python that is supported has no filter to give to tarfile's own, and the newest want one.
        archive = mirror / "thor.robots.ox.ac.uk/datasets/pets" / name
        subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


@pytest.fixture
def fetched(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    raw = tmp_path / "raw"
    raw.mkdir()
    config = fetch_config(CONFIG, DownloadConfig(mirror=str(mirror), **NETWORK))
    write_json(raw / readers.SELECTION, pets.fetch(config, raw))
    return raw


def official(unpacked: Path, name: str) -> set[str]:
    return {line.split(" ")[0] for line in (unpacked / "annotations" / f"{name}.txt").read_text().splitlines()}


def test_the_raw_folder_is_the_two_archives(fetched: Path, mirror: Path):
    host = mirror / "thor.robots.ox.ac.uk/datasets/pets"
    assert {path.name for path in fetched.iterdir()} == {"images.tar.gz", "annotations.tar.gz", readers.SELECTION}
    for name in (pets.IMAGES, pets.ANNOTATIONS):
        assert (fetched / name).read_bytes() == (host / name).read_bytes()


def test_the_real_sample_is_read_as_its_lists_say(fetched: Path, unpacked: Path):
    found = {split: list(done(pets.read(fetched, prepare_config(CONFIG), split))) for split in ("train", "test")}
    samples = {split: [entry for entry in entries if isinstance(entry, Sample)] for split, entries in found.items()}
    for split, name in (("train", "trainval"), ("test", "test")):
        assert {sample.id for sample in samples[split]} == official(unpacked, name)
        assert len(samples[split]) == len(official(unpacked, name)) == {"train": 87, "test": 88}[split]
    left_out = [(entry.what, entry.source, entry.reason) for entry in found["train"] if isinstance(entry, Rejection)]
    assert left_out == [
        ("file", "images/Abyssinian_34.jpg", "a picture in neither official list"),  # the GIF
        ("file", "images/Abyssinian_82.jpg", "a picture in neither official list"),
        *(("file", f"images/Abyssinian_{n}.mat", "not a picture") for n in (100, 101, 102))]
    assert len(found["test"]) == 88
    for sample in samples["train"][::9] + samples["test"][::9]:
        with Image.open(unpacked / sample.source) as picture:
            np.testing.assert_array_equal(sample.image_HWC, picture.convert("RGB"))
        trimap = np.asarray(Image.open(unpacked / "annotations/trimaps" / f"{sample.id}.png"))
        np.testing.assert_array_equal(sample.planes_KHW[0], trimap == 1)
        np.testing.assert_array_equal(sample.ignore_HW, trimap == 3)


def test_the_real_rgba_picture_is_laid_over_white(fetched: Path, unpacked: Path):
    sample = next(entry for entry in done(pets.read(fetched, prepare_config(CONFIG), "test"))
                  if entry.id == "Abyssinian_5")
    with Image.open(unpacked / "images/Abyssinian_5.jpg") as picture:
        assert picture.mode == "RGBA"
        pixels = np.asarray(picture).astype(float)
    alpha = pixels[..., 3:] / 255
    np.testing.assert_allclose(sample.image_HWC, pixels[..., :3] * alpha + 255 * (1 - alpha), atol=1)


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=() if mode == "pad" else pytest.mark.slow)
                                  for mode in MODES])
def test_prepared_masks_brought_back_are_nearly_the_trimaps(fetched: Path, unpacked: Path, tmp_path: Path, mode: str,
                                                              monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "FEW", 10)
    out = tmp_path / "out"
    out.mkdir()
    config = prepare_config(CONFIG | PREPARE | {"image_size": 256, "resize": mode})
    contents, info = prepare.prepare(fetched, config, out, processes=2), store.DatasetInfo.read(out)
    assert contents.counts == {"train": 78, "val": 9, "test": 88}
    assert (info.task.name, info.classes, info.label_values) == ("multilabel", ["pet"], [250.0])
    split = store.Split.open(out, "test")
    shares = []
    for row, mask, own in zip(split.index().itertuples(), split.masks, split.own_masks(), strict=True):
        trimap = np.asarray(Image.open(unpacked / "annotations/trimaps" / f"{row.id}.png"))
        np.testing.assert_array_equal(own, (trimap == 1) | (trimap == 3) << 7)
        fit = Fit(mode, (row.height, row.width), (256, 256))
        plane = torch.from_numpy(tasks.get("multilabel").unpack(mask, 1).astype(np.float32))
        found, kept = fit.back(plane)[0].numpy() > 0.5, np.zeros(own.shape, bool)
        kept[fit.source.slices] = True
        expected = (trimap == 1) & kept
        shares.append((found & expected).sum() / (found | expected).sum())
    assert min(shares) > 0.93 and np.mean(shares) > 0.98, (min(shares), np.mean(shares))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def trimap_of(size: tuple[int, int] = (10, 14), inner: int = 1) -> bytes:
    """2 all over, a rectangle of 3 in it, one of `inner` in that."""
    values = np.full(size, 2, np.uint8)
    values[2:9, 3:12] = 3
    values[3:8, 5:10] = inner
    return encoded(Image.fromarray(values))


PICTURE = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)), "JPEG")
ENTRIES = {"images": {f"images/{name}.jpg": PICTURE for name in "abcd"},
           "annotations": {"annotations/trainval.txt": b"a 1 1 1\nb 1 1 1\n",
                           "annotations/test.txt": b"c 1 1 1\nd 1 1 1\n",
                           **{f"annotations/trimaps/{name}.png": trimap_of() for name in "abcd"}}}


def archived(folder: Path, **changes: dict[str, bytes | None]) -> Path:
    """A raw folder with ENTRIES, changed; None takes an entry out."""
    for kind, entries in ENTRIES.items():
        with tarfile.open(folder / f"{kind}.tar.gz", "w:gz") as archive:
            for name, content in (entries | changes.get(kind, {})).items():
                if content is not None:
                    member = tarfile.TarInfo(f"./{name}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


def outcomes(raw: Path, split: str = "train", **config: Any) -> dict[str, Any]:
    """By source: a Sample, or what was left out and why."""
    found = collections.defaultdict(list)
    for entry in done(pets.read(raw, prepare_config(CONFIG | config), split)):
        found[entry.source].append((entry.what, entry.reason) if isinstance(entry, Rejection) else entry)
    assert all(len(entries) == 1 for entries in found.values())
    return {source: entries[0] for source, entries in found.items()}


@pytest.mark.parametrize(("border", "rows", "columns", "ignored"), [
    ("ignore", slice(3, 8), slice(5, 10), 7 * 9 - 5 * 5), ("background", slice(3, 8), slice(5, 10), 0),
    ("foreground", slice(2, 9), slice(3, 12), 0)])
def test_the_border_is_what_is_asked(tmp_path: Path, border: str, rows: slice, columns: slice, ignored: int):
    sample = outcomes(archived(tmp_path), border=border)["images/a.jpg"]
    expected = np.zeros((1, 10, 14), bool)
    expected[0, rows, columns] = True
    np.testing.assert_array_equal(sample.planes_KHW, expected)
    assert (0 if sample.ignore_HW is None else sample.ignore_HW.sum()) == ignored
    assert sample.objects == [(0, (columns.start, rows.start, columns.stop, rows.stop))]


@pytest.mark.parametrize(("picture", "mode"), [
    (Image.new("P", (14, 10)), "GIF"), (Image.new("RGBA", (14, 10), (0, 0, 0, 255)), "PNG"),
    (Image.new("L", (14, 10)), "JPEG"), (Image.new("CMYK", (14, 10), (0, 0, 0, 255)), "JPEG")])
def test_pictures_of_other_kinds_are_read(tmp_path: Path, picture: Image.Image, mode: str):
    raw = archived(tmp_path, images={"images/a.jpg": encoded(picture, mode)})
    sample = outcomes(raw)["images/a.jpg"]
    assert sample.image_HWC.shape == (10, 14, 3)
    assert sample.image_HWC.max() < 5  # black, in each


@pytest.mark.parametrize(("changes", "reason"), [
    ({"images": {"images/a.jpg": PICTURE[:200]}}, "picture cannot be read as a picture: "),
    ({"images": {"images/a.jpg": None}}, "listed, but not in images.tar.gz"),
    ({"annotations": {"annotations/trimaps/a.png": None}}, "it has no trimap"),
    ({"annotations": {"annotations/trimaps/a.png": trimap_of()[:60]}}, "its trimap: picture cannot be read as a pict"),
    ({"annotations": {"annotations/trimaps/a.png": PICTURE}}, "its trimap: its pixels are in mode RGB, expected one"),
    ({"annotations": {"annotations/trimaps/a.png": trimap_of((14, 14))}}, "its mask is 14×14, the picture 14×10"),
    ({"annotations": {"annotations/trimaps/a.png": trimap_of(inner=7)}}, "its mask holds "),
    ({"annotations": {"annotations/trimaps/a.png": trimap_of(inner=2)}}, "its trimap marks no pet"),
])
def test_a_picture_that_cannot_be_used_is_left_out_with_its_reason(tmp_path: Path, changes: dict, reason: str):
    found = outcomes(archived(tmp_path, **changes))
    what, why = found.pop("images/a.jpg")
    assert what == "picture" and why.startswith(reason), why
    assert list(found) == ["images/b.jpg"] and isinstance(found["images/b.jpg"], Sample)


def test_what_stands_in_no_list_is_counted_once(tmp_path: Path):
    strays = {"images/e.jpg": PICTURE, "images/a.mat": b"", "images/._a.jpg": b"", "../f.jpg": b""}
    raw = archived(tmp_path, images=strays,
                   annotations={"annotations/trimaps/e.png": trimap_of(), "annotations/trimaps/._a.png": b"junk"})
    found = outcomes(raw)
    assert {source: entry for source, entry in found.items() if not isinstance(entry, Sample)} == {
        "images/e.jpg": ("file", "a picture in neither official list"), "images/a.mat": ("file", "not a picture"),
        "images/._a.jpg": ("file", "not a picture"), "../f.jpg": ("file", "not a picture")}
    assert {source for source in found if isinstance(found[source], Sample)} == {"images/a.jpg", "images/b.jpg"}
    assert list(outcomes(raw, "test")) == ["images/c.jpg", "images/d.jpg"]


@pytest.mark.parametrize(("changes", "said"), [
    ({"annotations/test.txt": None}, r"annotations.tar.gz has no annotations/test.txt"),
    ({"annotations/test.txt": b"b 1 1 1\na 1 1 1\n"}, "lists 2 pictures both for training and for testing, such as a")])
def test_lists_that_cannot_be_used_are_an_error(tmp_path: Path, changes: dict[str, bytes | None], said: str):
    with pytest.raises(ValueError, match=said):
        outcomes(archived(tmp_path, annotations=changes))


def test_a_damaged_archive_is_an_error(tmp_path: Path):
    path = archived(tmp_path) / pets.IMAGES
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"images.tar.gz is not a whole tar archive"):
        outcomes(tmp_path)


@pytest.mark.parametrize("name", ["images/a.jpg", "annotations/trimaps/a.png", "annotations/trainval.txt"])
def test_a_file_that_is_there_twice_is_a_clear_error(tmp_path: Path, name: str):
    raw = archived(tmp_path)
    with tarfile.open(tmp_path / "twice.tar.gz", "w:gz") as archive:
        kind = name.partition("/")[0]
        for entry, content in [*ENTRIES[kind].items(), (name, ENTRIES[kind][name])]:
            member = tarfile.TarInfo(entry)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (tmp_path / "twice.tar.gz").replace(raw / f"{kind}.tar.gz")
    with pytest.raises(ValueError, match=f"holds {name} twice"):
        outcomes(raw)


def test_a_list_that_is_no_text_is_a_clear_error(tmp_path: Path):
    raw = archived(tmp_path, annotations={"annotations/trainval.txt": b"a\xe9 1 1 1\n"})
    with pytest.raises(ValueError, match="annotations/trainval.txt is not text in UTF-8"):
        outcomes(raw)
