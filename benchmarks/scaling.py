"""How time and memory grow with pictures, variants and classes.

    python -m benchmarks.scaling    # under 6 minutes; prints a table and draws benchmarks/scaling.png

Each point is a process of its own. Its memory is the peak of its whole process tree, Python and PyTorch included; its
time is that of the step alone, except for `dvc repro`, whose start is part of what a user waits for.
"""

import dataclasses
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import inputs
from benchmarks.harness import heading, python, table
from benchmarks.pipelines import ours
from benchmarks.road import FOLDERS, LAYOUTS

PICTURES = (500, 1000, 2000, 4000, 8000)
VARIANTS = {5: (1, 5, 1), 10: (1, 10, 1), 20: (2, 10, 1), 40: (2, 10, 2), 80: (2, 10, 4)}  # models, losses, seeds
CLASSES = (1, 2, 4, 8, 16, 31)
TESTED, SEEDS, SCORED = 5000, 3, 5  # of the statistics: pictures, seeds, classes
DRAWN = 200  # pictures with made-up planes
FIGURE = Path(__file__).with_name("scaling.png")


@dataclasses.dataclass(frozen=True)
class Point:
    """What one step took."""

    panel: str
    step: str
    count: int
    seconds: float
    peak_mb: float


def main() -> None:
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for point in itertools.chain(_pictures(Path(folder)), _variants(Path(folder)), _classes(Path(folder))):
            points.append(point)
    heading("Scaling", "Time and peak memory of a process of its own.")
    table(["against", "step", "of them", "time", "memory"],
          [[one.panel, one.step, f"{one.count:,}", f"{one.seconds:.2f} s", f"{one.peak_mb:.0f} MB"] for one in points])
    draw(points, FIGURE)
    print(f"Drawn as {FIGURE.relative_to(Path.cwd()) if FIGURE.is_relative_to(Path.cwd()) else FIGURE}.\n")


def _pictures(folder: Path) -> Iterator[Point]:
    python(f"from benchmarks import scaling\nscaling.train_a_little({str(folder)!r})")
    for count in PICTURES:
        place = folder / f"shapes-{count}"
        python(f"from benchmarks import scaling\nscaling.fetch({str(place)!r}, {count})")
        yield _measured("pictures", "prepare", count, f"prepare_shapes({str(place)!r}, {count})")
        yield _measured("pictures", "evaluate", count, f"evaluate_shapes({str(place)!r})")


def _variants(folder: Path) -> Iterator[Point]:
    for count in VARIANTS:
        yield _measured("variants", "intervals and pairs", count, f"infer_variants({count})")
    for count, (models, losses, seeds) in VARIANTS.items():
        repository = ours(folder / f"trainings-{count}", LAYOUTS[FOLDERS], models, losses, seeds)
        runs = [repository.repro() for _ in range(3)]
        yield Point("variants", "dvc repro, nothing to do", count, statistics.median(run.seconds for run in runs),
                    max(run.peak_mb for run in runs))


def _classes(folder: Path) -> Iterator[Point]:
    for count in CLASSES:
        yield _measured("classes", f"scores of {DRAWN} pictures", count, f"score_classes({str(folder)!r}, {count})")


def _measured(panel: str, step: str, count: int, call: str) -> Point:
    run = python(f"from benchmarks import scaling\nscaling.{call}")
    return Point(panel, step, count, json.loads(run.output.splitlines()[-1]), run.peak_mb)


def _timed(step: Callable[[], object]) -> None:
    """In a point's process: its last line is the seconds that the step took."""
    start = time.perf_counter()
    step()
    print(json.dumps(time.perf_counter() - start))


def _options(count: int) -> dict[str, Any]:
    return {"source": "generated", "train_images": 50, "test_images": count, "seed": 7, "background": "dark"}


def fetch(place: str, count: int) -> None:
    from seglib.configs import FetchConfig
    from seglib.datasets import shapes

    raw = Path(place) / "raw"
    raw.mkdir(parents=True)
    shapes.fetch(FetchConfig(kind="shapes", options=_options(count), download=None), raw)


def prepare_shapes(place: str, count: int) -> None:
    from seglib.configs import PrepareConfig
    from seglib.datasets.prepare import prepare
    from seglib.datasets.readers import SELECTION
    from seglib.files import write_json

    write_json(Path(place) / "raw" / SELECTION, {})
    out = Path(place) / "prepared"
    out.mkdir()
    config = PrepareConfig(kind="shapes", options=_options(count), image_size=None, resize="stretch", val_fraction=0.1,
                           max_rejected=0.05, allow=[])
    _timed(lambda: prepare(Path(place) / "raw", config, out))


def train_a_little(folder: str) -> None:
    """A small network whose predictions are blobs, as a finished one's are: scoring noise takes longer.

    One thread, here and in the evaluation: two would show how busy the machine is, not how time grows.
    """
    from seglib.training import weights
    from seglib.training.loop import Trainer

    dataset = inputs.write_dataset(Path(folder) / "little", train=400, val=32)
    outcome = Trainer(inputs.default(width=8, epochs=6, threads=1), dataset).run(title="")
    weights.save(Path(folder) / "weights.safetensors", outcome.state, outcome.header)


def evaluate_shapes(place: str) -> None:
    from seglib.datasets.store import Split
    from seglib.evaluation import evaluate
    from seglib.prediction.network import NetworkPredictor

    predictor = NetworkPredictor(Path(place).parent / "weights.safetensors")
    split = Split.open(Path(place) / "prepared", "test")
    _timed(lambda: evaluate(predictor, split, tolerance=2, boundary_band=None))


def infer_variants(count: int) -> None:
    """The intervals of one score of so many variants, and all their pairs."""
    from seglib.metrics.inference import Blocks, of_score
    from seglib.metrics.pairwise import compare

    random, sums = np.random.default_rng(0), []
    for _ in range(count):
        below_SUK = random.integers(0, 4000, size=(SEEDS, TESTED, SCORED)).astype(np.float64)
        sums.append((np.floor(below_SUK * random.random(below_SUK.shape)), below_SUK))

    def infer() -> None:
        blocks = [Blocks.from_sums(*both, np.ones(SCORED, bool)) for both in sums]
        for one in blocks:
            of_score(one).interval()
        compare(blocks, margin=0.01)

    _timed(infer)


def score_classes(folder: str, count: int) -> None:
    """Evaluation without a network: the outputs are the true planes, each moved by two pixels."""
    import pandas as pd
    import torch

    from seglib import tasks
    from seglib.datasets.store import Split
    from seglib.evaluation import evaluate
    from seglib.prediction.predictor import Prediction, Predictor

    task = tasks.get("multilabel")

    class MadeUp(Predictor):
        def predict_batch(self, images_BHWC: torch.Tensor, hints: None = None) -> Prediction:
            """The picture's number stands in its first pixel."""
            numbers = images_BHWC[:, 0, 0, 0].long()
            logits_BKHW = 8 * planes_NKHW[numbers].roll((2, 2), (2, 3)).float() - 4
            return Prediction(shares_BKHW=logits_BKHW.sigmoid(), certainty_BKHW=logits_BKHW)

    random = np.random.default_rng(0)
    planes = np.zeros((DRAWN, count, 64, 64), bool)
    y_HW, x_HW = np.mgrid[:64, :64]
    for n, k in np.ndindex(DRAWN, count):
        y, x, radius = random.integers(12, 52, 2).tolist() + [random.integers(5, 12)]
        planes[n, k] = (y_HW - y)**2 + (x_HW - x)**2 < radius**2
    planes_NKHW = torch.from_numpy(planes)
    test = Path(folder) / f"classes-{count}" / "test"
    test.mkdir(parents=True)
    images = np.zeros((DRAWN, 64, 64, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(DRAWN)
    np.save(test / "images.npy", images)
    np.save(test / "masks.npy", np.stack([task.pack(one) for one in planes]))
    pd.DataFrame({"id": [str(n) for n in range(DRAWN)]}).to_parquet(test / "index.parquet")
    predictor = MadeUp(classes=[f"class {k}" for k in range(count)], task=task, image_size=(64, 64), resize="stretch",
                       device=torch.device("cpu"))
    split = Split.open(test.parent, "test")
    _timed(lambda: evaluate(predictor, split, tolerance=2, boundary_band=None))


def draw(points: list[Point], path: Path) -> None:
    """Small multiples, log-log: time above memory, a column for what grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    panels = list(dict.fromkeys(one.panel for one in points))
    rows = {"time, s": lambda one: one.seconds, "peak memory, MB": lambda one: one.peak_mb}
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(len(rows), len(panels), figsize=(12.5, 7.4), sharex="col", sharey="row",
                                layout="constrained")
    for column, panel in enumerate(panels):
        steps = list(dict.fromkeys(one.step for one in points if one.panel == panel))
        for row, (label, value) in enumerate(rows.items()):
            axis = axes[row, column]
            axis.set(xscale="log", yscale="log")
            for step, marker, color in zip(steps, "osD", ("#0072b2", "#d55e00", "#009e73"), strict=False):
                chosen = [one for one in points if (one.panel, one.step) == (panel, step)]
                axis.plot([one.count for one in chosen], [value(one) for one in chosen], marker=marker, color=color,
                          label=step, markersize=5)
            axis.grid(which="major", color="#e5e5e5", linewidth=0.8)
            axis.set_axisbelow(True)
            counts = sorted({one.count for one in points if one.panel == panel})
            axis.set_xticks(counts, [f"{count:,}" for count in counts])
            axis.xaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if row else (1,)))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
            axis.yaxis.set_minor_formatter(NullFormatter())
            if row == 0:
                axis.set_title(f"against {panel}", fontsize=12, loc="left", weight="bold", pad=44)
            else:
                axis.set_xlabel(panel)
            if column == 0:
                axis.set_ylabel(label)
    for axis in axes.flat:
        _proportional(axis)
    for axis in axes[0]:
        legend = axis.legend(frameon=False, fontsize=10, loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2,
                             columnspacing=1)
        legend.set_in_layout(False)  # the titles' padding leaves the room; columns stay equally wide
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _proportional(axis: Any) -> None:
    """A dotted line of slope 1 from the first point of the first curve: growth in proportion."""
    limits = axis.get_xlim(), axis.get_ylim()
    counts, values = axis.lines[0].get_data()
    ends = np.array([counts[0], limits[0][1]])
    axis.plot(ends, values[0] * ends / counts[0], linestyle=":", color="#777777", label="in proportion")
    axis.set(xlim=limits[0], ylim=limits[1])


if __name__ == "__main__":
    main()
