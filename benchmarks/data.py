"""Shapes, from the course's file to the first batch: time and memory of a start, beside the course's way.

    python -m benchmarks.data   # two minutes

The file is generated in the course's format and at its scale: 10,000 pictures. The peer is a replica of its loader,
written from its description: at every start the whole file is unpickled, and each picture becomes a tensor when it is
asked for. The original also saves what it has read with torch.save; the replica does not.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks.harness import Timing, heading, interleaved, python, table
from seglib.configs import FetchConfig
from seglib.datasets import shapes
from seglib.datasets.readers import SELECTION
from seglib.files import write_json

ROUNDS = 3
COURSE = "the course's way, every start"
OPTIONS = {"source": "generated", "train_images": 10_000, "test_images": 1000, "seed": 7, "background": "dark"}

# Each prints how long it took when all was imported, and stays for a moment so that its memory is seen.
FRAME = """
import time
from pathlib import Path
{imports}
start = time.perf_counter()
{work}
print(time.perf_counter() - start)
time.sleep(0.3)
"""

PEER_IMPORTS = """
import gzip, pickle
import numpy as np
import torch
"""
PEER = """
class Dataset(torch.utils.data.Dataset):
    def __init__(self, path):
        with gzip.open(path, "rb") as file:
            self.dataset, self.label_map = pickle.loads(file.read(), encoding="latin1")
        self.class_labels = {{value: name for name, value in self.label_map.items()}}

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        red, green, blue, masks, boxes = self.dataset[i]
        image = np.zeros((3, 64, 64), np.uint8)
        for channel, values in enumerate((red, green, blue)):
            image[channel] = np.array(values).reshape(64, 64)
        return torch.tensor(image, dtype=torch.float), torch.tensor(masks, dtype=torch.float)

loader = torch.utils.data.DataLoader(Dataset({file!r}), batch_size=4, shuffle=True)
images, masks = next(iter(loader))
assert images.shape == (4, 3, 64, 64) and masks.shape == (4, 5, 64, 64)
"""

START = """
info, split = DatasetInfo.read(Path({prepared!r})), Split.open(Path({prepared!r}), "train")
feed = Feed(split, 4, torch.device("cpu"), ignores=False)
batch = next(feed.batches(epoch_order(len(feed), seed=1, epoch=0)))
images = batch.images_BHWC.permute(0, 3, 1, 2).float()
planes = info.task.unpack(batch.masks_BHW.numpy().view(split.masks.dtype), len(info.classes))
masks = torch.from_numpy(planes).float()
assert images.shape == (4, 3, 64, 64) and masks.shape == (4, 5, 64, 64)
"""
START_IMPORTS = """
import torch
from seglib.datasets.store import DatasetInfo, Split
from seglib.training.batches import Feed, epoch_order
"""

PREPARE = """
Path({prepared!r}).mkdir()
prepare(Path({raw!r}), PrepareConfig(kind="shapes", options={options!r}, image_size=None, resize="stretch",
                                     val_fraction=0.1, max_rejected=0.05, allow=[]), Path({prepared!r}))
"""
PREPARE_IMPORTS = "from seglib.configs import PrepareConfig; from seglib.datasets.prepare import prepare"


def main() -> None:
    heading("Shapes, from the course's file to the first batch", f"{OPTIONS['train_images']:,} pictures to train on, "
            f"of which prepare makes a tenth val, and {OPTIONS['test_images']:,} to test on, which the peer does not "
            "read. Seconds are without imports; a start has ended when there are 4 pictures and their targets as "
            "floats.")
    with tempfile.TemporaryDirectory() as folder:
        raw, prepared = Path(folder, "raw"), Path(folder, "prepared")
        raw.mkdir()
        write_json(raw / SELECTION, shapes.fetch(FetchConfig(kind="shapes", options=OPTIONS, download=None), raw))
        places = {"file": str(raw / shapes.file_name(OPTIONS, "train")), "raw": str(raw), "prepared": str(prepared),
                  "options": OPTIONS}
        codes = {name: FRAME.format(imports=imports, work=work.format(**places)) for name, imports, work in (
            (COURSE, PEER_IMPORTS, PEER), ("prepare, once", PREPARE_IMPORTS, PREPARE),
            ("prepared, every start", START_IMPORTS, START))}
        runs = {name: [] for name in codes}

        def run(name: str) -> None:
            if name == "prepare, once":
                shutil.rmtree(prepared, ignore_errors=True)
            runs[name].append(python(codes[name]))
        run("prepare, once")
        runs["prepare, once"].clear()
        interleaved({name: lambda name=name: run(name) for name in codes}, rounds=ROUNDS, warmup=0)
        imports = {name: python(FRAME.format(imports=wanted, work="")).peak_mb for name, wanted in (
            (COURSE, PEER_IMPORTS), ("prepare, once", PREPARE_IMPORTS),
            ("prepared, every start", START_IMPORTS))}
    timings = {name: Timing(tuple(float(one.output) for one in found)) for name, found in runs.items()}
    rows = []
    for name, found in runs.items():
        peak = statistics.median(one.peak_mb for one in found)
        rows.append([name, f"{timings[name].median:.3g}", timings[name].times_faster(timings[COURSE]), f"{peak:.0f}",
                     f"{peak - imports[name]:.0f}"])
    table(["", "seconds", "times as fast as the course's start", "peak MB", "of it above its imports"], rows)


if __name__ == "__main__":
    main()
