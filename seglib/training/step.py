"""A training step and a step of validation: from the next batch to changed weights, recorded losses and counts.

A step is one function over tensors that stay where they are. A CPU calls it. A GPU captures it as a CUDA graph, once
for each batch size, and replays it. Nothing in it waits for the device. Shapes: B batch, K classes, H, W.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from seglib import models
from seglib.configs import TrainConfig
from seglib.losses import TERMS
from seglib.losses.view import View
from seglib.losses.weighted import WeightedLoss
from seglib.metrics.counts import count_BK4
from seglib.training.augment import Augment
from seglib.training.batches import Batch, step_seed
from seglib.training.device import products_of
from seglib.training.graphs import DrawsNumbers, Graphs
from seglib.training.history import History
from seglib.training.inputs import Inputs
from seglib.training.optimization import Optimization
from seglib.training.setup import Setup


class Steps:
    """The steps of one phase of a training.

    first: the number of the phase's first step in the training, from 1.
    capture: whether a GPU captures them. `eager_because` says why it does not, if something prevents it.
    """

    def __init__(self, setup: Setup, loss: WeightedLoss, optimization: Optimization, history: History, *,
                 train: Inputs, val: Inputs, augment: Augment | None, first: int, capture: bool):
        self._setup, self._loss, self._optimization, self._history = setup, loss, optimization, history
        self._train, self._val, self._augment, self._first = train, val, augment, first
        self.eager_because = self._eager_because()
        self._graphs = None
        if capture and setup.device.type == "cuda" and not self.eager_because:
            self._graphs = Graphs(setup.device, lambda: [
                *setup.network.buffers(), *optimization.kept, *history.kept])

    def train(self, iteration: int, *, ends_window: bool) -> int:
        """Learn from the next batch. Returns the number of its pictures.

        iteration: the number of the step in the training, from 1: what a step draws at random is a function of it and
        of the seed.
        """
        size = self._train.advance()
        with_norms = ends_window and self._setup.network.output_layer is not None
        with products_of(self._setup.precision):
            work = partial(self._learn, size, with_norms)
            if not self._replayed(("train", size, with_norms), work):
                self._optimization.before_step(iteration - self._first)
                self._call(work, iteration)
        return size

    @torch.no_grad()
    def validate(self, iteration: int) -> int:
        """Count the next batch of the val split. Returns the number of its pictures. iteration: the last of `train`."""
        size = self._val.advance()
        with products_of(self._setup.precision):
            work = partial(self._judge, size)
            if not self._replayed(("val", size), work):
                self._call(work, iteration)
        return size

    def _call(self, work: Callable[[], None], iteration: int) -> None:
        """Do the work. What it draws at random is a function of the seed and the iteration."""
        torch.manual_seed(step_seed(self._setup.config.seed, iteration))
        work()

    def _replayed(self, key: tuple, work: Callable[[], None]) -> bool:
        """Do the work by replaying its graph. Returns whether that is possible."""
        if self._graphs is None:
            return False
        try:
            self._graphs.run(key, work)
        except DrawsNumbers:
            self._graphs, self.eager_because = None, "the network draws random numbers"
            return False
        return True

    def _learn(self, size: int, with_norms: bool) -> None:
        batch = self._train.batch(size, self._history.position)
        if self._augment is not None:
            batch = self._augment.batch(batch, position=self._history.position)
        view = self._view(batch)
        values = self._loss(view)
        grad_norms_T = self._gradient_norms(values) if with_norms else None
        self._optimization.step(self._loss.total(values), self._history.position)
        self._history.record(values, self._counts(view), grad_norms_T=grad_norms_T)

    def _judge(self, size: int) -> None:
        view = self._view(self._val.batch(size, self._history.position))
        self._history.record_validation(self._loss(view), self._counts(view))

    def _view(self, batch: Batch) -> View:
        """A batch as the loss sees it. Everything except the network runs in float32."""
        encoding = self._setup.encoding
        planes, valid = encoding.planes(batch.masks_BHW, ignores=batch.ignores)
        logits = self._setup.logits(batch.images_BHWC).float().contiguous()  # in the layout of the planes
        return View(logits_BKHW=logits, output_BKHW=encoding.seen_by_losses(logits),
                    target_BKHW=encoding.targets_of(planes), planes_BKHW=planes, valid_B1HW=valid,
                    exclusive=encoding.exclusive)

    def _counts(self, view: View) -> Tensor:
        """The pixel counts of the batch's classes, see `metrics.counts`: int64 (K, 4)."""
        present = self._setup.encoding.present(view.logits_BKHW.detach())
        return count_BK4(present, view.planes_BKHW, view.valid_B1HW).sum(0)

    def _gradient_norms(self, values: dict[str, Tensor]) -> Tensor:
        """The norm of the gradient of each unweighted term in the output layer's weight. Float (T,)."""
        weight = self._setup.network.output_layer.weight
        return torch.stack([torch.autograd.grad(value, weight, retain_graph=True)[0].norm()
                            for value in values.values()])

    def _eager_because(self) -> str:
        config: TrainConfig = self._setup.config
        kind = models.KINDS[config.model.kind]
        if not kind.capturable:
            return f"a {config.model.kind} declares that no CUDA graph can capture its step"
        on_cpu = [] if kind.owns_loss else [term for term in config.loss.terms if not TERMS[term].capturable]
        if on_cpu:
            return f"{' and '.join(on_cpu)} computes on the CPU"
        return self._optimization.eager_because
