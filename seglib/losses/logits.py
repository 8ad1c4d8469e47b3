"""Terms on the logits: cross-entropies, which take the sigmoid or softmax themselves, stably.

They read the planes, never `train.output`, and are in nats. Ignored pixels are left out of sum and count alike, and get
no gradient; if every pixel is ignored, a term is 0. Shapes: B batch, K classes, H, W.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seglib.losses.view import View


def bce(view: View) -> Tensor:
    """Binary cross-entropy, each class for itself: the mean over classes and pixels of

        -log p where the class is, -log(1 - p) where it is not;  p = sigmoid(logit)

    A class that an image does not hold counts as any other: the network learns to leave it out. Where classes
    exclude each other it still trains each as if it stood alone.
    """
    return view.mean(_binary_cross_entropy_BKHW(view))


def ce(view: View, *, class_weights: Sequence[float] | None = None) -> Tensor:
    """Cross-entropy over classes that exclude each other: the weighted mean over pixels of

        -log p_y;  p = softmax(logits), y the pixel's class, weighted by class_weights[y], 1 each where None

    divided by the sum of these weights, as torch's `cross_entropy` has it. Written with a softmax and planes because
    torch's own is not deterministic on CUDA. A class that no pixel has adds no term, but its probability is what the
    others lose. 0 where all weights are. Raises ValueError where classes may overlap, or when there is not a weight a
    class.
    """
    if not view.exclusive:
        raise ValueError("the loss term ce needs classes that exclude each other; where they may overlap take bce")
    log_p_BKHW = view.logits_BKHW.log_softmax(1)
    if class_weights is None:
        return _mean_at_labels(view, -log_p_BKHW)
    if len(class_weights) != log_p_BKHW.shape[1]:
        raise ValueError(f"class_weights has {len(class_weights)} numbers for {log_p_BKHW.shape[1]} classes: "
                         "give one a class, in their order")
    return _mean_at_labels(view, -log_p_BKHW, _weights_K11(tuple(class_weights), log_p_BKHW.device))


@functools.cache
def _weights_K11(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (K, 1, 1). Kept, because making one anew on a GPU is to wait for all that it has still to do."""
    return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)


def focal(view: View, *, focal_gamma: float = 2.0) -> Tensor:
    """Focal loss (Lin et al. 2017, arXiv 1708.02002), without its alpha: a cross-entropy that counts

        (1 - p)^gamma · -log p,  p the probability given to the truth

    so that what is right already counts little. Where classes may overlap p is each class's own, by sigmoid, and the
    mean runs over classes and pixels (gamma 0 is `bce`); where they exclude each other p is the softmax's of the
    pixel's class, and it runs over pixels (gamma 0 is `ce` without weights). A class that an image does not hold
    counts as it does there. 1 - p is formed from logits, so that no gamma from 0 has an infinite gradient.
    """
    if not view.exclusive:
        wrong_BKHW = functional.logsigmoid(torch.where(view.planes_BKHW, -view.logits_BKHW, view.logits_BKHW))
        return view.mean((focal_gamma * wrong_BKHW).exp() * _binary_cross_entropy_BKHW(view))
    least = torch.finfo(view.logits_BKHW.dtype).min
    others_BKHW = view.logits_BKHW.masked_fill(view.planes_BKHW, least)
    wrong_B1HW = others_BKHW.logsumexp(1, keepdim=True) - view.logits_BKHW.logsumexp(1, keepdim=True)
    return _mean_at_labels(view, (focal_gamma * wrong_B1HW).exp() * -view.logits_BKHW.log_softmax(1))


def inverse_frequency(class_pixels: Sequence[int], valid_pixels: int) -> list[float]:
    """Weights for `ce` under which every class counts the same in total: valid_pixels / (K · class_pixels[k]).

    class_pixels: pixels of each class in the training split; valid_pixels: all of them that are not ignored.
    A class with no pixels weighs 0: training holds no term of it to weigh, its inverse is infinite, and a single val
    pixel of it would then drown all others.
    """
    return [valid_pixels / (len(class_pixels) * pixels) if pixels else 0.0 for pixels in class_pixels]


def _binary_cross_entropy_BKHW(view: View) -> Tensor:
    truth_BKHW = view.planes_BKHW.to(view.logits_BKHW.dtype)
    return functional.binary_cross_entropy_with_logits(view.logits_BKHW, truth_BKHW, reduction="none")


def _mean_at_labels(view: View, values_BKHW: Tensor, weights_K11: Tensor | float = 1.0) -> Tensor:
    """The weighted mean, over pixels, of the value at the pixel's own class; 0 if the weights sum to 0."""
    weights_BKHW = view.kept(view.planes_BKHW) * weights_K11
    total = weights_BKHW.sum()
    return (weights_BKHW * values_BKHW).sum() / total.clamp(min=torch.finfo(total.dtype).tiny)
