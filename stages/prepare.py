"""Raw data to packed arrays and a contact sheet. `python -m stages.prepare shapes`"""

from pathlib import Path

import pandas as pd

import stages
from seglib.datasets.prepare import prepare
from seglib.datasets.store import Split
from seglib.figures import pictures
from seglib.files import atomic_folder, read_json


def main(dataset: str) -> None:
    """Fill data/prepared/DATASET as conf/DATASET.prepare.json says; draw data/previews/DATASET.png."""
    config = read_json(Path(f"conf/{dataset}.prepare.json"))
    folder = Path("data/prepared") / dataset
    with atomic_folder(folder) as out:
        info = prepare(Path("data/raw") / dataset, config, out)
    pictures.contact_sheet(Split.open(folder, "train"), info, Path("data/previews") / f"{dataset}.png")
    rejected = len(pd.read_csv(folder / "rejected.csv"))
    counts = ", ".join(f"{count} {split}" for split, count in info.counts.items())
    print(f"{dataset}: {counts}; {rejected} left out (data/prepared/{dataset}/rejected.csv says why)")


if __name__ == "__main__":
    stages.run(main)
