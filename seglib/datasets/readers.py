"""The readers of datasets: one module per kind, which is imported when it is used.

A dataset's reader is a module with three functions, and KINDS names it:

    describe(config: PrepareConfig) -> Description
    fetch(config: FetchConfig, out) -> dict
        Fill the raw folder. Return, for each part that a rule chose from, {"pictures": considered, "selected": taken}.
    read(raw, config: PrepareConfig, split) -> Iterator[Sample | Rejection | Job]
        Give a split's pictures, each at its own size, and what is left out of it. A job is a small picklable callable
        that gives these when it is called. Pictures that have to be decoded are given as jobs, one each: all cores do
        jobs, while a sample is brought to the network's size by the one process that reads.
"""

from types import ModuleType

from seglib.registry import LazyEntry, lookup

KINDS: dict[str, LazyEntry] = {
    "shapes": LazyEntry("seglib.datasets.shapes"),
    "coco": LazyEntry("seglib.datasets.coco"),
    "pets": LazyEntry("seglib.datasets.pets"),
    "stanford": LazyEntry("seglib.datasets.stanford"),
    "folder": LazyEntry("seglib.datasets.folder"),
}
SELECTION = "selection.json"  # in the raw folder: what `fetch` considered and took


def reader_of(kind: str) -> ModuleType:
    """The reader of a kind of dataset. Raises ValueError for an unknown kind."""
    return lookup(KINDS, kind, "dataset kind").load()
