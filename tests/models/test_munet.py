"""mUnet: published counts and shapes, the published forward pass written out plainly, its defect, its mend."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seglib.models.munet import MUnet, from_dlstudio
from tests.conftest import ROOT


def faithful(depth: int = 8, **arguments) -> MUnet:
    torch.manual_seed(0)
    return MUnet(classes=5, depth=depth, width=64, upsampling="dlstudio", **arguments)


@pytest.mark.parametrize(("depth", "parameters", "idle"), [(16, 6_999_109, 1_922_112), (8, 4_040_773, 1_035_072),
                                                          (4, 2_561_605, 739_392)])
def test_parameter_counts_are_the_published_ones(depth: int, parameters: int, idle: int):
    network = faithful(depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    network(torch.rand(1, 3, 32, 32)).sum().backward()
    assert sum(p.numel() for p in network.parameters() if p.grad is None) == idle


def plain_forward(w: dict[str, Tensor], x: Tensor, depth: int, skip: bool) -> Tensor:
    """The published forward pass as one plain function over a checkpoint's tensors, batch norm in evaluation mode."""
    def norm(name: str, x: Tensor) -> Tensor:
        return F.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"],
                            w[f"{name}.bias"])

    def down(name: str, x: Tensor, changes: bool = False, half: bool = False) -> Tensor:
        out = F.relu(norm(f"{name}.bn1", F.conv2d(x, w[f"{name}.convo1.weight"], w[f"{name}.convo1.bias"], padding=1)))
        if not changes:
            out = F.conv2d(out, w[f"{name}.convo2.weight"], w[f"{name}.convo2.bias"], padding=1)
            out = F.relu(norm(f"{name}.bn2", out))
        identity = x
        if half:
            out, identity = (F.conv2d(t, w[f"{name}.downsampler.weight"], w[f"{name}.downsampler.bias"], stride=2)
                             for t in (out, identity))
        return out + (torch.cat([identity, identity], 1) if changes else identity) if skip else out

    def up(name: str, x: Tensor, changes: bool = False, double: bool = False) -> Tensor:
        out = F.conv_transpose2d(x, w[f"{name}.convoT1.weight"], w[f"{name}.convoT1.bias"], padding=1)
        out = F.relu(F.relu(norm(f"{name}.bn1", out)))
        if not changes:
            out = F.conv_transpose2d(out, w[f"{name}.convoT2.weight"], w[f"{name}.convoT2.bias"], padding=1)
            out = F.relu(norm(f"{name}.bn2", out))
        identity = x
        if double:
            out, identity = (F.conv_transpose2d(t, w[f"{name}.upsampler.weight"], w[f"{name}.upsampler.bias"],
                                                stride=2, dilation=2, output_padding=1) for t in (out, identity))
        return out + (identity[:, out.shape[1]:] if changes else identity) if skip else out

    blocks, q = depth // 2, depth // 8
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv_in.weight"], w["conv_in.bias"], padding=1)), 2)
    for i in range(q):
        x = down(f"skip64DN_arr.{i}", x)
    save1 = x[:, :32].clone()
    x = down("skip64dsDN", x, half=True)
    for i in range(q, blocks):
        x = down(f"skip64DN_arr.{i}", x)
    x = norm("bn1DN", x)
    save2 = x[:, :32].clone()
    x = down("skip64to128DN", x, changes=True)
    for i in range(q):
        x = down(f"skip128DN_arr.{i}", x)
    x = norm("bn2DN", x)
    save3 = x[:, :64].clone()
    for i in range(q, blocks):
        x = down(f"skip128DN_arr.{i}", x)
    x = down("skip128dsDN", x, half=True)
    x = up("skip128usUP", x, double=True)
    for i in range(q):
        x = up(f"skip128UP_arr.{i}", x)
    x[:, :64] = save3
    x = norm("bn1UP", x)
    for i in range(q):
        x = up(f"skip128UP_arr.{i}", x)
    x = up("skip128to64UP", x, changes=True)
    for i in range(q, blocks):
        x = up(f"skip64UP_arr.{i}", x)
    x[:, :32] = save2
    x = norm("bn2UP", x)
    x = up("skip64usUP", x, double=True)
    for i in range(q):
        x = up(f"skip64UP_arr.{i}", x)
    x[:, :32] = save1
    return F.conv_transpose2d(x, w["conv_out.weight"], w["conv_out.bias"], stride=2, dilation=2, padding=2,
                              output_padding=1)


@pytest.mark.parametrize("depth", [4, 8, 16])
@pytest.mark.parametrize("skip", [True, False])
def test_a_dlstudio_checkpoint_gives_dlstudios_output(depth: int, skip: bool):
    original = faithful(depth, skip_connections=skip)
    with torch.no_grad():  # batch norms as after some training
        for name, buffer in original.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)
    checkpoint = original.state_dict()
    network = from_dlstudio(checkpoint, skip_connections=skip).eval()
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(picture), plain_forward(checkpoint, picture, depth, skip),
                                   rtol=1e-4, atol=1e-4)


def test_from_dlstudio_says_what_is_not_an_munet():
    with pytest.raises(ValueError, match="not a DLStudio mUnet: no 'conv_in.weight' among the checkpoint's 1 entries"):
        from_dlstudio({"layer.weight": torch.zeros(1)})
    checkpoint = faithful(4).state_dict()
    del checkpoint["bn2UP.bias"]
    with pytest.raises(ValueError, match="bn2UP.bias"):
        from_dlstudio(checkpoint)


def test_three_quarters_of_the_published_output_are_constant():
    network = faithful(4).eval()
    with torch.no_grad():
        first, second = network(torch.rand(1, 3, 64, 64)), network(torch.rand(1, 3, 64, 64) * 255)
    bias = network.conv_out.bias.view(1, -1, 1, 1).expand_as(first)
    is_constant = (first == bias) & (second == bias)
    assert is_constant.float().mean().item() == 0.75
    assert not is_constant[..., ::2, ::2].any()


def test_the_mend_reaches_every_pixel_and_leaves_no_layer_idle():
    torch.manual_seed(0)
    network = MUnet(classes=5, depth=8, width=16, upsampling="learned")
    output = network(torch.rand(2, 3, 64, 64))
    assert (output != network.conv_out.bias.view(1, -1, 1, 1)).float().mean() > 0.99
    output.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("upsampling", ["learned", "dlstudio"])
def test_without_skip_connections_it_trains(upsampling: str):
    torch.manual_seed(0)
    network = MUnet(classes=2, depth=4, width=16, upsampling=upsampling, skip_connections=False)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    picture, target = torch.rand(4, 3, 16, 16), torch.zeros(4, 2, 16, 16)
    target[..., ::2, ::2] = 1  # pixels that the published output layer reaches too
    losses = []
    for _ in range(30):
        loss = F.mse_loss(network(picture), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2



@pytest.mark.parametrize("arguments", [{"depth": 5}, {"depth": 2}, {"width": 3}, {"upsampling": "bilinear"}])
def test_impossible_shapes_are_refused(arguments: dict):
    with pytest.raises(ValueError, match="mUnet"):
        MUnet(**{"classes": 1, "depth": 4, "width": 8, "upsampling": "learned"} | arguments)


HALVING = """
import torch
from seglib.models.munet import _Halve
torch.manual_seed(0)
for channels in (4, 8, 15, 16):
    halve = _Halve(channels, 2 * channels).to(memory_format=torch.channels_last)
    x = torch.randn(2, channels, 128, 128).to(memory_format=torch.channels_last).requires_grad_()
    y = halve(x)
    y.backward(torch.ones_like(y))
    exact, z = halve.double(), x.detach().double().requires_grad_()
    weight = torch.nn.Parameter(exact.weight.detach().clone())
    expected = torch.einsum("oi,bihw->bohw", weight[..., 0, 0], z[..., ::2, ::2]) + exact.bias.view(-1, 1, 1)
    expected.sum().backward()
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x.grad.double(), z.grad, rtol=1e-4, atol=1e-4)
"""


def test_narrow_networks_learn_on_large_maps():
    """In a process of its own: what it guards against ends the process, or spoils its memory."""
    done = subprocess.run([sys.executable, "-c", HALVING], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
