"""What anyone would pick instead: the course's mUnet, its data loader and its loops, as DLStudio 2.3.6 to 2.5.8 run.

A replica, written from a description of what that code does (see docs/munet.md), with nothing of seglib in it, so that
it stays what it is while seglib changes. Its names are DLStudio's, so a checkpoint of one is a checkpoint of the other.
Shapes: N pictures, B batch, C channels, K = 5 classes, H = W = 64.
"""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

LABELS = (50, 100, 150, 200, 250)  # what a pixel of each class is worth in a target plane
SIDE = 64
BATCH_SIZE, WORKERS = 4, 4
LEARNING_RATE, MOMENTUM = 1e-4, 0.9


class SkipBlockDN(nn.Module):
    """(3×3 convolution, batch norm, ReLU) twice plus the identity; the second not run where channels change.

    `downsample`: a 1×1 convolution of stride 2, run on both paths, each for itself.
    """

    def __init__(self, in_channels: int, out_channels: int, downsample: bool = False):
        super().__init__()
        self.keeps_channels = in_channels == out_channels
        self.convo1 = nn.Conv2d(in_channels, out_channels, 3, stride=1, padding=1)
        self.convo2 = nn.Conv2d(in_channels, out_channels, 3, stride=1, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsampler = nn.Conv2d(in_channels, out_channels, 1, stride=2) if downsample else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = functional.relu(self.bn1(self.convo1(x)))
        if self.keeps_channels:
            out = functional.relu(self.bn2(self.convo2(out)))
        if self.downsampler is not None:
            out, identity = self.downsampler(out), self.downsampler(identity)
        return out + (identity if self.keeps_channels else torch.cat((identity, identity), dim=1))


class SkipBlockUP(nn.Module):
    """The same of transposed convolutions; `upsample`: a 1×1 one of stride 2 and dilation 2, run on both paths."""

    def __init__(self, in_channels: int, out_channels: int, upsample: bool = False):
        super().__init__()
        self.out_channels, self.keeps_channels = out_channels, in_channels == out_channels
        self.convoT1 = nn.ConvTranspose2d(in_channels, out_channels, 3, padding=1)
        self.convoT2 = nn.ConvTranspose2d(in_channels, out_channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.upsampler = nn.ConvTranspose2d(in_channels, out_channels, 1, stride=2, dilation=2,
                                            output_padding=1) if upsample else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = functional.relu(functional.relu(self.bn1(self.convoT1(x))))  # twice, as it has it
        if self.keeps_channels:
            out = functional.relu(functional.relu(self.bn2(self.convoT2(out))))
        if self.upsampler is not None:
            out, identity = self.upsampler(out), self.upsampler(identity)
        return out + (identity if self.keeps_channels else identity[:, self.out_channels:])


class MUnet(nn.Module):
    """(B, 3, H, W) to (B, 5, H, W). It owns layers that it never runs, and so does this.

    mended: the last layer replaced by one of kernel 4, stride 2 and padding 1, whose taps reach every pixel.
    """

    def __init__(self, depth: int = 16, width: int = 64, *, mended: bool = False):
        super().__init__()
        blocks, narrow, wide = depth // 2, width, 2 * width
        self.early = blocks // 4
        self.conv_in = nn.Conv2d(3, narrow, 3, padding=1)
        self.skip64DN_arr = nn.ModuleList(SkipBlockDN(narrow, narrow) for _ in range(blocks))
        self.skip64dsDN = SkipBlockDN(narrow, narrow, downsample=True)
        self.skip64to128DN = SkipBlockDN(narrow, wide)
        self.skip128DN_arr = nn.ModuleList(SkipBlockDN(wide, wide) for _ in range(blocks))
        self.skip128dsDN = SkipBlockDN(wide, wide, downsample=True)
        self.bn1DN, self.bn2DN = nn.BatchNorm2d(narrow), nn.BatchNorm2d(wide)
        self.bn1UP, self.bn2UP = nn.BatchNorm2d(wide), nn.BatchNorm2d(narrow)
        self.skip128usUP = SkipBlockUP(wide, wide, upsample=True)
        self.skip128UP_arr = nn.ModuleList(SkipBlockUP(wide, wide) for _ in range(blocks))
        self.skip128to64UP = SkipBlockUP(wide, narrow)
        self.skip64UP_arr = nn.ModuleList(SkipBlockUP(narrow, narrow) for _ in range(blocks))
        self.skip64usUP = SkipBlockUP(narrow, narrow, upsample=True)
        self.conv_out = (nn.ConvTranspose2d(narrow, len(LABELS), 4, stride=2, padding=1) if mended else
                         nn.ConvTranspose2d(narrow, len(LABELS), 3, stride=2, dilation=2, padding=2, output_padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv_in(x)), 2)
        for block in self.skip64DN_arr[:self.early]:
            x = block(x)
        saved_1 = x[:, :x.shape[1] // 2].clone()
        x = self.skip64dsDN(x)
        for block in self.skip64DN_arr[self.early:]:
            x = block(x)
        x = self.bn1DN(x)
        saved_2 = x[:, :x.shape[1] // 2].clone()
        x = self.skip64to128DN(x)
        for block in self.skip128DN_arr[:self.early]:
            x = block(x)
        x = self.bn2DN(x)
        saved_3 = x[:, :x.shape[1] // 2].clone()
        for block in self.skip128DN_arr[self.early:]:
            x = block(x)
        x = self.skip128dsDN(x)
        x = self.skip128usUP(x)
        for block in self.skip128UP_arr[:self.early]:
            x = block(x)
        x[:, :saved_3.shape[1]] = saved_3
        x = self.bn1UP(x)
        for block in self.skip128UP_arr[:self.early]:
            x = block(x)
        x = self.skip128to64UP(x)
        for block in self.skip64UP_arr[self.early:]:
            x = block(x)
        x[:, :saved_2.shape[1]] = saved_2
        x = self.bn2UP(x)
        x = self.skip64usUP(x)
        for block in self.skip64UP_arr[:self.early]:
            x = block(x)
        x[:, :saved_1.shape[1]] = saved_1
        return self.conv_out(x)


class Pictures(Dataset):
    """Pictures as the course's file holds them: R, G and B are flat lists of numbers, planes a uint8 array.

    An item is made anew each time it is asked for. Its boxes, which cost the original more time, are left out.
    images_NHWC: uint8. planes_NKHW: bool, where each class is.
    """

    def __init__(self, images_NHWC: np.ndarray, planes_NKHW: np.ndarray):
        labels_K11 = np.array(LABELS, np.uint8).reshape(-1, 1, 1)
        self.entries = [(*image_HWC.reshape(-1, 3).T.tolist(), planes_KHW * labels_K11)
                        for image_HWC, planes_KHW in zip(images_NHWC, planes_NKHW, strict=True)]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """float32: pixels 0..255 (3, H, W), and targets 0 or the class's label (K, H, W)."""
        *channels, planes_KHW = self.entries[index]
        image_CHW = torch.zeros(3, SIDE, SIDE)
        for c, channel in enumerate(channels):
            image_CHW[c] = torch.from_numpy(np.array(channel).reshape(SIDE, SIDE))
        return image_CHW, torch.from_numpy(planes_KHW).type(torch.float32)


class Endless:
    """Orders for ever, drawn anew for each pass; so that a loader's processes start once, outside what is timed."""

    def __init__(self, pictures: int):
        self.pictures = pictures

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.pictures).tolist()


def loader(pictures: Pictures, *, workers: int = WORKERS, order: Sequence[int] | Endless | None = None) -> DataLoader:
    """In a random order, or in `order`."""
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more processes than cores: its own setting
    return DataLoader(pictures, batch_size=BATCH_SIZE, shuffle=order is None, sampler=order, num_workers=workers)


def optimizer_of(network: nn.Module, lr: float = LEARNING_RATE) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=MOMENTUM)


def train(network: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[tuple[Tensor, Tensor]],
          device: torch.device) -> list[float]:
    """One pass over the batches; the loss of each step."""
    criterion, losses = nn.MSELoss(), []
    network.train()
    for images, targets in batches:
        images, targets = images.to(device), targets.to(device)
        optimizer.zero_grad()
        loss = criterion(network(images), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def test(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
         ) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs and targets (B, K, H, W), batch by batch. The network is left in training mode; nothing is scored."""
    for images, targets in batches:
        yield network(images.to(device)), targets


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """PyTorch as it comes: seglib's trainings ask for deterministic algorithms, the course's code does not."""
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_deterministic)
