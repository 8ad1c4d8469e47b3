"""LabelMe's and YOLO's outlines against pixel centres that are tried one by one, and where each annotation ends."""

import collections
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from seglib.datasets import folder, prepare, readers
from seglib.datasets.samples import Rejection, Sample
from seglib.files import write_json
from tests.conftest import fetch_config, prepare_config
from tests.datasets import folders
from tests.datasets.folders import ALL_TRAIN, entries, save

HEIGHT, WIDTH = 40, 60
BLOB = [(10.5, 8.0), (50.2, 12.7), (41.0, 33.3), (22.9, 21.0), (8.1, 35.6)]  # not convex
Corners = list[tuple[float, float]]


def keys_of(root: Path, form: str, **changed: Any) -> dict[str, Any]:
    return folders.keys_of(root, form, **ALL_TRAIN | changed)


def write_labelme(root: Path, name: str, shapes: list[Any], **changed: Any) -> None:
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"..\\{name}.png", "imageData": "NaNs",
               "imageHeight": HEIGHT, "imageWidth": WIDTH}
    (root / f"images/{name}.json").write_text(json.dumps(content | changed))


def shape(points: Any, label: str = "cat", kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": 3, "flags": {}} | more


def write_yolo(root: Path, name: str, objects: list[tuple[int, Corners]]) -> None:
    (root / "labels").mkdir(exist_ok=True)
    (root / f"labels/{name}.txt").write_text("\n".join(
        f"{k} " + " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in corners) for k, corners in objects))


def pictures(root: Path, names: str = "ab") -> Path:
    for name in names:
        save(root / f"images/{name}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return root


def written(root: Path, form: str, corners: Corners) -> Path:
    """A folder in which each picture has one cat."""
    for name in ("a", "b"):
        if form == "labelme":
            write_labelme(root, name, [shape(corners)])
        else:
            write_yolo(root, name, [(1, corners)])
    return root


def samples(root: Path, form: str, **changed: Any) -> dict[str, Sample]:
    found = entries(root, keys_of(root, form, **changed))
    assert not [entry for entry in found if isinstance(entry, Rejection)]
    return {entry.id: entry for entry in found}


def centres() -> list[tuple[int, int, float, float]]:
    return [(row, column, column + 0.5, row + 0.5) for row in range(HEIGHT) for column in range(WIDTH)]


def inside(x: float, y: float, corners: Corners) -> bool:
    """Whether a ray to the right crosses the outline an odd number of times."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        crossings += (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return crossings % 2 == 1


def distance(x: float, y: float, corners: Corners) -> float:
    """To the outline."""
    nearest = math.inf
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        t = 0.0 if length == 0 else min(max(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0), 1)
        nearest = min(nearest, math.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0)))
    return nearest


def assert_drawn(plane_HW: np.ndarray, corners: Corners) -> None:
    """All pixels whose centre is at least a pixel from the outline."""
    for row, column, x, y in centres():
        if distance(x, y, corners) > 1:
            assert plane_HW[row, column] == inside(x, y, corners), (row, column)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("shapes"))


corner = st.tuples(st.floats(-5, WIDTH + 5), st.floats(-5, HEIGHT + 5))


@pytest.mark.parametrize("form", ["labelme", "yolo"])
@given(st.lists(st.tuples(st.floats(0, 2 * math.pi), st.floats(8, 25)), min_size=3, max_size=8))
def test_an_outline_holds_the_pixels_within_it(place: Path, form: str, polar: list[tuple[float, float]]):
    """Outlines that do not cross themselves: corners in the order of their angle around the centre."""
    assume(len({angle for angle, _ in polar}) == len(polar))
    corners = [(WIDTH / 2 + radius * math.cos(angle), HEIGHT / 2 + radius * math.sin(angle))
               for angle, radius in sorted(polar)]
    assume(any(distance(x, y, corners) > 1 and inside(x, y, corners) for _, _, x, y in centres()))
    sample = samples(written(place, form, corners), form)["a"]
    assert_drawn(sample.planes_KHW[1], corners)
    assert not sample.planes_KHW[0].any() and not sample.ignore_HW.any() and sample.tally == {"drawn": 1}


@pytest.mark.parametrize("form", ["labelme", "yolo"])
def test_an_outline_is_what_pillow_draws_but_for_its_edge(tmp_path: Path, form: str):
    root = written(pictures(tmp_path), form, BLOB)
    image = Image.new("1", (WIDTH, HEIGHT))
    ImageDraw.Draw(image).polygon([(x - 0.5, y - 0.5) for x, y in BLOB], fill=1)
    differ_HW = samples(root, form)["a"].planes_KHW[1] != np.asarray(image)
    assert not any(differ_HW[row, column] and distance(x, y, BLOB) > 1 for row, column, x, y in centres())


def test_labelmes_rectangles_and_circles(tmp_path: Path):
    root = pictures(tmp_path, "abcd")
    write_labelme(root, "a", [shape([[50, 30], [10, 5]], kind="rectangle")])  # from any corner to the other
    write_labelme(root, "b", [shape([[30, 20], [38, 26]], "dog", "circle")])
    write_labelme(root, "c", [shape([["10", "5"], [50, 5], [50, 30], [10, 30]], kind="rectangle")])  # of version 6
    corners = [[10, 5], [50, 5], [50, 30], [10, 30]]
    write_labelme(root, "d", [shape(corners, kind=None), shape([[1, 1]], "cow", "point")])
    found = samples(root, "labelme")
    rectangle_HW = np.zeros((HEIGHT, WIDTH), bool)
    rectangle_HW[5:30, 10:50] = True
    for name in "acd":
        np.testing.assert_array_equal(found[name].planes_KHW[1], rectangle_HW)
    assert found["d"].tally == {"drawn": 1, "other": 1}
    for row, column, x, y in centres():
        if abs((away := math.hypot(x - 30, y - 20)) - 10) > 1:
            assert found["b"].planes_KHW[0, row, column] == (away < 10)


@pytest.mark.parametrize(("points", "kind", "said"), [
    ([[5, 5], [9, 12]], "line", "its shape_type is line,"), ([[5, 5], [9, 5], [9, 12]], "linestrip", "is linestrip,"),
    ([[5, 5], [8, 11]], "points", "is points,"), ([[5, 5], [9, 12]], "polygon", "a polygon of 4 numbers"),
    ([[5, 5], [9, 5], [9, 12]], "circle", "a circle of 3 points, expected 2"), ([[5, 5], [9, 12]], ["x"], "shape_type"),
])
def test_the_box_of_a_shape_without_area_is_ignored(tmp_path: Path, points: Any, kind: Any, said: str):
    root = pictures(tmp_path, "a")
    write_labelme(root, "a", [shape(points, kind=kind), shape([[20, 20], [30, 30]], "dog", "rectangle")])
    sample, rejected = sorted(entries(root, keys_of(root, "labelme")), key=lambda entry: isinstance(entry, Rejection))
    assert (rejected.source, rejected.tally) == ("images/a.png shape 1", {"undrawable": 1})
    assert said in rejected.reason
    rows, columns = sample.ignore_HW.nonzero()
    assert (rows.min(), columns.min()) == (5, 5) and rows.max() in (10, 11) and columns.max() in (7, 8)
    assert sample.tally == {"drawn": 1} and not sample.planes_KHW[1].any()


@pytest.mark.parametrize(("content", "said"), [
    ("no", ".json is not in LabelMe's format"), ("{}", "is not in LabelMe's format"),
    ('{"shapes": [3]}', r"is not in LabelMe's format"),
    ('{"shapes": [], "imageHeight": 60, "imageWidth": 40}', ".json says it is 40×60, it is 60×40"),
    ('{"shapes": [{"label": "cat", "points": [[1, null]]}]}', "may lie anywhere in it: its points are no list"),
    ('{"shapes": [{"label": "cat"}]}', "may lie anywhere in it"),
])
def test_a_labelme_file_that_cannot_be_used_leaves_its_picture_out(tmp_path: Path, content: str, said: str):
    root = pictures(tmp_path)
    for name in "ab":
        (root / f"images/{name}.json").write_text(content)
    found = [entry for entry in entries(root, keys_of(root, "labelme")) if entry.what == "picture"]
    assert len(found) == 2 and all(said in entry.reason and str(root) not in entry.reason for entry in found)


def test_a_yolo_box_is_no_outline_and_its_pixels_are_ignored(tmp_path: Path):
    root = pictures(tmp_path, "a")
    (root / "labels").mkdir()
    (root / "labels/a.txt").write_text("\ufeff0 0.5 0.5 0.5 0.25\n\n1.0 0 0 0.5 0 0.5 0.5 0 0.5\r\n7 0 0 1 0 1 1\n")
    (root / "labels/classes.txt").write_text("dog\ncat\n")
    found = entries(root, keys_of(root, "yolo"))
    (sample,) = [entry for entry in found if isinstance(entry, Sample)]
    assert {(entry.source, *entry.tally.items()) for entry in found if isinstance(entry, Rejection)} == {
        ("images/a.png line 1", ("undrawable", 1)), ("images/a.png line 4", ("dangling", 1))}
    assert any("are a box, not an outline" in entry.reason for entry in found if isinstance(entry, Rejection))
    cat_HW, box_HW = np.zeros((2, HEIGHT, WIDTH), bool)
    cat_HW[:20, :30], box_HW[15:25, 15:45] = True, True
    np.testing.assert_array_equal(sample.planes_KHW, [np.zeros_like(cat_HW), cat_HW])
    np.testing.assert_array_equal(sample.ignore_HW, box_HW & ~cat_HW)


@pytest.mark.parametrize(("line", "said"), [
    ("0 640 320 700 320 700 400", "far off the picture"),  # pixels, not shares
    ("0 0.1 0.1 x 0.4 0.5 0.5", "something that is no number"), ("0", "no list of numbers"), ("0 nan nan", "2 numbers"),
    ("cat 0 0 1 0 1 1", "its class is cat"), ("nan 0 0 1 0 1 1", "its class is nan")])
def test_a_yolo_line_that_says_nothing_leaves_its_picture_out(tmp_path: Path, line: str, said: str):
    root = pictures(tmp_path, "a")
    (root / "labels").mkdir()
    (root / "labels/a.txt").write_text(line)
    annotation, picture = entries(root, keys_of(root, "yolo"))
    assert (annotation.what, picture.what, picture.tally) == ("annotation", "picture", {}) and said in picture.reason


@pytest.mark.parametrize(("names", "fits"), [
    ("[dog, cat]", True), ("{0: dog, 1: cat}", True), ("{1: cat, 0: dog}", True), ("[cat, dog]", False),
    ("[dog, cat, cow]", False), ("{'0': cat, '1': dog}", False), ("5", True), ("[[]", None)])
def test_data_yaml_says_the_same_names_or_stops(tmp_path: Path, names: str, fits: bool | None):
    root = written(pictures(tmp_path), "yolo", BLOB)
    (root / "data.yaml").write_text(f"train: images\nnames: {names}\n")
    if fits:
        assert len(samples(root, "yolo")) == 2
    else:
        said = "^data.yaml is not YAML" if fits is None else r"^data.yaml .* set classes: \[(cat|dog), "
        with pytest.raises(ValueError, match=said):
            entries(root, keys_of(root, "yolo"))


@pytest.mark.parametrize("form", ["labelme", "yolo"])
def test_pictures_without_a_file_are_left_out_skipped_or_empty(tmp_path: Path, form: str):
    root = pictures(written(pictures(tmp_path), form, BLOB), "c")
    (missing,) = [one for one in entries(root, keys_of(root, form)) if isinstance(one, Rejection)]
    assert (missing.id, missing.what) == ("c", "picture")
    assert missing.reason.startswith(f"there is no c.{'json' if form == 'labelme' else 'txt'}: set unlisted: skip")
    assert samples(root, form, unlisted="skip").keys() == {"a", "b"}
    assert not samples(root, form, unlisted="empty")["c"].planes_KHW.any()


@pytest.mark.parametrize("form", ["labelme", "yolo"])
def test_what_is_fetched_is_prepared_as_what_lies_there(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    root = written(pictures(tmp_path / "mine", "abcdefgh"), form, BLOB)
    for name in "cdefgh":
        (root / f"images/{name}.png").write_bytes((root / "images/a.png").read_bytes())
        for path in root.rglob("a.json" if form == "labelme" else "a.txt"):
            path.with_stem(name).write_bytes(path.read_bytes())
    (root / "data.yaml").write_text("names: [dog, cat]")
    for split, names in (("train", "abcd"), ("val", "ef"), ("test", "gh")):
        (root / f"{split}.txt").write_text("\n".join(names))
    keys = keys_of(root, form, allow=["absent_class", "unscored_class", "pixels"])
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    write_json(raw / readers.SELECTION, folder.fetch(fetch_config(keys), raw))
    there = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file()}
    assert ("data.yaml" in there) == (form == "yolo")
    assert len(there) == 8 + 8 + 3 + 1 + (form == "yolo")
    contents = prepare.prepare(raw, prepare_config(keys), out, processes=1)
    assert contents.counts == {"train": 4, "val": 2, "test": 2}


@pytest.mark.parametrize("form", ["labelme", "yolo"])
def test_every_annotation_ends_in_one_tally(tmp_path: Path, form: str):
    root = pictures(written(pictures(tmp_path), form, BLOB), "cde")
    off = [(99, 1), (99, 5), (90, 5)]
    for name in "cdefg":  # d is damaged, f and g are no pictures, c and g are in no list
        if form == "labelme":
            write_labelme(root, name, [shape(BLOB), shape([[1, 1]]), shape(BLOB, "cow"), shape(off)])
        else:
            write_yolo(root, name, [(1, BLOB), (0, [(1, 1)]), (9, BLOB), (0, off)])
    (root / "images/d.png").write_bytes(b"no")
    (root / "train.txt").write_text("a\nb\nd\ne")
    (root / "test.txt").write_text("f")
    counts = collections.Counter()
    for entry in entries(root, keys_of(root, form)):
        counts.update(entry.tally)
    of_e = {"drawn": 1, "undrawable": 1, "outside": 1, "other" if form == "labelme" else "dangling": 1}
    assert counts == collections.Counter(of_e) + collections.Counter({"drawn": 2, "left out": 16})
