"""Write conf/ from params.yaml and the code: two files per training, four per dataset. `python -m stages.resolve`

It runs every time, before every other stage. Each file holds the configuration of one run of a stage and the
fingerprint of the code that decides its outputs; the stage runs again if its file changes. A mistake in params.yaml,
and a name in claims.yaml that it does not define, are reported before anything is fetched or trained. A user's file
in a place that a stage writes to is refused before DVC removes that stage's outputs.
"""

import itertools
from pathlib import Path

import stages
from seglib import params, resolve
from seglib.configs import Config, ReportConfig
from seglib.files import atomic_folder, repository_root, write_json
from seglib.params import Params, claimed
from seglib.pipeline.code import Code
from seglib.pipeline.fingerprint import Fingerprinter
from seglib.pipeline.user_paths import refuse_overlap, refuse_strays
from seglib.pipeline.workspace import MACHINE_CONFIG, REPORT_CONFIG, TrainingFiles, dataset_config

CLAIMS = Path("claims.yaml")


def main() -> None:
    """Validate params.yaml and write the configurations of every dataset and training that `run` picks."""
    settings, fingerprinter = params.load(Path("params.yaml")), Fingerprinter()
    if CLAIMS.is_file():
        claimed.check(CLAIMS, settings)
    refuse_overlap(settings, repository_root())
    trainings = resolve.resolve(settings)
    refuse_strays(TrainingFiles(training.dataset, training.name) for training in trainings)
    configs = configs_of(settings, trainings)
    with atomic_folder(Path("conf")) as conf:
        for path, (config, task) in configs.items():
            code = Code.of_run(config, fingerprinter, task=task)
            write_json(conf / path.relative_to("conf"), {"code": code.content(), "config": config.content()})
        machine = {"code": None, "config": resolve.machine_config(settings).content()}
        write_json(conf / MACHINE_CONFIG.relative_to("conf"), machine)
    for name, predictor in itertools.product(settings.run.datasets, settings.run.predictors):
        if predictor not in configs[dataset_config(name, "predict")][0].predictors:
            print(f"{predictor} is not for {name}, whose task is {settings.datasets[name].task()}")
    print(f"{len(trainings)} trainings on {', '.join(settings.run.datasets)}")


def configs_of(settings: Params, trainings: list[resolve.Training]) -> dict[Path, tuple[Config, str | None]]:
    """Each file's configuration, and the task of its dataset; the report has none."""
    configs: dict[Path, tuple[Config, str | None]] = {
        REPORT_CONFIG: (ReportConfig(datasets=sorted(settings.run.datasets)), None)}
    for name in settings.run.datasets:
        task = settings.datasets[name].task()
        configs |= {dataset_config(name, stage): (make(settings, name), task) for stage, make in (
            ("fetch", resolve.fetch_config), ("prepare", resolve.prepare_config), ("predict", resolve.predict_config),
            ("compare", resolve.compare_config))}
    for training in trainings:
        files, task = TrainingFiles(training.dataset, training.name), settings.datasets[training.dataset].task()
        configs |= {files.train_config: (training.train, task), files.evaluate_config: (training.evaluate, task)}
    return configs


if __name__ == "__main__":
    stages.run(main)
