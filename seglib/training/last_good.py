"""If a training diverges, the weights of its last checkpoint are kept beside that."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from seglib.training import checkpoint, weights
from seglib.training.header import Header
from seglib.training.history import Diverged


@contextlib.contextmanager
def last_good_kept(header: Header, checkpoint_path: Path) -> Iterator[None]:
    """If a training diverges, write the weights of its last checkpoint beside that, and say so in the error."""
    try:
        yield
    except Diverged as error:
        raise Diverged(f"{error}\n{_keep(header, checkpoint_path)}") from None


def _keep(header: Header, checkpoint_path: Path) -> str:
    state, folder = checkpoint.load(checkpoint_path), checkpoint_path.parent
    if state is None:
        return "no weights were kept: the training diverged before its first checkpoint"
    epoch = state["history"]["epoch"]
    try:
        weights.save(folder / "weights.safetensors", state["network"], header)
    except OSError as error:
        return f"the last good weights, of epoch {epoch}, are only in its checkpoint: {error}"
    return f"the last good weights, of epoch {epoch}, are kept: seglib predict {folder} PICTURES"
