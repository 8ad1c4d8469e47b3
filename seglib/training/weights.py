"""weights.safetensors: a network's weights, with a JSON header that rebuilds the network. No pickle."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import nn

from seglib import models
from seglib.configs import ModelConfig
from seglib.files import atomic_file
from seglib.training.header import Header

HEADER_KEY = "seglib"


def save(path: Path, state: dict[str, torch.Tensor], header: Header) -> None:
    """Write the file whole. Equal weights and headers give equal bytes. Raises OSError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    metadata = {HEADER_KEY: json.dumps(header.content(), sort_keys=True)}
    with atomic_file(path) as temporary:
        temporary.write_bytes(serialized(tensors, metadata))  # safetensors' own writer hides what a full disk said


def read_header(path: Path) -> Header:
    """Raises ValueError for a file that is not seglib's."""
    try:
        with safe_open(path, framework="pt") as file:
            return Header(**json.loads((file.metadata() or {})[HEADER_KEY]))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` or `dvc checkout` brings it") from None
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a weights file of seglib: {_line(error)}") from None


def load(path: Path, device: torch.device) -> tuple[nn.Module, Header]:
    """The network, in evaluation mode on `device`, and its header. Raises ValueError for a file that is not seglib's,
    or whose header and weights do not fit each other.
    """
    header = read_header(path)
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes the header states
            expected = _build(header).state_dict()
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if wrong := sorted(name for name in found.keys() | expected.keys()
                               if name not in expected or found.get(name) != tuple(expected[name].shape)):
                raise ValueError(f"its header and its weights differ, first in {wrong[0]:.80}")
            state = {name: file.get_tensor(name) for name in found}
        network = _build(header)
        network.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"{path} is not a weights file of seglib: {_line(error)}") from None
    return network.to(device, memory_format=torch.channels_last).eval(), header


def _build(header: Header) -> nn.Module:
    return models.build(ModelConfig.of(header.model), classes=len(header.classes), image_size=header.image_size,
                        pretrained=False)


def _line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"
