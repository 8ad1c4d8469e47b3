"""DLStudio's mUnet (A. Kak, Purdue University; DLStudio 2.3.6 to 2.5.8), faithful or with its upsampling mended.

A U-shaped network of residual blocks. On the way down, half the channels are set aside at three scales; on the way
up they overwrite the first half of what arrives there. Shapes: B batch, C channels, K classes, H, W.

`upsampling="dlstudio"` is the network as published, module for module, so its checkpoints load. Its output layer is
a transposed 3×3 convolution with stride 2 *and* dilation 2: every tap lands on an even row and column, so three
quarters of the output pixels equal the bias whatever the picture. Its 1×1 stride-2 upsamplers leave the same gaps.
It also owns layers it never runs. `upsampling="learned"` puts a transposed 4×4 convolution with stride 2 in both
places, whose taps reach every pixel, and drops the idle layers; all else is the same.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seglib.models.aspp import ASPP


class _Block(nn.Module):
    """(3×3 convolution, batch norm, ReLU) twice, an optional change of scale, plus the identity.

    A block that changes its channel count runs the first convolution only. Module names are DLStudio's; the two
    directions differ in them and in the kind of convolution, which subclasses settle.
    """

    def __init__(self, in_channels: int, out_channels: int, *, skip_connections: bool):
        super().__init__()
        self.keeps_channels = in_channels == out_channels
        self.skip_connections = skip_connections
        self.bn1 = nn.BatchNorm2d(out_channels)

    @property
    def resampler(self) -> nn.Module | None:
        raise AssertionError("each direction has its own")

    def body(self, x: Tensor) -> Tensor:
        raise AssertionError("each direction has its own")

    def fit(self, identity: Tensor) -> Tensor:
        """The identity with the block's number of output channels."""
        raise AssertionError("each direction has its own")

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        if self.skip_connections:
            out = out + (x if self.keeps_channels else self.fit(x))
        if self.resampler is None:
            return out
        # Published as the same layer run on each path, then a sum. It is linear: one run on the sum does, with its
        # bias counted twice: in the type of what it is added to, or all that follows would be computed in the bias's.
        resampled = self.resampler(out)
        if not self.skip_connections:
            return resampled
        return resampled + self.resampler.bias.view(-1, 1, 1).to(resampled.dtype)


class _Halve(nn.Conv2d):
    """A 1×1 convolution of every second row and column.

    Of few channels, those are taken first: the gradient of the strided layer writes beyond its memory there (PyTorch
    2.13, on a CPU, in float32, fewer than 16 channels on maps of 64×64 and more). Elsewhere it is the faster one.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        if self.in_channels < 16:
            return functional.conv2d(x[..., ::2, ::2], self.weight, self.bias)
        return super().forward(x)


class BlockDown(_Block):
    """A block of the descending arm. `downsample` halves H and W of both paths with one shared 1×1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, *, downsample: bool = False, idle_layers: bool,
                 skip_connections: bool):
        super().__init__(in_channels, out_channels, skip_connections=skip_connections)
        self.convo1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        if self.keeps_channels or idle_layers:
            self.convo2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
            self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsampler = _Halve(in_channels, out_channels) if downsample else None

    @property
    def resampler(self) -> nn.Module | None:
        return self.downsampler

    def body(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.convo1(x)))
        return functional.relu(self.bn2(self.convo2(out))) if self.keeps_channels else out

    def fit(self, identity: Tensor) -> Tensor:
        return torch.cat([identity, identity], dim=1)


class BlockUp(_Block):
    """A block of the ascending arm, of transposed convolutions. `upsampler` doubles H and W of both paths."""

    def __init__(self, in_channels: int, out_channels: int, *, upsampler: nn.Module | None = None, idle_layers: bool,
                 skip_connections: bool):
        super().__init__(in_channels, out_channels, skip_connections=skip_connections)
        self.out_channels = out_channels
        self.convoT1 = nn.ConvTranspose2d(in_channels, out_channels, 3, padding=1)
        if self.keeps_channels or idle_layers:
            self.convoT2 = nn.ConvTranspose2d(in_channels, out_channels, 3, padding=1)
            self.bn2 = nn.BatchNorm2d(out_channels)
        self.upsampler = upsampler

    @property
    def resampler(self) -> nn.Module | None:
        return self.upsampler

    def body(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.convoT1(x)))
        return functional.relu(self.bn2(self.convoT2(out))) if self.keeps_channels else out

    def fit(self, identity: Tensor) -> Tensor:
        return identity[:, self.out_channels:]


def _overwrite(x: Tensor, saved: Tensor) -> Tensor:
    """`x` with its first channels replaced by `saved`; not in place, so that gradients always flow."""
    return torch.cat([saved, x[:, saved.shape[1]:]], dim=1)


class MUnet(nn.Module):
    """(B, 3, H, W) to logits (B, K, H, W); H and W multiples of 8.

    classes: K.
    depth: twice the number of blocks in each of the four stacks; 16, 8 or 4 in the course.
    width: channels at half resolution, twice as many below; 64 in the course.
    upsampling: "learned" or "dlstudio", see the head of this file.
    skip_connections: False drops the identities inside blocks, not the U's three shortcuts.
    aspp_rates: atrous rates of a pyramid pooling at the bottleneck; None for none.
    """

    divisor = 8
    encoder = None

    def __init__(self, *, classes: int, depth: int, width: int, upsampling: str, skip_connections: bool = True,
                 aspp_rates: Sequence[int] | None = None):
        super().__init__()
        if depth < 4 or depth % 2 or width < 2 or width % 2:
            raise ValueError(f"mUnet needs an even depth from 4 and an even width from 2, found {depth} and {width}")
        if upsampling not in ("learned", "dlstudio"):
            raise ValueError(f"mUnet's upsampling is 'learned' or 'dlstudio', found {upsampling!r}")
        faithful = upsampling == "dlstudio"
        blocks, narrow, wide = depth // 2, width, 2 * width
        self.early = blocks // 4  # how many blocks of a stack stand before its shortcut
        common = {"idle_layers": faithful, "skip_connections": skip_connections}

        def upsampler(channels: int) -> nn.Module:
            if faithful:
                return nn.ConvTranspose2d(channels, channels, 1, stride=2, dilation=2, output_padding=1)
            return nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)

        self.conv_in = nn.Conv2d(3, narrow, 3, padding=1)
        self.skip64DN_arr = nn.ModuleList(BlockDown(narrow, narrow, **common) for _ in range(blocks))
        self.skip64dsDN = BlockDown(narrow, narrow, downsample=True, **common)
        self.bn1DN = nn.BatchNorm2d(narrow)
        self.skip64to128DN = BlockDown(narrow, wide, **common)
        self.skip128DN_arr = nn.ModuleList(BlockDown(wide, wide, **common) for _ in range(blocks))
        self.bn2DN = nn.BatchNorm2d(wide)
        self.skip128dsDN = BlockDown(wide, wide, downsample=True, **common)

        self.aspp = ASPP(wide, aspp_rates) if aspp_rates else None

        self.skip128usUP = BlockUp(wide, wide, upsampler=upsampler(wide), **common)
        self.skip128UP_arr = nn.ModuleList(BlockUp(wide, wide, **common)
                                           for _ in range(blocks if faithful else self.early))
        self.bn1UP = nn.BatchNorm2d(wide)
        self.skip128to64UP = BlockUp(wide, narrow, **common)
        self.skip64UP_arr = nn.ModuleList(BlockUp(narrow, narrow, **common) for _ in range(blocks))
        self.bn2UP = nn.BatchNorm2d(narrow)
        self.skip64usUP = BlockUp(narrow, narrow, upsampler=upsampler(narrow), **common)
        if faithful:
            self.conv_out = nn.ConvTranspose2d(narrow, classes, 3, stride=2, dilation=2, padding=2, output_padding=1)
        else:
            self.conv_out = nn.ConvTranspose2d(narrow, classes, 4, stride=2, padding=1)

    @property
    def output_layer(self) -> nn.Module:
        return self.conv_out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        early = self.early

        # Published as ReLU, then pooling; a maximum passes a ReLU unchanged, and this way it runs on a quarter.
        x = functional.relu(functional.max_pool2d(self.conv_in(x_BCHW), 2))
        x = _run(self.skip64DN_arr[:early], x)
        half = x[:, :x.shape[1] // 2]
        x = _run(self.skip64DN_arr[early:], self.skip64dsDN(x))
        x = self.bn1DN(x)
        quarter = x[:, :x.shape[1] // 2]
        x = _run(self.skip128DN_arr[:early], self.skip64to128DN(x))
        x = self.bn2DN(x)
        quarter_wide = x[:, :x.shape[1] // 2]
        x = self.skip128dsDN(_run(self.skip128DN_arr[early:], x))

        if self.aspp is not None:
            x = self.aspp(x)

        x = _run(self.skip128UP_arr[:early], self.skip128usUP(x))
        x = self.bn1UP(_overwrite(x, quarter_wide))
        x = _run(self.skip128UP_arr[:early], x)  # the same blocks once more, as published
        x = _run(self.skip64UP_arr[early:], self.skip128to64UP(x))
        x = self.bn2UP(_overwrite(x, quarter))
        x = _run(self.skip64UP_arr[:early], self.skip64usUP(x))
        return self.conv_out(_overwrite(x, half))


def _run(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def from_dlstudio(state_dict: Mapping[str, Tensor], *, skip_connections: bool = True) -> MUnet:
    """The faithful network with the weights of a DLStudio checkpoint; depth, width and classes are read from it.

    Whether the checkpoint was trained with skip connections cannot be told from its weights. The network expects
    what DLStudio's does: raw pixels 0..255. Raises ValueError for a state dict that is not an mUnet's.
    """
    needed = ("conv_in.weight", "conv_out.weight", "skip64DN_arr.0.convo1.weight")
    if missing := [name for name in needed if name not in state_dict]:
        raise ValueError(f"not a DLStudio mUnet: no {missing[0]!r} among the checkpoint's {len(state_dict)} entries")
    blocks = 1 + max(int(name.split(".")[1]) for name in state_dict if name.startswith("skip64DN_arr."))
    width, classes = state_dict["conv_in.weight"].shape[0], state_dict["conv_out.weight"].shape[1]
    network = MUnet(classes=classes, depth=2 * blocks, width=width, upsampling="dlstudio",
                    skip_connections=skip_connections)
    try:
        network.load_state_dict(state_dict)
    except RuntimeError as error:
        raise ValueError(f"not a DLStudio mUnet of depth {2 * blocks}: {error}") from None
    return network
