"""Masks and resizing of real-size pictures: `prepare` beside one process with annToMask and Pillow, time and memory.

    python -m benchmarks.pictures         # two minutes
    python -m benchmarks.pictures long    # 5,000 and 50,000 pictures, a quarter of an hour; 30 GB of disk in TMPDIR

The pictures are made: noise and shapes as JPEG, in COCO's layout, each with some polygons. A few dozen files stand
behind any number of names.
"""

import collections
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.harness import Run, Timing, heading, interleaved, python, table
from seglib.configs import PrepareConfig
from seglib.cores import physical_cores
from seglib.datasets.readers import SELECTION
from seglib.files import write_json

WIDTH, HEIGHT, FILES, POLYGONS, CORNERS = 640, 480, 36, 6, 32
CONFIG = PrepareConfig(kind="coco", image_size=256, resize="stretch", val_fraction=0.1, max_rejected=0.0, allow=[],
                       options={"classes": ["cake", "dog", "motorcycle"], "min_box": 60.0, "instances": "any"})

# Prints the processor's time that this process spent on it, those it starts left out.
OURS = """
import time
from pathlib import Path
from seglib.configs import PrepareConfig
from seglib.datasets.prepare import prepare

if __name__ == "__main__":
    out, start = Path({out!r}), time.process_time()
    out.mkdir()
    prepare(Path({raw!r}), PrepareConfig.of({config!r}), out, processes={processes})
    print(time.process_time() - start)
"""

# What anyone would write: the network's pictures and masks, and masks at the pictures' own size. It checks, counts and
# compresses nothing; own masks it writes for training pictures too, which prepare leaves out.
PEER = """
from pathlib import Path
import numpy as np
from PIL import Image
from pycocotools.coco import COCO

raw, out, config = Path({raw!r}), Path({out!r}), {config!r}
out.mkdir()
size = (config["image_size"], config["image_size"])
for official in ("train2017", "val2017"):
    api = COCO(raw / "annotations" / f"instances_{{official}}.json")
    categories = api.getCatIds(catNms=config["options"]["classes"])
    images = np.lib.format.open_memmap(out / f"{{official}}-images.npy", "w+", np.uint8, (len(api.imgs), *size, 3))
    masks = np.lib.format.open_memmap(out / f"{{official}}-masks.npy", "w+", np.uint8, (len(api.imgs), *size))
    for i, image_id in enumerate(sorted(api.getImgIds())):
        image = api.imgs[image_id]
        with Image.open(raw / official / image["file_name"]) as picture:
            images[i] = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR))
        own_mask = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in api.loadAnns(api.getAnnIds(imgIds=[image_id], catIds=categories, iscrowd=False)):
            if min(annotation["bbox"][2:]) >= config["options"]["min_box"]:
                plane = api.annToMask(annotation)
                k = categories.index(annotation["category_id"])
                own_mask |= plane << k
                resized = Image.fromarray(plane).resize(size, Image.Resampling.NEAREST)
                masks[i] |= np.asarray(resized) << k
        np.save(out / f"{{image_id}}.npy", own_mask)
"""


def make_raw(raw: Path, count: int) -> Path:
    """A raw folder of the coco reader with `count` pictures to train on and a tenth as many to test on."""
    random = np.random.default_rng(0)
    jpegs, shapes = [], []
    for i in range(FILES):
        path = raw / "jpegs" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes.append(_draw(random, path))
        jpegs.append(path)
    for split, pictures in (("train2017", count), ("val2017", count // 10)):
        (raw / split).mkdir()
        images, annotations = [], []
        for i in range(1, pictures + 1):
            name = f"{i:012d}.jpg"
            os.link(jpegs[i % FILES], raw / split / name)
            images.append({"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT, "license": 1})
            annotations += [{"id": i * POLYGONS + n, "image_id": i, "category_id": 1 + n % 3, "iscrowd": 0, **shape}
                            for n, shape in enumerate(shapes[i % FILES])]
        write_json(raw / "annotations" / f"instances_{split}.json", {
            "info": {}, "licenses": [{"id": 1, "name": "made"}], "images": images, "annotations": annotations,
            "categories": [{"id": k, "name": name} for k, name in enumerate(CONFIG.options["classes"], start=1)]})
    write_json(raw / SELECTION, {})
    return raw


def _draw(random: np.random.Generator, path: Path) -> list[dict[str, Any]]:
    """Write a JPEG; the annotations of what is on it, less their numbers."""
    low = Image.fromarray(random.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), np.uint8))
    picture = Image.blend(low.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC),
                          Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)), 0.15)
    found = []
    for _ in range(POLYGONS):
        angles = np.sort(random.uniform(0, 2 * np.pi, CORNERS))
        radii, centre = random.uniform(40, 110, (CORNERS, 1)), random.uniform((110, 110), (WIDTH - 110, HEIGHT - 110))
        corners = (centre + radii * np.stack([np.cos(angles), np.sin(angles)], 1)).round(2)
        ImageDraw.Draw(picture).polygon([tuple(corner) for corner in corners.tolist()],
                                        fill=tuple(random.integers(0, 256, 3).tolist()))
        (x0, y0), (x1, y1) = corners.min(0).tolist(), corners.max(0).tolist()
        found.append({"segmentation": [corners.ravel().tolist()], "bbox": [x0, y0, x1 - x0, y1 - y0]})
    picture.save(path, quality=90)
    return found


def run(raw: Path, processes: int | None) -> Run:
    """`prepare` in so many processes, or the peer, in a fresh process."""
    out = raw / "out"
    code = PEER if processes is None else OURS
    try:
        return python(code.format(raw=str(raw), out=str(out), config=CONFIG.content(), processes=processes))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def speed(folder: Path, count: int, rounds: int) -> None:
    raw, runs = make_raw(folder, count), collections.defaultdict(list)
    names = {"one process, annToMask, Pillow": None,
             **{f"prepare, processes: {number}": number for number in sorted({1, 2, physical_cores()})}}
    timings = interleaved({name: lambda number=number: runs[number].append(run(raw, number))
                           for name, number in names.items()}, rounds=rounds, warmup=0)
    peer, alone = timings["one process, annToMask, Pillow"], timings["prepare, processes: 1"]
    table(["", "pictures/s", "times as fast as the peer", "as one process", "peak MB"],
          [[name, f"{timings[name].rate(count * 1.1):.0f}", timings[name].times_faster(peer),
            timings[name].times_faster(alone), f"{max(one.peak_mb for one in runs[number]):.0f}"]
           for name, number in names.items()])
    whole, rest = (Timing(tuple(float(one.output) for one in runs[number])) for number in (1, 2))
    print(f"Of the processor's time that one process takes, {1 / rest.times_faster(whole).median:.0%} stay with the "
          "process that reads and writes; the others share the rest.\n")


def memory(folder: Path, counts: tuple[int, int]) -> None:
    runs = [run(make_raw(folder / str(count), count), 2) for count in counts]
    table(["pictures", "peak MB, processes: 2", "ratio"],
          [[f"{count:,}", f"{one.peak_mb:.0f}", f"{one.peak_mb / runs[0].peak_mb:.2f}×"]
           for count, one in zip(counts, runs, strict=True)])


def main() -> None:
    is_long = "long" in sys.argv[1:]
    heading("Masks and resizing", f"JPEG of {WIDTH}×{HEIGHT} with {POLYGONS} polygons each, brought to 256×256; a "
            "tenth as many to test on. A process each, its imports and start counted; memory with all that it starts.")
    with tempfile.TemporaryDirectory() as folder:
        speed(Path(folder, "speed"), *((5000, 1) if is_long else (600, 3)))
        memory(Path(folder, "memory"), (5000, 50_000) if is_long else (1000, 5000))


if __name__ == "__main__":
    main()
