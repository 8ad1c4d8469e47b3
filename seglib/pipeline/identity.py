"""The identity of a training: one hash, which names its MLflow run and its record.

Two trainings of one identity end in the same bytes. Names are not part of it: a loss called `mse_dice` with
`dice_scale` 20 is `mse_dice20`.
"""

import hashlib

from seglib.configs import TrainConfig
from seglib.files import canonical_json
from seglib.pipeline.code import Code
from seglib.pipeline.provenance import Provenance
from seglib.pipeline.workspace import TrainingFiles
from seglib.training.device import Conditions
from seglib.training.optimization import OPEN_ENDED


def identity_of(files: TrainingFiles) -> str:
    """The identity of the training that these files describe, if it runs here and now.

    It covers configuration, train and val pictures, and provenance with the fingerprint of the code.
    """
    return _hash(canonical_json(TrainConfig.read(files.train_config).content()), _data_of(files),
                 canonical_json(provenance_of(files).content()))


def provenance_of(files: TrainingFiles) -> Provenance:
    """The provenance that these files' training has if it runs here and now."""
    conditions = Conditions.of(TrainConfig.read(files.train_config).train)
    return Provenance.here(conditions.torch_device, precision=conditions.precision, threads=conditions.threads,
                           fingerprint=Code.read(files.train_config, part="code").fingerprint)


def state_key(files: TrainingFiles) -> str:
    """The name of the folder with the training's checkpoints. Trainings that can go on from each other share one."""
    config = TrainConfig.read(files.train_config)
    content = config.content()
    if can_be_extended(config):
        del content["train"]["epochs"]
    return _hash(canonical_json(content), _data_of(files), Code.read(files.train_config, part="code").fingerprint)


def can_be_extended(config: TrainConfig) -> bool:
    """Whether a training with more epochs begins with the steps of this one."""
    return config.train.schedule in OPEN_ENDED


def _data_of(files: TrainingFiles) -> str:
    return (files.prepared / "dataset.json").read_text(encoding="utf-8")


def _hash(*parts: str) -> str:
    """sha256, as 64 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(encoded := part.encode()).to_bytes(8) + encoded)
    return digest.hexdigest()
