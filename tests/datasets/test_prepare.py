"""The road from a reader's samples to the prepared files, with a reader that gives hand-made pictures."""

import csv
import functools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib import params, resolve, tasks
from seglib.configs import PrepareConfig
from seglib.datasets import prepare, readers, store, workers
from seglib.datasets.samples import Description, Entry, Job, Rejection, Sample
from seglib.files import write_json
from seglib.registry import LazyEntry
from tests.conftest import ROOT, prepare_config

CLASSES = ["left", "right"]
SETTINGS = {"kind": "made", "resize": "stretch", "val_fraction": 0.5, "max_rejected": 0.5}


def sample(identifier: str, height: int, width: int, **changes: Any) -> Sample:
    """A picture whose left half is of the first class, and whose right half is of the second."""
    planes_KHW = np.zeros((2, height, width), bool)
    planes_KHW[0, :, : width // 2] = True
    planes_KHW[1, :, width // 2:] = True
    image_HWC = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    boxes = [(0, (0.0, 0.0, width // 2, height)), (1, (width // 2, 0.0, width, height))]
    return Sample(**{"id": identifier, "source": f"{identifier}.png", "image_HWC": image_HWC, "planes_KHW": planes_KHW,
                     "objects": boxes, "licence": "none"} | changes)


Made = Callable[..., tuple[Path, store.DatasetInfo]]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Prepares what is given for each split; `task` and the settings of SETTINGS can be chosen."""
    def prepare_samples(splits: dict[str, list[Entry | Job]], task: str = "multilabel", size: int = 8,
                        name: str = "out", processes: int | None = None,
                        **settings: Any) -> tuple[Path, store.DatasetInfo]:
        def read(raw: Path, config: PrepareConfig, split: str) -> Iterator[Entry | Job]:
            return iter(splits[split])
        description = Description(task=tasks.get(task), classes=CLASSES, label_values=[1.0, 2.0],
                                  image_size=(size, size), splits=tuple(splits))
        reader = types.ModuleType("made")
        reader.describe, reader.read = lambda config: description, read
        monkeypatch.setitem(sys.modules, "made", reader)
        monkeypatch.setitem(readers.KINDS, "made", LazyEntry("made"))
        out = tmp_path / name
        out.mkdir()
        write_json(tmp_path / readers.SELECTION, {})
        prepare.prepare(tmp_path, prepare_config(SETTINGS | settings), out, processes=processes)
        return out, store.DatasetInfo.read(out)
    return prepare_samples


def rejected(out: Path) -> list[tuple[str, ...]]:
    with (out / "rejected.csv").open() as file:
        return [(row["split"], row["what"], row["id"], row["reason"]) for row in csv.DictReader(file)]


def test_a_val_split_of_the_readers_own_is_kept(made: Made):
    out, info = made({"train": [sample("a", 8, 8), sample("b", 8, 8)], "val": [sample("c", 8, 8)],
                      "test": [sample("d", 8, 8)]})
    assert store.Contents.read(out).counts == {"train": 2, "val": 1, "test": 1}
    assert [store.Split.open(out, split).index()["id"].to_list() for split in store.SPLITS] == [
        ["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_padding_and_unlabelled_pixels_are_ignored(made: Made, task: str):
    unlabelled = np.zeros((4, 8), bool)
    unlabelled[0, 0] = True
    train = [sample("a", 4, 8, ignore_HW=unlabelled), sample("b", 4, 8), sample("c", 8, 8)]
    out, info = made({"train": train, "val": [sample("d", 8, 4)], "test": [sample("e", 8, 8)]}, task, resize="pad")
    assert info.resize == "pad"
    split = store.Split.open(out, "train")
    ignored = tasks.get(task).ignored(split.masks)
    frame = np.ones((8, 8), bool)
    frame[2:6] = False
    np.testing.assert_array_equal(ignored[1], frame)
    frame[2, 0] = True
    np.testing.assert_array_equal(ignored[0], frame)
    assert not ignored[2].any()
    np.testing.assert_array_equal(tasks.get(task).unpack(split.masks[2], 2), sample("c", 8, 8).planes_KHW)
    assert info.class_pixels == [15 + 16 + 32, 16 + 16 + 32]
    assert info.valid_pixels == 31 + 32 + 64
    assert split.index()["boxes"].iat[1].tolist()[1].tolist() == [4, 2, 8, 6]


def test_pixels_are_counted_after_val_is_carved(made: Made):
    out, info = made({"train": [sample(name, 8, 8) for name in "abcd"], "test": [sample("e", 8, 8)]})
    assert store.Contents.read(out).counts == {"train": 2, "val": 2, "test": 1}
    assert (info.class_pixels, info.valid_pixels) == ([64, 64], 128)


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_own_masks_are_those_of_the_reader(made: Made, task: str):
    unlabelled = np.random.default_rng(0).random((5, 9)) < 0.3
    train = [sample(name, 6 + i, 7, ignore_HW=None) for i, name in enumerate("abcdef")]
    test = [sample("g", 8, 8), sample("h", 5, 9, ignore_HW=unlabelled)]
    out, info = made({"train": train, "test": test}, task, resize="crop")
    given = {s.id: s for s in train + test}
    for name in ("val", "test"):
        split = store.Split.open(out, name)
        own = list(split.own_masks())
        assert len(own) == store.Contents.read(out).counts[name] > 1
        for identifier, mask_HW in zip(split.index()["id"], own, strict=True):
            planes_KHW, ignore_HW = given[identifier].planes_KHW, given[identifier].ignore_HW
            ignore_HW = np.zeros(mask_HW.shape, bool) if ignore_HW is None else ignore_HW
            np.testing.assert_array_equal(tasks.get(task).ignored(mask_HW), ignore_HW)
            found = tasks.get(task).unpack(mask_HW, 2)
            np.testing.assert_array_equal(found & ~ignore_HW, planes_KHW & ~ignore_HW)
    assert not store.Split.open(out, "train").has_own_masks()
    files = store.Contents.read(out).files
    assert {name for name in files if name.endswith("own.parquet")} == {"val/own.parquet", "test/own.parquet"}


def test_own_masks_of_the_networks_size_are_not_written_twice(made: Made):
    out, info = made({"train": [sample("a", 8, 8), sample("b", 5, 5)], "val": [sample("c", 8, 8)],
                      "test": [sample("d", 8, 9)]})
    assert {name for name in store.Contents.read(out).files if name.endswith("own.parquet")} == {"test/own.parquet"}


def vanishing() -> Sample:
    speck = np.zeros((2, 80, 80), bool)
    speck[0, 0, 0] = True  # of 80 pixels, 8 take those numbered 5, 15, 25 …
    return sample("v", 80, 80, planes_KHW=speck, objects=[(0, (0, 0, 1, 1))])


def test_a_picture_whose_objects_all_vanish_is_left_out_and_counted(made: Made):
    empty = sample("e", 80, 80, planes_KHW=np.zeros((2, 80, 80), bool), objects=[])  # had none to lose
    out, info = made({"train": [vanishing(), empty], "val": [sample("c", 8, 8)], "test": [sample("d", 8, 8)]},
                     allow=["empty_masks"])
    assert store.Contents.read(out).counts == {"train": 1, "val": 1, "test": 1}
    assert rejected(out) == [("train", "picture", "v", "nothing of its objects is left at 8×8")]


def test_pictures_whose_objects_vanish_count_as_unusable(made: Made):
    with pytest.raises(ValueError, match=r"1 of 4 pictures .*max_rejected \(0.2\) allows: v.png: nothing"):
        made({"train": [vanishing(), sample("a", 8, 8)], "val": [sample("c", 8, 8)], "test": [sample("d", 8, 8)]},
             max_rejected=0.2)


def test_objects_that_cannot_be_seen_any_more_are_listed_as_left_out(made: Made):
    # Cropped to its middle, 8 of 24 columns: the first class ends at column 4, before it; the second begins in it.
    planes_KHW = np.zeros((2, 8, 24), bool)
    planes_KHW[0, :, :4] = planes_KHW[1, 2:6, 12:] = True
    wide = sample("w", 8, 24, planes_KHW=planes_KHW, objects=[(0, (0, 0, 4, 8)), (1, (12, 2, 24, 6))])
    out, _ = made({"train": [wide], "val": [sample("c", 8, 8)], "test": [sample("d", 8, 8)]}, resize="crop")
    row = store.Split.open(out, "train").index().iloc[0]
    assert row["objects"].tolist() == ["right"]
    assert row["boxes"][0].tolist() == [4, 2, 8, 6]
    assert row["areas"].tolist() == [0, 16]
    assert (row["height"], row["width"]) == (8, 24)
    assert rejected(out) == [("train", "annotation", "w", "the box of its left holds none of it at 8×8")]


def test_files_that_are_no_pictures_do_not_count_as_unusable(made: Made):
    strays = [Rejection(id=name, source=name, what="file", reason="not a picture") for name in "xyz"]
    out, _ = made({"train": [sample("a", 8, 8), *strays], "val": [sample("c", 8, 8)], "test": [sample("d", 8, 8)]},
                  max_rejected=0.0)
    assert len(rejected(out)) == 3


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def job(identifiers: list[str]) -> list[Entry]:
    """Of three pictures one is too small to be seen, and one cannot be used."""
    found: list[Entry] = []
    for identifier in identifiers:
        number = int(identifier[1:])
        if number % 3 == 0:
            found.append(Rejection(id=identifier, source=identifier, what="picture", reason="damaged"))
        found.append(vanishing() if number % 3 == 1 else sample(identifier, 5 + number % 7, 9, licence=f"{number}"))
    return found


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "val", "test")])
@pytest.mark.parametrize("processes", [1, 3])
def test_jobs_give_what_their_entries_give_in_any_number_of_processes(made: Made, monkeypatch: pytest.MonkeyPatch,
                                                                     splits: tuple[str, ...], processes: int):
    names = {split: [[f"{split[0]}{2 * i}", f"{split[0]}{2 * i + 1}"] for i in range(20)] for split in splits}
    ready, info = made({split: [entry for pair in names[split] for entry in job(pair)] for split in splits},
                       max_rejected=1.0, name="ready")
    monkeypatch.setattr(workers, "FEW", 3)
    by_jobs, _ = made({split: [functools.partial(job, pair) for pair in names[split]] for split in splits},
                      max_rejected=1.0, name="jobs", processes=processes)
    assert sum(store.Contents.read(ready).counts.values()) > 40
    assert content(by_jobs) == content(ready)


def refuse() -> list[Entry]:
    raise ValueError("classes.txt names nothing; expected sky")


def test_an_error_in_another_process_is_a_clear_one(made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "FEW", 3)
    jobs = [functools.partial(job, [f"a{i}"]) for i in range(10)]
    with pytest.raises(ValueError, match="^classes.txt names nothing; expected sky$"):
        made({"train": [*jobs, refuse, *jobs], "test": jobs}, max_rejected=1.0, processes=2)


PARAMS = params.load(ROOT / "params.yaml")


@pytest.mark.parametrize("name", PARAMS.datasets)
def test_params_and_reader_agree_on_task_and_classes(name: str):
    dataset, config = PARAMS.datasets[name], resolve.prepare_config(PARAMS, name)
    description = readers.reader_of(config.kind).describe(config)
    assert (description.task.name, len(description.classes)) == (dataset.task(), dataset.class_count())
