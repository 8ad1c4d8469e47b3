"""COCO's rule on a file of train2017's size, beside pycocotools. `python -m benchmarks.coco` (two minutes)

The file is made up here, with the true counts of pictures, annotations and bytes. Both sides choose by one rule and
take what is chosen whole, each in a process of its own; both must choose the same.
"""

import functools
import json
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Ratio, Run, Timing, heading, interleaved, python, table

PICTURES, ANNOTATIONS = 118_287, 860_001
SIZE = (640, 480)  # of every picture: width, height
# COCO's id of a class and its share of all annotations; the other 76 share the rest evenly.
CLASSES = {"cake": (61, 0.0073), "dog": (18, 0.0064), "motorcycle": (4, 0.0101), "person": (1, 0.305)}
UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # of 1 to 90
CROWDS = 0.01  # their share
MEMBER = "annotations/instances_train2017.json"
RULE = {"classes": ["cake", "dog", "motorcycle"], "min_box": 100.0, "instances": "any"}
ROUNDS = 3
PEER = "pycocotools"
PARTS = ("reading", "splitting", "choosing")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, archive = Path(folder) / "instances_train2017.json", Path(folder) / "annotations_trainval2017.zip"
        write_annotations(path)
        megabytes = path.stat().st_size / 1e6
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
            bundle.write(path, MEMBER)
        sides = {PEER: f"by_pycocotools({str(path)!r})", "seglib": f"by_seglib({str(path)!r})",
                 "seglib, from the zip": f"by_seglib({str(archive)!r})"}
        runs: dict[str, list[Run]] = {name: [] for name in sides}

        def run(name: str) -> None:
            runs[name].append(python(f"from benchmarks import coco; coco.{sides[name]}"))

        timings = interleaved({name: functools.partial(run, name) for name in sides}, rounds=ROUNDS, warmup=0)
    found = {name: [json.loads(run.output.splitlines()[-1]) for run in side] for name, side in runs.items()}
    chosen = found[PEER][0]["chosen"]
    if any(one["chosen"] != chosen for side in found.values() for one in side):
        raise ValueError("the sides do not choose the same pictures and annotations")
    heading("COCO's rule on a file of train2017's size",
            f"{megabytes:.0f} MB of JSON, {PICTURES:,} pictures, {ANNOTATIONS:,} annotations. All choose the same "
            f"{len(chosen['passing']):,} pictures and {len(chosen['annotations']):,} annotations. Fresh processes in "
            f"turn, with their imports; medians of {ROUNDS} rounds (smallest–largest). Reading is a plain read of the "
            "file, or inflates it; splitting is one pass over the text and one over each entry.")
    rows = []
    for name, side in runs.items():
        seconds, memory = timings[name], tuple(run.peak_mb for run in side)
        if name == PEER:
            peer_seconds, peer_memory, ratios, parts = seconds, memory, ("", ""), [""] * len(PARTS)
        else:
            ratios = (seconds.times_faster(peer_seconds),
                      Ratio(tuple(theirs / own for own, theirs in zip(memory, peer_memory, strict=True))))
            parts = [f"{timing.median:.2f} s, {timing.rate(megabytes):.0f} MB/s" for timing in (
                Timing(tuple(one["parts"][part] for one in found[name])) for part in PARTS)]
        rows.append((name, f"{seconds.median:.2f} s", ratios[0], f"{statistics.median(memory):.0f} MB", ratios[1],
                     *parts))
    table(["", "time", "times as fast", "peak memory", "times less", *PARTS], rows)


def by_pycocotools(path: str) -> None:
    """The rule, and what is chosen, by pycocotools' own queries."""
    from pycocotools.coco import COCO

    api = COCO(path)
    instances: dict[int, list[dict]] = {}
    for one in api.loadAnns(api.getAnnIds(catIds=api.getCatIds(catNms=RULE["classes"]), iscrowd=False)):
        if one["image_id"] in api.imgs:
            instances.setdefault(one["image_id"], []).append(one)
    passing = {}
    for picture, candidates in instances.items():
        large = [one["id"] for one in candidates if min(one["bbox"][2:]) >= RULE["min_box"]]
        if large and (RULE["instances"] == "any" or len(candidates) == 1):
            passing[picture] = large
    _report(passing, api.loadImgs(list(passing)), api.loadAnns(api.getAnnIds(imgIds=list(passing))), {})


def by_seglib(path: str) -> None:
    from seglib.datasets.archives import read_zip_member
    from seglib.datasets.coco import select
    from seglib.datasets.coco_annotations import AnnotationFile

    started = time.perf_counter()
    text = read_zip_member(Path(path), MEMBER) if path.endswith(".zip") else Path(path).read_bytes()
    read = time.perf_counter()
    file = AnnotationFile(text, path)
    split = time.perf_counter()
    content = file.of_pictures(select(file.outline(RULE["classes"]), RULE))
    parts = dict(zip(PARTS, (read - started, split - read, time.perf_counter() - split), strict=True))
    passing = {picture: [one["id"] for one in found] for picture, found in select(content, RULE).items()}
    _report(passing, content["images"], content["annotations"], parts)


def _report(passing: dict[int, list[int]], pictures: list[dict], annotations: list[dict],
            parts: dict[str, float]) -> None:
    """Print what was chosen: each picture with the instances that pass, and all annotations that are taken."""
    assert sorted(passing) == sorted(one["id"] for one in pictures)
    print(json.dumps({"chosen": {"passing": {str(picture): sorted(passing[picture]) for picture in sorted(passing)},
                                 "annotations": sorted(one["id"] for one in annotations)}, "parts": parts}))


def write_annotations(path: Path) -> None:
    """A file in COCO's format with train2017's counts, about 448 MB: the same bytes every time."""
    random = np.random.default_rng(0)
    # Annotations are put together from a pool: nearly a million polygons of their own would take a minute.
    instances, crowds = [_instance(random) for _ in range(20_000)], [_crowd(random) for _ in range(400)]
    category_ids = [id for id in range(1, 91) if id not in UNUSED_IDS]
    names, shares = {id: name for name, (id, _) in CLASSES.items()}, dict(CLASSES.values())
    rest = (1 - sum(shares.values())) / (len(category_ids) - len(shares))
    image_ids = np.sort(random.choice(600_000, PICTURES, replace=False)).tolist()
    drawn = np.where(random.random(ANNOTATIONS) < CROWDS,
                     len(instances) + random.integers(len(crowds), size=ANNOTATIONS),
                     random.integers(len(instances), size=ANNOTATIONS)).tolist()
    columns = zip(map((instances + crowds).__getitem__, drawn), random.choice(image_ids, ANNOTATIONS).tolist(),
                  random.choice(category_ids, ANNOTATIONS, p=[shares.get(id, rest) for id in category_ids]).tolist(),
                  range(1, ANNOTATIONS + 1), strict=True)
    categories = [{"supercategory": "thing", "id": id, "name": names.get(id, f"class {id}")} for id in category_ids]
    with path.open("w") as file:
        file.write('{"info": {"description": "made up, of the size of COCO 2017"}, "licenses": [], "images": [')
        file.write(", ".join(
            f'{{"license": 4, "file_name": "{id:012}.jpg", "coco_url": "http://images.cocodataset.org/train2017/'
            f'{id:012}.jpg", "height": {SIZE[1]}, "width": {SIZE[0]}, "date_captured": "2013-11-14 11:18:45", '
            f'"flickr_url": "http://farm9.staticflickr.com/8186/{id:010}_4e622c8349_z.jpg", "id": {id}}}'
            for id in image_ids))
        file.write('], "annotations": [')
        file.writelines(f'{", " if id > 1 else ""}{{{fields}, "image_id": {picture}, "category_id": {category}, '
                        f'"id": {id}}}' for fields, picture, category, id in columns)
        file.write(f'], "categories": {json.dumps(categories)}}}')


def _instance(random: np.random.Generator) -> str:
    sides = np.clip(random.lognormal(4, 1) * random.lognormal(0, 0.3, 2), 4, np.subtract(SIZE, 10))
    corner = random.random(2) * (SIZE - sides)
    points = 3 + int(random.lognormal(2.83, 0.5) * sides.prod() ** 0.12 / 3)  # larger outlines have more
    angle = np.sort(random.random(points)) * 2 * np.pi
    around = np.stack([np.cos(angle), np.sin(angle)], 1) * random.uniform(0.7, 1, (points, 1))
    polygon = corner + sides * (1 + around) / 2
    return _fields([polygon.round(2).ravel().tolist()], 0.7 * sides.prod(), 0, (*corner, *sides))


def _crowd(random: np.random.Generator) -> str:
    pixels = SIZE[0] * SIZE[1]
    ends = np.cumsum(random.geometric(1 / 500, size=1000))
    counts = np.diff(ends[ends < pixels], prepend=0, append=pixels).tolist()
    return _fields({"counts": counts, "size": SIZE[::-1]}, sum(counts[1::2]), 1, (0, 0, *SIZE))


def _fields(segmentation: object, area: float, crowd: int, box: tuple[float, ...]) -> str:
    fields = {"segmentation": segmentation, "area": round(float(area), 4), "iscrowd": crowd,
              "bbox": [round(float(side), 2) for side in box]}
    return json.dumps(fields)[1:-1]


if __name__ == "__main__":
    main()
