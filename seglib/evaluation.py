"""A predictor on one split: what it predicts, and every count that scores are made of.

Pictures are counted at the prepared size, and once more at their own. They are counted in batches, by several processes
if there are cores for them. The counts do not depend on the number of processes: each batch is predicted by as many
threads as the predictor wants, and all sums are of whole numbers.

Shapes: N pictures, B batch, K classes, H, W.
"""

import dataclasses
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seglib.datasets.store import Split
from seglib.files import atomic_file, write_json
from seglib.metrics.boundary import BOUNDARY
from seglib.metrics.counts import COUNTS, OWN
from seglib.metrics.objects import OBJECT, SHAPE
from seglib.metrics.pictures import PictureCounts, count_pictures, pixel_counts_BK4
from seglib.metrics.ranking import ScoreHistogram, coarse_histograms, places_of, write_histograms
from seglib.pipeline.forked import ForkedProcesses, can_fork
from seglib.pipeline.locks import SpareCores
from seglib.pipeline.workspace import ResultFiles
from seglib.prediction.hints import Hint, hint_of
from seglib.prediction.predictor import Predictor
from seglib.training.batches import Feed

if TYPE_CHECKING:
    import pandas as pd

LARGEST_BATCH, BATCH_PIXELS = 64, 1 << 20  # pictures predicted at once, and their pixels; no influence on a score


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """What evaluation counted on one split."""

    counts: "pd.DataFrame"  # one row per picture and class: see metrics.cases.COLUMNS
    objects: "pd.DataFrame"  # one row per true object: split, image, and the other columns of metrics.objects.OBJECT
    confusion: np.ndarray  # pixels by true and predicted class: int64 (K + 1, K + 2)
    ranking: ScoreHistogram
    ranking_NKB2: np.ndarray  # the same in coarse bins, one histogram per picture, for resampling: uint32
    masks: np.ndarray  # what is predicted, packed as the true masks are: (N, H, W)


def evaluate(predictor: Predictor, split: Split, *, tolerance: int, boundary_band: int | None,
             spare: SpareCores | None = None) -> SplitResult:
    """Predict a whole split and count.

    tolerance, boundary_band: as in `configs.EvaluateConfig`. Pixels to ignore are in no count: they are taken out of
    prediction and truth alike. A predictor that needs a hint gets one, made from the truth.
    spare: cores for more processes; None: this process does all the work.
    """
    return _evaluate(predictor, [split], tolerance, boundary_band, spare)[0]


def evaluate_splits(predictor: Predictor, dataset: Path, *, tolerance: int, boundary_band: int | None,
                    spare: SpareCores | None = None) -> dict[str, SplitResult]:
    """`evaluate`, on val and on test of a prepared dataset."""
    names = ("val", "test")
    results = _evaluate(predictor, [Split.open(dataset, name) for name in names], tolerance, boundary_band, spare)
    return dict(zip(names, results, strict=True))


def write(found: Mapping[str, SplitResult], files: ResultFiles, *, predictor: dict[str, Any], tolerance: int,
          boundary_band: int | None, weights_sha256: str | None) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Write what was counted on each split, and the predictions of test. Returns the counts and the objects.

    predictor: what evaluation.json says of the predictor: its kind, how it came to be (`fit`), and what it was told of
    the truth (`hint`). tolerance, boundary_band: what `found` was counted with. weights_sha256: of its weights file, if
    it has one.
    """
    import pandas as pd

    counts, objects = (pd.concat([getattr(result, table) for result in found.values()], ignore_index=True)
                       for table in ("counts", "objects"))
    for path, table in ((files.counts, counts), (files.objects, objects)):
        with atomic_file(path) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
    with atomic_file(files.predictions) as temporary, temporary.open("wb") as file:
        np.save(file, found["test"].masks)
    with atomic_file(files.confusion) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: result.confusion for name, result in found.items()})
    write_histograms(files.ranking, {name: (result.ranking, result.ranking_NKB2) for name, result in found.items()})
    write_json(files.evaluation, {"predictor": predictor, "weights_sha256": weights_sha256, "tolerance": tolerance,
                                  "boundary_band": boundary_band,
                                  "pictures": {name: len(result.masks) for name, result in found.items()}})
    return counts, objects


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Batch:
    """Pictures `start` to `stop` of a split."""

    split: int  # its place among the splits
    start: int
    stop: int
    own_masks: list[np.ndarray] | None  # at the pictures' own sizes, if these are not the network's


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Predicted:
    """What is predicted of a batch and counted on the device."""

    outputs_BKHW: np.ndarray | None
    predicted_BKHW: np.ndarray  # bool, as truth and valid
    truth_BKHW: np.ndarray
    valid_B1HW: np.ndarray | None
    ranking: ScoreHistogram
    ranking_BKB2: np.ndarray
    own_BK4: np.ndarray | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Counted:
    """All that a batch adds to a `SplitResult`."""

    pictures: PictureCounts
    ranking: ScoreHistogram
    ranking_BKB2: np.ndarray
    own_BK4: np.ndarray | None
    masks_BHW: np.ndarray


class _Work:
    """What is done with each batch of some splits: it is predicted, then counted."""

    def __init__(self, predictor: Predictor, splits: Sequence[Split], tolerance: int, boundary_band: int | None):
        self._predictor, self._splits, self._tolerance = predictor, splits, tolerance
        self._boundary_band = boundary_band
        self._feeds = [Feed(split, _batch_size(split), predictor.device, resident=False) for split in splits]
        self._ignores = [feed.ignores for feed in self._feeds]  # masks are read for this once, before any fork

    @property
    def steps(self) -> list[int]:
        """The number of batches of each split."""
        return [feed.steps for feed in self._feeds]

    def batches(self) -> Iterator[_Batch]:
        for place, (split, feed) in enumerate(zip(self._splits, self._feeds, strict=True)):
            own_masks = split.own_masks() if split.has_own_masks() else None
            for start in range(0, len(split), feed.batch_size):
                stop = min(start + feed.batch_size, len(split))
                yield _Batch(split=place, start=start, stop=stop, own_masks=None if own_masks is None else
                             list(itertools.islice(own_masks, stop - start)))

    def predict_and_count(self, batch: _Batch) -> _Counted:
        return self.count(self.predict(batch))

    @torch.no_grad()
    def predict(self, batch: _Batch) -> _Predicted:
        predictor, task = self._predictor, self._predictor.task
        given, = self._feeds[batch.split].batches(np.arange(batch.start, batch.stop))
        truth, valid = task.targets(given.masks_BHW, len(predictor.classes), ignores=self._ignores[batch.split])
        prediction = predictor.predict_batch(given.images_BHWC, _hints(predictor, truth, valid))
        predicted = task.present(prediction.shares_BKHW)
        places = places_of(prediction.certainty_BKHW, truth)
        ranking, ranking_BKB2 = ScoreHistogram(len(predictor.classes)), coarse_histograms(places, valid)
        ranking.add(places, valid)
        own_BK4 = (None if batch.own_masks is None else
                   _counts_at_own_size(predictor, prediction.shares_BKHW, batch.own_masks))
        outputs, predicted, truth, valid = (None if tensor is None else tensor.cpu().numpy() for tensor in (
            prediction.outputs_BKHW, predicted, truth, valid))
        return _Predicted(outputs_BKHW=outputs, predicted_BKHW=predicted, truth_BKHW=truth, valid_B1HW=valid,
                          ranking=ranking, ranking_BKB2=ranking_BKB2, own_BK4=own_BK4)

    def count(self, predicted: _Predicted) -> _Counted:
        pictures = count_pictures(predicted.predicted_BKHW, predicted.truth_BKHW, predicted.valid_B1HW,
                                  predicted.outputs_BKHW, tolerance=self._tolerance,
                                  boundary_band=self._boundary_band, label_values=self._predictor.label_values)
        return _Counted(pictures=pictures, ranking=predicted.ranking, ranking_BKB2=predicted.ranking_BKB2,
                        own_BK4=predicted.own_BK4,
                        masks_BHW=self._predictor.task.pack(predicted.predicted_BKHW.swapaxes(0, 1)))


def _batch_size(split: Split) -> int:
    height, width = split.masks.shape[1:]
    return min(LARGEST_BATCH, max(1, BATCH_PIXELS // (height * width)))


def _evaluate(predictor: Predictor, splits: Sequence[Split], tolerance: int, boundary_band: int | None,
              spare: SpareCores | None) -> list[SplitResult]:
    work = _Work(predictor, splits, tolerance, boundary_band)
    more = len(spare) if spare is not None and can_fork() and sum(work.steps) > 1 else 0
    if predictor.device.type == "cpu" and torch.get_num_threads() == 1:
        # One process per core, this one's own core included, predicts and counts.
        items, run, count = work.batches(), work.predict_and_count, more + 1 if more else 0
    else:  # This process predicts with its threads or on its GPU, which no forked process may use. The others count.
        items, run, count = map(work.predict, work.batches()), work.count, more
    count = min(count, sum(work.steps))
    with ForkedProcesses(run, count, leave=spare.give_back if more else lambda: False) as processes:
        if count:
            threading.Thread(target=_import_for_tables, daemon=True).start()  # while the other processes work
        results = processes.map(items)
        counted = [list(tqdm(itertools.islice(results, steps), total=steps, desc=f"evaluating {split.folder.name}",
                             unit="batch", disable=None))
                   for split, steps in zip(splits, work.steps, strict=True)]
    return [_joined(predictor, split, found) for split, found in zip(splits, counted, strict=True)]


def _import_for_tables() -> None:
    import pandas  # noqa: F401
    from pyarrow import parquet  # noqa: F401


def _joined(predictor: Predictor, split: Split, found: Sequence[_Counted]) -> SplitResult:
    """The result of a split from those of its batches, in their order."""
    name, ids, classes = split.folder.name, split.index()["id"].to_list(), predictor.classes
    counts_NKC = np.concatenate([one.pictures.counts_BKC for one in found])
    own_NK4 = (counts_NKC[..., :len(COUNTS)] if found[0].own_BK4 is None
               else np.concatenate([one.own_BK4 for one in found]))
    for one, first in zip(found, np.cumsum([0, *(len(one.masks_BHW) for one in found[:-1])]), strict=True):
        one.pictures.objects_N7[:, OBJECT.index("picture")] += first
    ranking = ScoreHistogram(len(classes))
    for one in found:
        ranking.counts += one.ranking.counts
    return SplitResult(_count_table(name, ids, classes, np.concatenate([counts_NKC, own_NK4], axis=-1)),
                       _object_table(name, ids, np.concatenate([one.pictures.objects_N7 for one in found])),
                       sum(one.pictures.confusion for one in found), ranking,
                       np.concatenate([one.ranking_BKB2 for one in found]),
                       np.concatenate([one.masks_BHW for one in found]))


def _hints(predictor: Predictor, truth_BKHW: Tensor, valid_B1HW: Tensor | None) -> list[Hint] | None:
    """What the truth tells a predictor that declares a hint; None for all others."""
    if predictor.hint is None:
        return None
    known_BKHW = truth_BKHW if valid_B1HW is None else truth_BKHW & valid_B1HW
    return [hint_of(planes_KHW, predictor.hint) for planes_KHW in known_BKHW.cpu().numpy()]


def _counts_at_own_size(predictor: Predictor, shares_BKHW: Tensor, own_masks: Sequence[np.ndarray]) -> np.ndarray:
    """int64 (B, K, 4): each prediction brought back to its picture's own size, against the picture's own mask.

    What a crop cut away is predicted as no class.
    """
    found, task = [], predictor.task
    for shares_KHW, mask_HW in zip(shares_BKHW, own_masks, strict=True):
        predicted_KHW = predictor.present_at(shares_KHW, mask_HW.shape)
        truth_KHW, valid_HW = task.unpack(mask_HW, len(shares_KHW)), ~task.ignored(mask_HW)
        planes = (predicted_KHW & valid_HW, truth_KHW & valid_HW, valid_HW[None])
        found.append(pixel_counts_BK4(*(planes_KHW[None] for planes_KHW in planes)))
    return np.concatenate(found)


def _count_table(split: str, ids: list[str], classes: list[str], values_NKC: np.ndarray) -> "pd.DataFrame":
    import pandas as pd

    columns = (*COUNTS, *BOUNDARY, *SHAPE, "displayed", *OWN)
    real = ("hd95", "displayed")  # the others are whole numbers
    return pd.DataFrame({
        "split": split, "image": np.repeat(ids, len(classes)), "class": np.tile(classes, len(ids)),
        **{name: values_NKC[..., i].ravel().astype(np.float64 if name in real else np.int64)
           for i, name in enumerate(columns)}})


def _object_table(split: str, ids: list[str], objects_N7: np.ndarray) -> "pd.DataFrame":
    import pandas as pd

    images = [ids[n] for n in objects_N7[:, 0]]
    return pd.DataFrame({"split": split, "image": images} | dict(zip(OBJECT[1:], objects_N7.T[1:], strict=True)))
