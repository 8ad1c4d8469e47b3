"""Pack raw data into arrays, and draw a contact sheet. `python -m stages.prepare shapes`"""

import csv
from pathlib import Path

import stages


def main(dataset: str) -> None:
    """Fill data/prepared/DATASET as conf/DATASET.prepare.json says; draw data/previews/DATASET.png."""
    # Here, not above: every process that `prepare` starts imports this file, and needs none of this.
    from seglib.configs import PrepareConfig
    from seglib.datasets.prepare import prepare
    from seglib.datasets.store import DatasetInfo, Split
    from seglib.figures import pictures
    from seglib.files import atomic_file, atomic_folder
    from seglib.pipeline.code import RunningCode
    from seglib.pipeline.workspace import dataset_config, prepared_folder, raw_folder

    code = RunningCode(dataset_config(dataset, "prepare"))
    config = PrepareConfig.read(dataset_config(dataset, "prepare"))
    folder, preview = prepared_folder(dataset), Path("data/previews", f"{dataset}.png")
    with atomic_folder(folder, keeps_others=True) as out:
        contents = prepare(raw_folder(dataset), config, out)
        with atomic_file(preview) as sheet:
            pictures.contact_sheet(Split.open(out, "train"), DatasetInfo.read(out), sheet)
            code.check()
    with (folder / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = sum(1 for _ in csv.DictReader(file))
    counts = ", ".join(f"{count} {split}" for split, count in contents.counts.items())
    if contents.annotations:
        tallies = ", ".join(f"{of['count']:,} {tally}" + (f" (such as {of['examples'][0]})" if of["examples"] else "")
                            for tally, of in contents.annotations.items())
        print(f"{dataset}: annotations: {tallies}")
    print(f"{dataset}: {counts}; {rejected} left out ({folder}/rejected.csv says why)")


if __name__ == "__main__":
    stages.run(main)
