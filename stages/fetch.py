"""Get a dataset's raw data from the network, a mirror or a generator. `python -m stages.fetch shapes`"""

import stages
from seglib.configs import FetchConfig
from seglib.datasets.readers import SELECTION, reader_of
from seglib.files import atomic_folder, write_json
from seglib.pipeline.code import RunningCode
from seglib.pipeline.workspace import dataset_config, raw_folder


def main(dataset: str) -> None:
    """Fill data/raw/DATASET/fetched as conf/DATASET.fetch.json says."""
    code = RunningCode(dataset_config(dataset, "fetch"))
    config = FetchConfig.read(dataset_config(dataset, "fetch"))
    folder = raw_folder(dataset)
    with atomic_folder(folder) as out:
        selection = reader_of(config.kind).fetch(config, out)
        write_json(out / SELECTION, selection)
        code.check()
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    for name, numbers in selection.items():
        print(f"{dataset}: {numbers['selected']} of {numbers['pictures']} pictures of {name} pass")
    print(f"{dataset}: {size / 1e6:.1f} MB in {folder}")


if __name__ == "__main__":
    stages.run(main)
