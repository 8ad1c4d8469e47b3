"""What the training benchmarks compare: the course's code stays the course's, and both sides do the same work."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import harness, inputs, kernels, peer, quality, speeds, steps, training
from seglib import params, resolve, tasks
from seglib.datasets.store import Split
from seglib.models.munet import from_dlstudio
from seglib.training.batches import Feed
from seglib.training.encoding import Encoding
from seglib.training.loop import Trainer
from tests.conftest import ROOT

# One core, so that a busy machine's threads do not wait for each other.
ON_ONE_CORE = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
"""
CPU = torch.device("cpu")


@pytest.mark.parametrize("depth", [4, 8, 16])
def test_the_peers_network_is_the_published_one(depth: int):
    """In double precision: outputs and every gradient, those that do not exist included."""
    torch.manual_seed(depth)
    theirs = peer.MUnet(depth, 16)
    ours = from_dlstudio(theirs.state_dict())
    pictures, targets = (scale * torch.rand(2, k, 64, 64, dtype=torch.float64) for scale, k in ((255, 3), (250, 5)))
    outputs, gradients = [], []
    for network in (theirs.double().train(), ours.double().train()):
        outputs.append(network(pictures))
        nn.functional.mse_loss(outputs[-1], targets).backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    torch.testing.assert_close(*outputs)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        if gradient is None:
            assert gradients[1][name] is None  # layers that neither runs
        else:
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-6, atol=1e-9)


def test_the_peers_size_is_the_published_one():
    assert sum(parameter.numel() for parameter in peer.MUnet().parameters()) == 6_999_109


@pytest.mark.parametrize(("mended", "constant"), [(False, 0.75), (True, 0.0)])
def test_mending_the_last_layer_lets_it_reach_every_pixel(mended: bool, constant: float):
    torch.manual_seed(0)
    network = peer.MUnet(4, 16, mended=mended)
    with torch.no_grad():
        is_bias = network(255 * torch.rand(2, 3, 64, 64)) == network.conv_out.bias.view(1, -1, 1, 1)
    assert is_bias.float().mean().item() == pytest.approx(constant, abs=1e-3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inputs.write_dataset(tmp_path_factory.mktemp("benchmarks") / "drawn", train=200, test=8)


def test_both_feeds_give_the_same_pictures_and_targets(drawn: Path):
    split = Split.open(drawn, "train")
    order = torch.randperm(len(split)).tolist()
    encoding = Encoding.of(inputs.course().train, [50.0, 100.0, 150.0, 200.0, 250.0], inputs.TASK)
    theirs = peer.loader(inputs.as_the_course_has_it(split), workers=0, order=order)
    for (pictures, targets), batch in zip(theirs, Feed(split, 4, CPU).batches(np.array(order)), strict=True):
        assert torch.equal(pictures, encoding.pictures(batch.images_BHWC))
        assert torch.equal(targets, encoding.targets_of(encoding.planes(batch.masks_BHW)[0]))
    assert tasks.get("multilabel").unpack(split.masks, 5).any((0, 2, 3)).all()  # every class is drawn


def test_configurations_are_those_of_params(raw_params: dict[str, Any]):
    default = functools.partial(inputs.default, threads=1)
    cases = [("munet_dlstudio", "mse", inputs.course(threads=1)), ("unet", "mse_dice", default(model=inputs.UNET)),
             ("resnet34_unet", "mse_dice", default(model=inputs.RESNET34_UNET)),
             *(("munet", loss, default(loss=loss)) for loss in inputs.LOSSES)]
    for model, loss, config in cases:
        raw_params["run"] |= {"datasets": ["shapes"], "models": [model], "losses": [loss], "seeds": [1234]}
        assert resolve.resolve(params.parse(raw_params))[0].train == config


@pytest.mark.slow
def test_both_loops_compute_the_same_losses(drawn: Path):
    """50 steps of a small network. In one of depth 16, training at this rate multiplies roundings until they show."""
    config = inputs.course(depth=4, width=16, device="cpu", threads=1, epochs=1, log_every=1)
    theirs = training.course_losses(config, drawn, CPU)
    assert training.seglib_losses(config, drawn) == pytest.approx(theirs, rel=1e-4)
    assert len(theirs) == 50 and theirs[-1] < theirs[0]


def test_operations_are_counted_as_multiplications_and_sums():
    layer = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    forward = 2 * 64 * 64 * 8 * 3 * 9
    assert speeds.flops_an_image(layer, backward=False) == forward
    assert speeds.flops_an_image(layer, backward=True) == 2 * forward  # the pictures need no gradient


def test_the_peers_score_is_iou():
    class Answers(nn.Module):
        """Says of a picture what its first channels hold, in labels."""

        def forward(self, x_BCHW: Tensor) -> Tensor:
            return x_BCHW

    labels_K11 = torch.tensor(peer.LABELS).view(-1, 1, 1)
    truth, shifted = torch.zeros(1, 5, 8, 8), torch.zeros(1, 5, 8, 8)
    truth[..., :4], shifted[..., 2:6] = 1, 1
    for answer, expected in ((truth, 1.0), (shifted, 1 / 3), (0.4 * truth, 0.0)):
        test = [(answer * labels_K11, truth * labels_K11)]
        assert quality.course_iou(Answers(), test, CPU) == pytest.approx(expected)


@pytest.mark.slow
def test_scores_are_taken_after_each_epoch(drawn: Path):
    config = inputs.default(width=8, device="cpu", threads=1, epochs=2, keep="last", precision="fp32")
    points = quality.seglib_points(dataset=str(drawn), config=config.content(), since=0.0)
    assert len(points) == 2 and points[0][0] < points[1][0]
    seen = Trainer(config, drawn)
    split = Split.open(drawn, "test")
    seen.network.load_state_dict(seen.run(title="test").state)
    with torch.no_grad():
        logits = seen.network.eval()(torch.from_numpy(np.array(split.images)).permute(0, 3, 1, 2) / 255)
    predicted, truth = (logits > 0).numpy(), tasks.get("multilabel").unpack(split.masks, 5)
    both, either = (predicted & truth).sum((0, 2, 3)), (predicted | truth).sum((0, 2, 3))
    assert points[-1][1] == pytest.approx((both / either).mean())


@pytest.mark.slow
def test_training_needs_only_pytorch_and_numpy():
    """All of it but the evaluation, which is left out where what scores need is missing."""
    project = (ROOT / "pyproject.toml").read_text()
    listed = project.split("dependencies = [")[1].split("\n]")[0]
    needed = re.findall(r'^    "([\w.-]+)(?:\[\w+\])?",$', listed, re.MULTILINE)
    modules = {"pillow": "PIL", "ruamel.yaml": "ruamel"}
    blocked = [modules.get(name, name) for name in needed if name not in ("numpy", "torch")]
    assert {"pandas", "PIL", "scipy", "pyarrow", "filelock", "tqdm", "pydantic", "ruamel"} <= set(blocked)
    run = harness.python(f"{ON_ONE_CORE}\nimport sys\nsys.modules.update(dict.fromkeys({blocked!r}))\n"
                         "from benchmarks import training\ntraining.main(['--size', 'tiny', '--device', 'cpu'])")
    assert "### Training mUnet, depth 4, width 8" in run.output
    assert "### Steps of mUnet, depth 4, width 8" in run.output and "2 trainings at once" in run.output
    assert "### Steps of U-Net, width 8" in run.output
    assert "Not measured: U-Net on resnet18" in run.output and "Not measured: import of" in run.output


@pytest.mark.slow
def test_evaluation_runs_at_a_tiny_size():
    run = harness.python(f"{ON_ONE_CORE}\nimport tempfile\nfrom pathlib import Path\n"
                         "import torch\nfrom benchmarks import evaluation, training\n"
                         "with tempfile.TemporaryDirectory() as folder:\n"
                         "    evaluation.evaluation(Path(folder), torch.device('cpu'), training.SIZES['tiny'],\n"
                         "                          {'fp32': 1e9, 'bf16': 1e9})")
    assert "seglib, with all scores" in run.output and "Scores take" in run.output


@pytest.mark.slow
def test_quality_runs_at_a_tiny_size():
    run = harness.python(f"{ON_ONE_CORE}\nfrom benchmarks import quality\n"
                         "quality.main(['--size', 'tiny', '--patience', '1'])")
    assert "### Time to a test IoU of 0.80" in run.output and "### The same score by the fast recipe" in run.output


@pytest.mark.slow
def test_whole_sets_of_trainings_run_at_a_tiny_size():
    run = harness.python(f"{ON_ONE_CORE}\nfrom benchmarks import training\n"
                         "training.main(['--size', 'tiny', '--device', 'cpu', '--long'])")
    assert "the default study, 3 trainings" in run.output and "6 trainings, 32 pictures" in run.output
    assert "mUnet 16 by the course's recipe, fp32" in run.output


@pytest.mark.slow
def test_trainings_at_once_on_a_cpu_run_at_a_tiny_size():
    run = harness.python("from benchmarks import together\ntogether.main(['--size', 'tiny'])")
    assert run.output.count("a process per core, one thread each") == 2
    assert "beside one busy core" in run.output


def test_a_step_of_a_way_is_one_step_of_each_training(drawn: Path):
    """The rows of the table count pictures by it."""
    configs = [inputs.default(width=8, device="cpu", precision="fp32", threads=1, seed=seed) for seed in (1, 2)]
    trainings = [Trainer(config, drawn) for config in configs]
    rounds = steps.in_rounds(trainings)
    for count in (1, 2, 3):
        next(rounds)
        assert [training.history.step for training in trainings] == [count, count]


def test_what_covers_a_moment_twice_counts_once():
    random = np.random.default_rng(0)
    for _ in range(50):
        starts = random.integers(0, 100, 12)
        intervals = [(start, start + length) for start, length in zip(starts, random.integers(0, 20, 12), strict=True)]
        moments = {moment for start, end in intervals for moment in range(start, end)}
        assert kernels.covered(intervals) == len(moments)


def test_kernels_are_read_from_a_trace(tmp_path: Path):
    """Copies, fills and calls of the host are none."""
    def event(cat: str, name: str, ts: float, dur: float) -> dict[str, Any]:
        return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "pid": 0, "tid": 7}

    events = [event("kernel", "sm90_xmma_fprop_implicit_gemm_bf16", 10.0, 4.0),
              event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 0.0, 9.0),
              event("kernel", "void at::native::vectorized_elementwise_kernel<4>", 12.0, 4.0),
              event("cuda_runtime", "cudaGraphLaunch", 1.0, 90.0), event("gpu_memset", "Memset (Device)", 20.0, 1.0),
              event("kernel", "void cudnn::bn_fw_tr_1C11_kernel_NCHW", 18.0, 2.0), {"ph": "M", "name": "process_name"}]
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": events}))
    found = kernels.Kernels(kernels.kernels_in(tmp_path / "trace.json"), steps=3)
    assert found.per_step == 1.0
    assert found.busy == pytest.approx((6.0 + 2.0) / 10.0)
    shares = found.shares()
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert {group: share for group, share in shares.items() if share} == pytest.approx(
        {"convolutions and products": 0.4, "elementwise": 0.4, "batch norms": 0.2})


def test_pytorchs_profiler_writes_such_traces(tmp_path: Path):
    """The trace is that of a CPU, which runs no kernels."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        torch.ones(8).sum()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"name", "ts", "dur"} <= next(event for event in events if event.get("cat") == "cpu_op").keys()
    assert kernels.kernels_in(tmp_path / "trace.json") == []
