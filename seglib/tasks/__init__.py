"""Tasks: what the truth of a dataset is. Each has a module named after it, which is imported when the task is used."""

import importlib
from typing import TYPE_CHECKING

from seglib.names import brief, nearest

if TYPE_CHECKING:
    from seglib.tasks.task import Task

NAMES = ("multilabel", "multiclass")


def get(name: str) -> "Task":
    """The task of this name. Raises ValueError if there is none."""
    if name not in NAMES:
        raise ValueError(f"there is no task {brief(name)}, {nearest(name, list(NAMES))}")
    return importlib.import_module(f"{__name__}.{name}").TASK
