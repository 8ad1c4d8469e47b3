"""Batches for the loss terms to see, made by hand or drawn. Shapes: B, K, H, W."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from seglib.losses.view import View


def of_output(output: Tensor, target: Tensor, valid: Tensor | None = None) -> View:
    """For terms on the output; a class is where its target is not 0."""
    return View(logits_BKHW=torch.full_like(output, torch.nan), output_BKHW=output, target_BKHW=target,
                planes_BKHW=target != 0, valid_B1HW=valid, exclusive=False)


def of_logits(logits: Tensor, planes: Tensor, valid: Tensor | None = None, *, exclusive: bool = False) -> View:
    """As a training makes it with unit targets."""
    return View(logits_BKHW=logits, output_BKHW=logits.softmax(1) if exclusive else logits.sigmoid(),
                target_BKHW=planes.to(logits.dtype), planes_BKHW=planes, valid_B1HW=valid, exclusive=exclusive)


def one_hot(labels_BHW: Tensor, classes: int) -> Tensor:
    """Boolean planes; a label that is no class, such as 255, is in none."""
    return labels_BHW.unsqueeze(1) == torch.arange(classes).view(-1, 1, 1)


def plane(*columns: int) -> Tensor:
    """(1, 1, 2, 4): ones in the named columns."""
    mask = torch.zeros(1, 1, 2, 4)
    mask[..., list(columns)] = 1
    return mask


@st.composite
def batches(draw: st.DrawFn, *, exclusive: bool | None = None) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Float64 logits (B, K, H, W), planes, valid pixels (B, 1, H, W), whether the planes exclude each other.

    Classes may be absent, or everywhere; in some batches every pixel is valid, in some none.
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    exclusive = draw(st.booleans()) if exclusive is None else exclusive
    shape = B, K, H, W = draw(st.tuples(*(st.integers(low, high) for low, high in ((1, 3), (1, 4), (1, 6), (1, 6)))))
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * draw(st.sampled_from([0.1, 3, 30]))
    if exclusive:
        planes = one_hot(torch.randint(0, draw(st.integers(1, K)), (B, H, W), generator=generator), K)
    else:
        planes = torch.rand(shape, generator=generator) < torch.rand(B, K, 1, 1, generator=generator).mul(2).sub(0.5)
    valid = torch.rand(B, 1, H, W, generator=generator) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    return logits, planes, valid, exclusive
