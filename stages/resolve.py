"""params.yaml -> conf/: one file a variant, four a dataset. `python -m stages.resolve`

It runs every time, before every other stage. A mistake in params.yaml is reported before anything is fetched or
trained. A user's folder in a place that a stage writes to is refused before DVC removes that stage's outputs.
"""

from pathlib import Path

import stages
from seglib import params, resolve
from seglib.files import atomic_folder, repository_root, write_json
from seglib.pipeline.user_paths import refuse_overlap


def main() -> None:
    """Validate params.yaml and write the configuration of every dataset and variant that `run` picks."""
    settings = params.load(Path("params.yaml"))
    refuse_overlap(settings, repository_root())
    variants = resolve.resolve(settings)
    with atomic_folder(Path("conf")) as conf:
        for name in settings.run.datasets:
            write_json(conf / f"{name}.fetch.json", resolve.fetch_config(settings, name))
            write_json(conf / f"{name}.prepare.json", resolve.prepare_config(settings, name))
            write_json(conf / f"{name}.evaluate.json", settings.evaluate.model_dump())
            write_json(conf / f"{name}.compare.json", resolve.compare_config(settings, name))
        for variant in variants:
            write_json(conf / variant.dataset / f"{variant.name}.json", variant.config)
    print(f"{len(variants)} variants of {', '.join(settings.run.datasets)}")


if __name__ == "__main__":
    stages.run(main)
