"""Colours that can be told apart, hatches where pixels are ignored, and texts that fit."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib import tasks
from seglib.datasets.store import DatasetInfo, Split
from seglib.figures import pictures
from seglib.figures.pictures import HATCH, PALETTE, class_color


def oklab(color: tuple[int, int, int]) -> np.ndarray:
    """Ottosson 2020, "A perceptual color space for image processing"."""
    srgb = np.array(color) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lms = np.cbrt(np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                            [0.0883024619, 0.2817188376, 0.6299787005]]) @ linear)
    return np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                     [0.0259040371, 0.7827717662, -0.8086757660]]) @ lms


def test_colours_can_be_told_apart():
    """A distance of 0.02 is about what can be seen at all; Okabe's and Ito's own set comes to 0.13."""
    distances = [np.linalg.norm(oklab(a) - oklab(b)) for a, b in itertools.combinations(PALETTE, 2)]
    assert min(distances) > 0.1
    assert len({class_color(k) for k in range(3 * len(PALETTE))}) == 3 * len(PALETTE)


def dataset(folder: Path, masks: list[np.ndarray], classes: list[str], task: str) -> tuple[Split, DatasetInfo]:
    folder.mkdir()
    np.save(folder / "images.npy", np.zeros((len(masks), *masks[0].shape, 3), np.uint8))
    np.save(folder / "masks.npy", np.stack(masks))
    pd.DataFrame({"id": [f"{n}" for n in range(len(masks))]}).to_parquet(folder / "index.parquet")
    return Split.open(folder.parent, folder.name), DatasetInfo(
        task=tasks.get(task), classes=classes, label_values=[1.0] * len(classes), image_size=list(masks[0].shape),
        resize="stretch", class_pixels=[], valid_pixels=0, train_val_sha256="")


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_what_is_ignored_is_hatched_and_nothing_else(tmp_path: Path, task: str):
    planes = np.zeros((2, 40, 30), bool)
    planes[0, :20], planes[1, 20:] = True, True
    ignore = np.random.default_rng(1).random((40, 30)) < 0.5
    split, info = dataset(tmp_path / "x", [tasks.get(task).pack(planes, ignore)], ["a", "b"], task)
    plain = pictures.mask_overlay(split.images[0], tasks.get(task).pack(planes), info)
    truth, said = (pictures.mask_overlay(split.images[0], mask, info, split.masks[0])
                   for mask in (split.masks[0], tasks.get(task).pack(planes)))
    np.testing.assert_array_equal(said[~ignore], plain[~ignore])
    for drawn in (truth, said):
        np.testing.assert_array_equal((drawn[..., None, :] == np.array(HATCH)).all(-1).any(-1), ignore)
        assert {tuple(color) for color in drawn[ignore].tolist()} == set(HATCH)


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_a_sheet_names_the_hatch_where_there_is_one(tmp_path: Path, task: str):
    planes = np.ones((1, 8, 8), bool)
    sheets = {}
    for name, ignore in (("some", np.eye(8, dtype=bool)), ("none", None)):
        split, info = dataset(tmp_path / name, [tasks.get(task).pack(planes, ignore)] * 3, ["a"], task)
        assert pictures.any_ignored(split, [1], info) == (name == "some")
        pictures.contact_sheet(split, info, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            sheets[name] = np.asarray(image)
    legend = {name: sheet[-pictures.LINE - 4:] for name, sheet in sheets.items()}
    in_legend = {name: (pixels == HATCH[1]).all(-1).any() for name, pixels in legend.items()}
    assert in_legend == {"some": True, "none": False} and sheets["some"].shape == sheets["none"].shape


@pytest.mark.parametrize("text", ["x", "a title of several words", "averyveryverylongnamewithoutanyspace" * 3, ""])
@pytest.mark.parametrize("width", [40, 150])
def test_texts_fit(text: str, width: int):
    shown, _, font = pictures._fitting(text, width)
    assert font.getlength(shown) <= width
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))


def test_titles_break_between_words():
    lines = pictures._lines("resnet18_unet_unfrozen ce_weighted", 150)
    assert lines == ["resnet18_unet_unfrozen", "ce_weighted"]
    assert pictures._lines("unet ce", 150) == ["unet ce"] and pictures._lines("", 150) == [""]


def test_every_line_of_a_caption_has_room_in_its_column(tmp_path: Path):
    white = np.full((15, 15, 3), 255, np.uint8)
    captions = {"none": [["", ""]] * 2, "one": [["IoU 0.66", ""]] * 2,
                "more": [["IoU 0.66\nstar: not there, 1,234 pixels predicted", ""]] * 2}
    sheets = {}
    for name, texts in captions.items():
        pictures.comparison_grid([[white] * 2] * 2, titles=["", ""], captions=texts, legend=[],
                                 path=tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            sheets[name] = np.asarray(image.convert("L"))
    assert sheets["one"].shape == sheets["none"].shape
    lines = 1 + len(pictures._lines("star: not there, 1,234 pixels predicted", 150))
    assert lines == 3 and len(sheets["more"]) == len(sheets["none"]) + 2 * 2 * pictures.TIGHT
    is_ink = sheets["more"] < 255
    assert not is_ink[:, pictures.GAP + 150:].any()  # the first column's text ends with its tile
    starts = np.flatnonzero(np.diff(is_ink.any(1).astype(int)) == 1)
    assert len(starts) >= 2 * lines  # lines are apart, below both tiles
