"""What one evaluation counted on one split, as the arrays that scores are computed from.

Shapes: N pictures, U units, K classes. A unit is what inference takes as one random draw: a picture, or a
group of pictures (the slices of a patient, the frames of a video) if the dataset names groups.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from seglib.metrics.boundary import BOUNDARY
from seglib.metrics.counts import OWN
from seglib.metrics.objects import SEEN, SHAPE
from seglib.metrics.overlap import COUNTS
from seglib.metrics.ranking import SplitHistograms

COLUMNS = (*COUNTS, *BOUNDARY, *SHAPE, "displayed", *OWN)
SIZES = ("small", "medium", "large")  # thirds of the test objects, by their pixels
CROWDS = ("1", "2", "3", "4", "5 or more")  # objects in a picture
OVERLAPS = ("free", "covered")  # covered: the object shares pixels with an object of another class
GROUPS = [(kind, which) for kind, names in (("size", SIZES), ("objects", CROWDS), ("overlap", OVERLAPS))
          for which in names]


@dataclasses.dataclass(frozen=True)
class Cases:
    """Counts of one split. `cases[column]` is float64 (N, K)."""

    columns: Mapping[str, np.ndarray]
    """The columns of counts.parquet, and the sums of objects.parquet: `objects`, `found`, `missed` and `wrong`, each
    also for the objects of one group alone (`missed size small`)"""
    histograms: SplitHistograms | None = None
    """Pixels by how sure the predictor is; None if they were not read: then there is no average precision"""
    units_N: np.ndarray | None = None
    """The unit of each picture, counted from 0: int64 (N,). None: each picture is one"""

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    @property
    def pictures(self) -> int:
        return len(self.columns["tp"])

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.pictures if self.units_N is None else int(self.units_N.max()) + 1

    def by_unit(self, values_N: np.ndarray) -> np.ndarray:
        """Counts of each picture, (N, ...), summed over each unit's pictures: (U, ...) of the same type."""
        if self.units_N is None:
            return values_N
        sums_U = np.zeros((self.units, *values_N.shape[1:]), values_N.dtype)
        np.add.at(sums_U, self.units_N, values_N)
        return sums_U

    def present(self, size: str = "") -> np.ndarray:
        """Which classes the truth of any picture holds, bool (K,). `size` "own_" asks for the pictures' own size.

        A class that the truth never holds has no score: false alarms cannot be told from a class that nobody labelled.
        """
        return (self[f"{size}tp"] + self[f"{size}fn"]).sum(0) > 0


def cases_of(counts: pd.DataFrame, objects: pd.DataFrame, split: str, classes: Sequence[str],
             sizes: Sequence[float], histograms: SplitHistograms | None = None,
             units_N: np.ndarray | None = None) -> Cases:
    """The cases of one split, from counts.parquet and objects.parquet. `sizes` comes from `size_edges`."""
    rows = counts[counts["split"] == split]
    columns = {name: rows[name].to_numpy(np.float64).reshape(-1, len(classes)) for name in COLUMNS}
    found = objects[objects["split"] == split]
    pictures = pd.Index(rows["image"].to_numpy()[::len(classes)])
    place = (pictures.get_indexer(found["image"]), found["class"].to_numpy(np.int64))

    def summed(values: np.ndarray, which: np.ndarray) -> np.ndarray:
        total = np.zeros((len(pictures), len(classes)))
        np.add.at(total, place, np.where(which, values, 0.0))
        return total

    taken = found["taken_for"].to_numpy()
    share = found["found"].to_numpy() / found["area"].to_numpy()
    values = {"objects": np.ones(len(found)), "found": share, "missed": share < SEEN,
              "wrong": (taken >= 0) & (taken != place[1])}
    crowd = found.groupby("image")["image"].transform("size").to_numpy(np.int64)
    members = {"size": np.array(SIZES)[np.digitize(found["area"].to_numpy(), sizes)],
               "objects": np.array(CROWDS)[np.minimum(crowd, len(CROWDS)) - 1],
               "overlap": np.array(OVERLAPS)[(found["covered"].to_numpy() > 0).astype(int)]}
    for name, of_object in values.items():
        columns[name] = summed(of_object, np.ones(len(found), bool))
        for kind, which in GROUPS:
            columns[f"{name} {kind} {which}"] = summed(of_object, members[kind] == which)
    return Cases(columns, histograms, units_N)


def size_edges(objects: pd.DataFrame) -> list[float]:
    """The areas, in pixels, from which an object is medium and large: thirds of the test objects."""
    areas = objects.loc[objects["split"] == "test", "area"]
    return np.quantile(areas, [1 / 3, 2 / 3]).tolist() if len(areas) else [0.0, 0.0]
