"""Terms on the output: how far it lies from its target, and how much the two overlap.

Ignored pixels leave output and target alike, and get no gradient. The overlap terms have no unit: 0 is the same, 1 is
nothing shared. A class that an image does not hold has a loss of 1 there whatever the output, and no gradient: so an
overlap term alone never teaches a network to leave a class out. Shapes: B batch, K classes, H, W.
"""

from torch import Tensor

from seglib.losses.view import View

OVER = {"image": (2, 3), "batch": (0, 1, 2, 3)}  # the dimensions that a sum runs over


def mse(view: View) -> Tensor:
    """Mean squared error of the output, over all classes and all pixels that are not ignored.

    In squares of the target's unit. A class that an image does not hold counts as any other: its target is 0.
    """
    return view.mean((view.output_BKHW - view.target_BKHW).square())


def dice(view: View, *, epsilon: float = 1e-6, dice_reduction: str = "image") -> Tensor:
    """Dice loss with squares in the denominator (Milletari et al. 2016, V-Net), as the course's assignment gives it:

        1 - mean( 2 Σ output·target / (Σ output² + Σ target² + epsilon) )

    `dice_reduction` "image": the sums run over H and W, the mean over images and classes. "batch": the sums run over
    the whole batch flattened, classes included, and there is one Dice: what is put where a class is not adds to the
    denominator, and so has a gradient.
    """
    shared, squares = _shared_and_squares(view, dice_reduction)
    return 1 - (2 * shared / (squares + epsilon)).mean()


def iou(view: View, *, epsilon: float = 1e-6, dice_reduction: str = "image") -> Tensor:
    """Soft IoU (Jaccard) loss with squares, Tanimoto's form (Diakogiannis et al. 2020, ResUNet-a):

        1 - mean( Σ output·target / (Σ output² + Σ target² - Σ output·target + epsilon) )

    With squares each IoU is D / (2 - D) of the Dice D above, and targets of any scale work as they do there.
    `dice_reduction` as in `dice`.
    """
    shared, squares = _shared_and_squares(view, dice_reduction)
    return 1 - (shared / (squares - shared + epsilon)).mean()


def tversky(view: View, *, epsilon: float = 1e-6, tversky_alpha: float = 0.5, tversky_beta: float = 0.5) -> Tensor:
    """Tversky loss (Salehi et al. 2017, arXiv 1706.05721), a mean over images and classes:

        1 - mean( TP / (TP + alpha·FP + beta·FN + epsilon) )
        TP = Σ output where the class is,  FP = Σ output where it is not,  FN = Σ (target - output) where it is

    alpha = beta = 0.5 is Dice without squares, alpha = beta = 1 IoU without; a larger beta forgives a false alarm
    sooner than a miss. The output must lie between 0 and its target, as a sigmoid or softmax does.
    """
    output = view.kept(view.output_BKHW)
    found = (output * view.planes_BKHW).sum((2, 3))
    false_alarm = (output * ~view.planes_BKHW).sum((2, 3))
    missed = view.kept(view.target_BKHW).sum((2, 3)) - found
    return 1 - (found / (found + tversky_alpha * false_alarm + tversky_beta * missed + epsilon)).mean()


def _shared_and_squares(view: View, reduction: str) -> tuple[Tensor, Tensor]:
    """Σ output·target and Σ output² + Σ target²: (B, K), or scalars of the whole batch."""
    output, target, over = view.kept(view.output_BKHW), view.kept(view.target_BKHW), OVER[reduction]
    return (output * target).sum(over), output.square().sum(over) + target.square().sum(over)
