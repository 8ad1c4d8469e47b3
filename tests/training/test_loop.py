"""The training loop: it learns, repeats to the byte, keeps what it was asked to keep, says when it fails."""

import collections
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from seglib import tasks
from seglib.configs import LossConfig, TrainConfig
from seglib.datasets.store import Split
from seglib.metrics.counts import count_BK4
from seglib.metrics.overlap import pooled
from seglib.prediction.network import NetworkPredictor
from seglib.training import weights
from seglib.training.batches import Feed, epoch_order
from seglib.training.loop import Trainer
from seglib.training.setup import Outcome
from tests.conftest import ROOT
from tests.training.test_resume import train

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_same_configuration_gives_the_same_bytes(training_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                     precision: str):
    config = training_config(precision=precision, threads=2)
    torch.manual_seed(1)
    first = train(config, prepared_shapes, tmp_path / "first")
    torch.manual_seed(2)  # the process's own random state must not matter
    assert train(config, prepared_shapes, tmp_path / "second") == first
    assert train(dataclasses.replace(config, seed=6), prepared_shapes, tmp_path / "third")[0] != first[0]


@pytest.mark.parametrize("loss", ["mse", "dice", "mse_dice"])
def test_it_learns(training_config: Make, prepared_shapes: Path, loss: str):
    config = training_config(loss, epochs=12, log_every=1, batch_size=8)
    rows = Trainer(config, prepared_shapes).run(title="test").history
    epochs = [row["loss"] for row in rows if (row["split"], row["span"]) == ("train", "epoch")]
    assert epochs[-1] < 0.9 * epochs[0]
    terms = list(config.loss.terms)
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row[f"{term}_weighted"] for term in terms))
        for term, weight in config.loss.terms.items():
            assert row[f"{term}_weighted"] == pytest.approx(weight * row[term])
        assert (row[f"{terms[0]}_grad_norm"] is not None) == (row["span"] == "window")
    assert len([row for row in rows if row["span"] == "window"]) == rows[-1]["iteration"]


def test_the_sources_own_training_runs(training_config: Make, prepared_shapes: Path):
    """Raw pixels, label-valued targets, raw outputs, plain SGD, the published network."""
    config = training_config(loss="mse", pixels="raw", targets="label", output="raw", optimizer="sgd", momentum=0.9,
                            schedule="constant", lr=1e-5, precision="fp32", epochs=3)
    config.model.arguments["upsampling"] = "dlstudio"
    outcome = Trainer(config, prepared_shapes).run(title="test")
    epochs = [row["loss"] for row in outcome.history if (row["split"], row["span"]) == ("train", "epoch")]
    assert epochs[0] > 50  # label values: squares of up to 250
    assert epochs[-1] < epochs[0]


def test_a_loss_on_logits_needs_logits(training_config: Make, prepared_shapes: Path):
    config = dataclasses.replace(training_config(output="raw"),
                                 loss=LossConfig(terms={"mse": 1.0, "focal": 1.0}, options={}))
    with pytest.raises(ValueError, match="train.output is raw, but these terms make probabilities of logits: focal;"):
        Trainer(config, prepared_shapes)


@pytest.mark.parametrize("by", ["iou", "dice", "pixel_accuracy", "recall", "loss", None])
def test_the_weights_kept_score_what_their_epoch_scored(training_config: Make, prepared_shapes: Path, tmp_path: Path,
                                                        by: str | None):
    """Judged by predicting val anew with the file that was written; None: the last epoch's are kept."""
    keep = {"keep": "last"} if by is None else {"best_by": by}
    config = training_config("mse", epochs=4, lr=0.05, flip=0.5, **keep)
    outcome = Trainer(config, prepared_shapes).run(title="test")
    rows = [row for row in outcome.history if row["split"] == "val"]
    values = [-row["loss"] if by == "loss" else row[f"{by}_score"] if by else row["epoch"] for row in rows]
    expected = rows[max(range(4), key=lambda epoch: (values[epoch], epoch))]
    assert [row["epoch"] for row in outcome.history if row["kept"]] == [expected["epoch"]]
    found = scores_of(outcome, Split.open(prepared_shapes, "val"), tmp_path)
    assert found == {name: pytest.approx(expected[f"{name}_score"]) for name in found}


def scores_of(outcome: Outcome, split: Split, folder: Path) -> dict[str, float]:
    weights.save(folder / "weights.safetensors", outcome.state, outcome.header)
    predictor = NetworkPredictor(folder / "weights.safetensors")
    counts = [count_BK4(predictor.encoding.present(predictor.logits(batch.images_BHWC)),
                        *predictor.encoding.planes(batch.masks_BHW)).sum(0)
              for batch in Feed(split, 7, predictor.device).batches()]
    return {name: pooled(name, sum(counts).numpy()) for name in ("iou", "dice", "pixel_accuracy")}


def test_it_stops_where_patience_ends(training_config: Make, prepared_shapes: Path, capsys: pytest.CaptureFixture):
    config = training_config(epochs=30, lr=0.1, schedule="constant", patience=2)
    history = Trainer(config, prepared_shapes).run(title="test").history
    scores = [row["iou_score"] for row in history if row["split"] == "val"]
    best_at = [1 + scores[:epoch].index(max(scores[:epoch])) for epoch in range(1, len(scores) + 1)]
    waited = [epoch - best for epoch, best in enumerate(best_at, start=1)]
    assert len(scores) < 30 and waited[-1] == 2 and max(waited[:-1]) < 2
    said = capsys.readouterr().out
    assert "stops early: no better val IoU for 2 epochs" in said
    assert f"keeps the weights of epoch {best_at[-1]}, the best by val IoU" in said


def test_augmentation_is_what_is_trained_on(training_config: Make, prepared_shapes: Path):
    """Initial weights, one batch, all flipped: the first loss is that of pictures and masks flipped by hand."""
    config = training_config("mse", lr=1e-30, batch_size=64, epochs=1, precision="fp32", flip=1.0)
    split = Split.open(prepared_shapes, "train")
    training = Trainer(config, prepared_shapes)
    with torch.no_grad():
        pictures = training.encoding.pictures(torch.from_numpy(split.images[:, :, ::-1].copy()))
        output = training.network.train()(pictures).sigmoid().numpy()
    expected = np.square(output - tasks.get("multilabel").unpack(split.masks[:, :, ::-1], 5)).mean()
    assert Trainer(config, prepared_shapes).run(title="test").history[0]["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("given", ["none", "inverse_frequency", [1.0, 2.0, 3.0, 4.0, 5.0]])
def test_class_weights_come_from_the_dataset_or_the_configuration(training_config: Make, multiclass_shapes: Path,
                                                                  given: Any):
    """Initial weights, one batch, no step worth the name: the first window's loss is cross-entropy by hand."""
    config = training_config(lr=1e-30, batch_size=64, log_every=1, epochs=1, precision="fp32")
    config = dataclasses.replace(config, loss=LossConfig(terms={"ce": 1.0}, options={"class_weights": given}))
    training = Trainer(config, multiclass_shapes)
    split = Split.open(multiclass_shapes, "train")
    labels = split.masks[split.masks < 255]
    by_hand = [len(labels) / (5 * (labels == k).sum()) for k in range(5)]
    class_weights = {"none": [1.0] * 5, "inverse_frequency": by_hand}.get(str(given), given)
    with torch.no_grad():
        logits = training.network.train()(training.encoding.pictures(torch.from_numpy(split.images.copy())))
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(split.masks.copy()).long(),
                                                 torch.tensor(class_weights, dtype=torch.float32), ignore_index=255)
    history = Trainer(config, multiclass_shapes).run(title="test").history
    assert history[0]["loss"] == pytest.approx(expected.item(), rel=1e-4)


class Waits(TorchDispatchMode):
    """Counts what makes a program wait for its GPU: reading tensors' values, and making a tensor of numbers there.

    The ways to read many values at once are no operations of their own on a CPU: those methods are counted as such.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.found: collections.Counter = collections.Counter()
        for name in ("tolist", "cpu", "numpy"):
            patch.setattr(torch.Tensor, name, self._counted(name, getattr(torch.Tensor, name)))

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.found[name] += 1
            return method(*arguments, **options)
        return call

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.lift_fresh.default,
                        torch.ops.aten.is_nonzero.default, torch.ops.aten.nonzero.default):
            self.found[str(function)] += 1
        return function(*args, **(kwargs or {}))


def test_nothing_within_an_epoch_waits_for_a_gpu(training_config: Make, multiclass_shapes: Path,
                                                 monkeypatch: pytest.MonkeyPatch):
    """On the CPU, where nothing waits, by what would: as many reads for an epoch of 3 steps as for one of 13.

    With pixels to ignore, class weights, augmentation and norms of gradients.
    """
    found = []
    for batch_size in (16, 16, 3):  # once more, because the first makes constants that are kept
        config = training_config(batch_size=batch_size, epochs=2, log_every=1, pixels="imagenet", flip=0.5,
                                 rotation=9.0, color=0.1, clip=1.0, keep="last", optimizer="sgd", schedule="constant",
                                 lr=1e-3)
        config = dataclasses.replace(config, loss=LossConfig(
            terms={"ce": 1.0, "focal": 1.0, "dice": 1.0}, options={"class_weights": [1.0, 2.0, 1.0, 1.0, 3.0]}))
        with monkeypatch.context() as patch:
            patch.setattr(Feed, "is_resident", True)  # as on a GPU: all pictures lie there
            training = Trainer(config, multiclass_shapes)
            training.history._waits_for_device = False
            with Waits(patch) as waits:
                training.run(title="test")
        found.append((training.train.steps, waits.found))
    assert [steps for steps, _ in found] == [3, 3, 13]
    assert found[1][1] == found[2][1]


def test_the_loop_needs_torch_and_numpy_alone():
    """So that it can be measured on a machine that has nothing else, and starts quickly anywhere."""
    blocked = ("pandas", "pyarrow", "scipy", "PIL", "filelock", "tqdm", "safetensors", "transformers", "pydantic")
    program = f"import sys; sys.modules |= dict.fromkeys({blocked!r}); import seglib.training.loop"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_every_epoch_sees_every_picture_once_in_its_own_order():
    orders = [epoch_order(100, seed=1, epoch=epoch).tolist() for epoch in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(100))
    assert orders[0] != orders[1]
    assert epoch_order(100, seed=1, epoch=1).tolist() == orders[0]
