"""A term on the output that asks how far from the true outline a mistake lies. Shapes: B batch, K classes, H, W."""

import numpy as np
import torch
from torch import Tensor

from seglib.losses.view import View


def boundary(view: View) -> Tensor:
    """Boundary loss (Kervadec et al. 2019, arXiv 1812.07032): the mean over classes and pixels of

        distance · (output - target),  distance the signed distance to the true outline, negative inside

    in pixels: a mistake costs as much as it lies far from the outline. The loss its authors train with leaves out
    `target`, which changes the value by a constant and no gradient; with it the value is what they approximate, the
    distance between the two outlines: 0 at a perfect output and never negative, as long as the output lies between 0
    and its target, as a sigmoid or softmax does. Add it to an overlap term, as they do: a class's rim, at distance 0,
    gets no gradient.

    Ignored pixels do not count and get no gradient. A class that an image does not hold has no outline there, and
    neither has one that fills it: both contribute 0.

    Costs two distance transforms a class and image, by SciPy on the CPU wherever the network runs: together 0.23 ms at
    64×64 pixels and 3.9 ms at 256×256 on one core of an Intel Xeon; and on a GPU a wait for the planes.
    """
    valid_B1HW = None if view.valid_B1HW is None else view.valid_B1HW.cpu().numpy()
    distances_BKHW = signed_distances(view.planes_BKHW.cpu().numpy(), valid_B1HW)
    return view.mean(torch.from_numpy(distances_BKHW).to(view.output_BKHW.device)
                     * (view.output_BKHW - view.target_BKHW))


def signed_distances(planes_BKHW: np.ndarray, valid_B1HW: np.ndarray | None = None) -> np.ndarray:
    """From each pixel to the outline of its image's class, Euclidean, in pixels: bool planes to float32 (B, K, H, W).

    Outside: to the nearest pixel of the class. Inside: 1 less than to the nearest pixel that is not of it, negated,
    so that the class's rim has 0; as the authors' code has it. Nothing is nearest on ignored pixels, of which nobody
    knows what they are: where one meets the class there is no outline. 0 where the class or its outside is empty.
    """
    from scipy.ndimage import distance_transform_edt  # only here: all other losses do without SciPy

    valid_B1HW = np.ones_like(planes_BKHW[:, :1]) if valid_B1HW is None else valid_B1HW
    distances_BKHW = np.zeros(planes_BKHW.shape, np.float32)
    for b, k in np.ndindex(planes_BKHW.shape[:2]):
        plane_HW = planes_BKHW[b, k]
        inside_HW, outside_HW = plane_HW & valid_B1HW[b, 0], ~plane_HW & valid_B1HW[b, 0]
        if inside_HW.any() and outside_HW.any():
            distances_BKHW[b, k] = np.where(plane_HW, 1 - distance_transform_edt(~outside_HW),
                                            distance_transform_edt(~inside_HW))
    return distances_BKHW
