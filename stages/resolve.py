"""Write conf/ from params.yaml: two files per training, four per dataset. `python -m stages.resolve`

It runs every time, before every other stage. A mistake in params.yaml is reported before anything is fetched or
trained. A user's folder in a place that a stage writes to is refused before DVC removes that stage's outputs.
"""

import itertools
from pathlib import Path

import stages
from seglib import params, resolve
from seglib.files import atomic_folder, repository_root, write_json
from seglib.pipeline.user_paths import refuse_overlap
from seglib.pipeline.workspace import TrainingFiles, dataset_config


def main() -> None:
    """Validate params.yaml and write the configurations of every dataset and training that `run` picks."""
    settings = params.load(Path("params.yaml"))
    refuse_overlap(settings, repository_root())
    configs = {}
    for name in settings.run.datasets:
        configs[dataset_config(name, "fetch")] = resolve.fetch_config(settings, name)
        configs[dataset_config(name, "prepare")] = resolve.prepare_config(settings, name)
        configs[dataset_config(name, "predict")] = resolve.predict_config(settings, name)
        configs[dataset_config(name, "compare")] = resolve.compare_config(settings, name)
    trainings = resolve.resolve(settings)
    for training in trainings:
        files = TrainingFiles(training.dataset, training.name)
        configs |= {files.train_config: training.train, files.evaluate_config: training.evaluate}
    with atomic_folder(Path("conf")) as conf:
        for path, config in configs.items():
            write_json(conf / path.relative_to("conf"), config.content())
    for name, predictor in itertools.product(settings.run.datasets, settings.run.predictors):
        if predictor not in configs[dataset_config(name, "predict")].predictors:
            print(f"{predictor} is not for {name}, whose task is {settings.datasets[name].task()}")
    print(f"{len(trainings)} trainings on {', '.join(settings.run.datasets)}")


if __name__ == "__main__":
    stages.run(main)
