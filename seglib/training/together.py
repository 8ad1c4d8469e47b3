"""Trainings side by side: one process, one GPU, several seeds and losses of one architecture.

A small network leaves most of a GPU idle. Here the weights of M networks are stacked, and `torch.func` maps one network
over them: M convolutions become one with M groups. Each training keeps the order of its pictures, its loss, its
history and its best weights; the gradient of a sum of losses is each network's own. So each differs from the training
it would have been alone by rounding only: the kernels of a stack add up in another order. How far that goes is tested
on a CPU, in fp32 (tests/training/test_together.py); no GPU was at hand.

Shapes: M trainings, B batch, K classes, H, W.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seglib.training import checkpoint, phases
from seglib.training.augment import Augment
from seglib.training.batches import Batch, epoch_order
from seglib.training.checkpoint import Checkpoint, State
from seglib.training.device import autocast, memory_of
from seglib.training.history import Diverged, Row
from seglib.training.ledger import Ledger
from seglib.training.loop import counts_of, gradient_norms, loss_of, state_of, view_of
from seglib.training.optimization import Optimization
from seglib.training.pace import Pace
from seglib.training.progress import Progress
from seglib.training.selection import Selection
from seglib.training.setup import Setup
from seglib.training.snapshots import Snapshots


def pays_on(device: torch.device) -> bool:
    """Whether a device has anything idle. A CPU has not: there each training runs alone."""
    return device.type == "cuda"


class _BatchNorm(nn.BatchNorm2d):
    """In float32 whatever comes: torch.func's rule for a batch norm refuses statistics of another type than its input.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return super().forward(x_BCHW.float()).to(x_BCHW.dtype)


class _Member:
    """What one of the trainings has for itself, but for its weights."""

    def __init__(self, config: dict[str, Any], setup: Setup, steps: int):
        train = config["train"]
        self.seed, self.task = config["seed"], setup.info.task
        self.loss = loss_of(config["loss"], train["output"], setup.info)
        self.ledger = Ledger(self.loss.weights, classes=setup.encoding.classes, steps=steps,
                             log_every=train["log_every"], device=setup.device)
        self.selection = Selection(train.get("best_by"), keeps_best=train["keep"] == "best")
        self.snapshots = Snapshots(train.get("snapshots", ()), setup.val_split, self.task)
        self._augment = Augment(train["augment"], self.seed) if "augment" in train else None

    def __str__(self) -> str:
        return f"seed {self.seed}, {' + '.join(self.loss.weights)}"

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """One that diverges stops all, and says which it is."""
        try:
            yield
        except Diverged as error:
            raise Diverged(f"{self}: {error}; or train it alone, by train.together=1") from None

    def augmented(self, batch: Batch, iteration: int) -> Batch:
        if self._augment is None:
            return batch
        return self._augment.batch(batch, task=self.task, epoch=self.ledger.epoch, iteration=iteration)


class Together:
    """Trainings whose configurations differ in `seed` and `loss` alone; see `resolve` for who may take part.

    dataset: the prepared dataset's folder. checkpoint_path: where the state of all is kept, as `loop.Training` keeps
    its own.
    """

    def __init__(self, configs: Sequence[dict[str, Any]], dataset: Path, *, checkpoint_path: Path,
                 checkpoint_every: float = checkpoint.EVERY):
        self.settings, self.checkpoint = configs[0]["train"], Checkpoint(checkpoint_path, checkpoint_every)
        assert all((config["model"], config["train"]) == (configs[0]["model"], self.settings) for config in configs)
        states = (checkpoint.load(checkpoint_path, clears=True) or {"members": [None] * len(configs)})["members"]
        setups = [Setup(config, dataset, pretrained=state is None)
                  for config, state in zip(configs, states, strict=True)]
        first = setups[0]
        self.header, self.encoding = first.header, first.encoding
        self.device, self.precision = first.device, first.precision
        self.train, self.val = first.feed(first.train_split, ignores=first.train_ignores), first.feed(first.val_split)
        self.members = [_Member(config, setup, self.train.steps)
                        for config, setup in zip(configs, setups, strict=True)]
        self.pace = Pace()

        networks = [setup.network for setup in setups]
        for network, state in zip(networks, states, strict=True):
            if state is not None:
                network.load_state_dict(state["network"])
        self.parameters, self.buffers = torch.func.stack_module_state(networks)
        self.network = _mappable(networks[0])  # what is computed; the stacks say with which weights
        phase, = phases.phases_of(self.settings)
        self.optimization = Optimization(self.parameters.values(), self.settings, lr=phase.lr, epochs=phase.epochs,
                                         steps_an_epoch=self.train.steps)
        if states[0] is not None:
            self._restore(states)

    @property
    def ledger(self) -> Ledger:
        """Any of them says how far all are."""
        return self.members[0].ledger

    @property
    def epoch(self) -> int:
        return self.ledger.epoch

    @property
    def finished(self) -> bool:
        return self.epoch == self.settings["epochs"] and not self.ledger.step

    def run(self, *, title: str, on_epoch: Sequence[Callable[[list[Row]], None]]) -> list[dict[str, Any]]:
        """Train all to the last epoch. `on_epoch[m]` gets the rows of each epoch of the m-th, as they come.

        Gives, for each, the finished state that `loop.Training` takes for a checkpoint of its own. Raises what
        `loop.Training.run` does.
        """
        epochs, size, images = self.settings["epochs"], len(self.members), len(self.train)
        batch_size = self.settings["batch_size"]
        with (Progress(title, images=epochs * images * size, done=self.ledger.pictures(images, batch_size) * size,
                       device=self.device) as progress,
              memory_of(self.device, batch_size)):
            if self.epoch:
                progress.say(self.ledger.how_it_goes_on())
            while not self.finished:
                if not self.ledger.step:
                    for member in self.members:
                        member.ledger.start_epoch()
                self._train_epoch(progress)
                self._validate()
                self._save()
                for member, tell in zip(self.members, on_epoch, strict=True):
                    tell(member.ledger.of_epoch())
                progress.say(f"epoch {self.epoch}/{epochs}: each of {size} at {self.pace.speed}")
                for member in self.members:
                    progress.say(f"  {member}: {member.ledger.summary()}")
        return self._states()

    def last_states(self) -> dict[Path, State | None]:
        """Of each the state last saved, by a folder for it."""
        path, nothing = self.checkpoint.path, {"members": [None] * len(self.members)}
        states = (checkpoint.load(path) or nothing)["members"]
        return {path.parent / str(m): state for m, state in enumerate(states)}

    def _logits(self, images: Tensor) -> Tensor:
        """uint8 (M, B, H, W, 3), or (B, H, W, 3) that all see, to (M, B, K, H, W)."""
        def of_one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], images_BHWC: Tensor) -> Tensor:
            pictures = self.encoding.pictures(images_BHWC)
            return torch.func.functional_call(self.network, (parameters, buffers), (pictures,))

        with autocast(self.device, self.precision):
            over = (0, 0, 0 if images.dim() == 5 else None)
            return torch.vmap(of_one, in_dims=over)(self.parameters, self.buffers, images)

    def _train_epoch(self, progress: Progress) -> None:
        """What is left of the epoch."""
        self.network.train()
        self.pace.start()
        weight = self._output_weight()
        orders_MN = np.stack([epoch_order(len(self.train), seed=member.seed, epoch=self.epoch)
                              for member in self.members])[:, self.ledger.step * self.train.batch_size:]
        for step, all_of_them in enumerate(self.pace.timed(self.train.batches(orders_MN)), self.ledger.step + 1):
            iteration = (self.epoch - 1) * self.train.steps + step
            batches = [member.augmented(Batch(images_BHWC, masks_BHW, all_of_them.ignores), iteration)
                       for member, images_BHWC, masks_BHW in zip(self.members, all_of_them.images_BHWC,
                                                                 all_of_them.masks_BHW, strict=True)]
            logits_MBKHW = self._logits(torch.stack([batch.images_BHWC for batch in batches]))
            views = [view_of(logits_BKHW, batch, self.encoding)
                     for logits_BKHW, batch in zip(logits_MBKHW, batches, strict=True)]
            values = [member.loss(view) for member, view in zip(self.members, views, strict=True)]
            ends_window, lr = step in self.ledger.window_ends, self.optimization.lr
            norms = [gradient_norms(of_one, weight, part=m) if ends_window else None for m, of_one in enumerate(values)]
            self.optimization.step(torch.stack([member.loss.total(of_one) for member, of_one
                                                in zip(self.members, values, strict=True)]).sum())
            for member, view, of_one, grad_norms in zip(self.members, views, values, norms, strict=True):
                with member.named():
                    member.ledger.learnt(of_one, counts_of(view, self.encoding), lr=lr, grad_norms=grad_norms)
            progress.update(len(self.members) * len(batches[0].images_BHWC))
            if ends_window:
                progress.show(self.ledger.window_loss)
            if self.checkpoint.is_due:
                for member in self.members:
                    with member.named():
                        member.ledger.check()
                if self.optimization.is_finite:  # as in `loop`
                    self._save()
        self.pace.stop(orders_MN.shape[1])

    def _output_weight(self) -> Tensor | None:
        """The stacked weight of the output layer; None without such a layer."""
        if self.network.output_layer is None:
            return None
        own = self.network.output_layer.weight
        return self.parameters[next(name for name, value in self.network.named_parameters() if value is own)]

    @torch.no_grad()
    def _validate(self) -> None:
        self.network.eval()
        for batch in self.val.batches():
            for member, logits_BKHW in zip(self.members, self._logits(batch.images_BHWC), strict=True):
                view = view_of(logits_BKHW, batch, self.encoding)
                member.ledger.validated(member.loss(view), counts_of(view, self.encoding),
                                        pictures=len(batch.images_BHWC))
        for m, member in enumerate(self.members):
            with member.named():
                row = member.ledger.end_validation()
            member.selection.see(row, lambda m=m: self._weights(m))
            member.snapshots.take(
                self.epoch, lambda images, m=m: self.encoding.present(self._logits(images.to(self.device))[m]))

    def _weights(self, m: int) -> dict[str, Tensor]:
        """The m-th network's, in the order of its state_dict."""
        stacked = {**self.parameters, **self.buffers}
        return {name: stacked[name][m].detach().clone() for name in self.network.state_dict()}

    def _save(self) -> None:
        self.checkpoint.save({"finished": self.finished, "members": self._states()})

    def _states(self) -> list[dict[str, Any]]:
        """What `loop.Training` would save of each."""
        optimization = self.optimization.state_dict()
        return [state_of(member.ledger, member.selection, member.snapshots, self.pace,
                         finished=self.finished, network=self._weights(m),
                         optimization=_part(optimization, m)) for m, member in enumerate(self.members)]

    def _restore(self, states: list[dict[str, Any]]) -> None:
        for member, state in zip(self.members, states, strict=True):
            member.ledger.load_state_dict(state["ledger"])
            member.selection.load_state_dict(state["selection"])
            member.snapshots.load_state_dict(state["snapshots"])
        self.pace.load_state_dict(states[0]["pace"])
        self.optimization.load_state_dict(_whole([state["optimization"] for state in states]))


def _mappable(network: nn.Module) -> nn.Module:
    """A copy without weights, for `torch.vmap` to run with others'."""
    copied = copy.deepcopy(network).to("meta")
    for module in copied.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _BatchNorm
    return copied


def _part(optimization: dict[str, Any], m: int) -> dict[str, Any]:
    """Of the optimiser's state over stacked weights that over the m-th network's. A step count, (), is everyone's."""
    moments = {index: {name: value[m].clone() if value.dim() else value for name, value in of_weight.items()}
               for index, of_weight in optimization["optimizer"]["state"].items()}
    return optimization | {"optimizer": optimization["optimizer"] | {"state": moments}}


def _whole(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The inverse of `_part`."""
    first, *_ = states = [part["optimizer"]["state"] for part in parts]
    moments = {index: {name: torch.stack([state[index][name] for state in states]) if value.dim() else value
                       for name, value in of_weight.items()} for index, of_weight in first.items()}
    return parts[0] | {"optimizer": parts[0]["optimizer"] | {"state": moments}}
