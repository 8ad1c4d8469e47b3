"""U-Net with a ResNet for its descending arm: one that fits its encoder, and one as published, which does not.

Shapes: B batch, C channels, K classes, H, W.

The published network is a ResNet34-U-Net for Oxford-IIIT Pet that scored less than a plain U-Net. Its stem is a 3×3
convolution at full resolution, so its encoder halves three times; its decoder is U-Net's and doubles four times. It
ends in a batch norm. `decoder="published"` keeps both faults.

The last doubling makes a map twice the picture's size. U-Net's `fit`, meant to add the pixel that an odd size lost, is
asked for -H rows and obeys: it cuts out the centre. Three quarters of what the decoder made are thrown away, and the
rest meets the stem's skip at twice its size: what stood at row r stands at 2r - H/2. Only at the very centre does the
decoder speak of the pixel it is asked about; elsewhere the stem's map, which has seen 3×3 pixels, is all that knows the
place. `decoder="matched"` joins the last skip without doubling; all else is the same.

The batch norm stands between the logits and the sigmoid, one channel wide where there is one class. In training it
gives the logits of every batch the same mean (its bias) and the same spread (its weight), so a batch of close-ups comes
out with the same average as a batch of distant animals. In evaluation, averages over past batches stand in for the
batch's own. `matched` has no such layer.

What the source does not tell is assumed: doubling by transposed convolutions, to as many channels as the skip has.
"""

from torch import Tensor, nn

from seglib.models.blocks import Up, double_convolution, draw_for_relus
from seglib.models.resnet import STAGE_CHANNELS, STEM_CHANNELS, ResNet


class ResNetUNet(nn.Module):
    """(B, 3, H, W) to logits (B, K, H, W); H and W multiples of 32, with a full stem of 8.

    classes: K.
    encoder, stem, weights: see `ResNet`.
    norm: "batch" or "none", in encoder and decoder; without it, the decoder's weights are drawn as a `UNet`'s are. The
        published decoder ends in a batch norm, and cannot be without.
    decoder: "matched" (doubles as often as the encoder halves: five times, three with a full stem) or "published" (see
        the head of this file; needs a full stem).
    pretrained: False leaves the weights of `weights` out, for a network whose own are loaded next.
    """

    def __init__(self, *, classes: int, encoder: str, weights: str, stem: str, decoder: str, norm: str,
                 pretrained: bool = True):
        super().__init__()
        if decoder not in ("matched", "published"):
            raise ValueError(f"decoder is 'matched' or 'published', found {decoder!r}")
        if decoder == "published" and stem != "full":
            raise ValueError(f"the published decoder needs stem 'full', as its source has it, found {stem!r}")
        if decoder == "published" and norm != "batch":
            raise ValueError(f"the published decoder ends in a batch norm and needs norm 'batch', found {norm!r}")
        self.divisor = 32 if stem == "standard" else 8
        self.encoder = ResNet(encoder, stem=stem, weights=weights if pretrained else "none", norm=norm)

        skips = (STEM_CHANNELS, *STAGE_CHANNELS)
        last = "none" if stem == "full" and decoder == "matched" else "transposed"
        self.up = nn.ModuleList(
            Up(skips[level + 1], skips[level], skips[level], upsampling=last if level == 0 else "transposed",
               norm=norm) for level in (3, 2, 1, 0))
        if stem == "standard":  # back to full size, where there is no skip
            channels = STEM_CHANNELS // 2
            self.finest: nn.Module = nn.Sequential(nn.ConvTranspose2d(STEM_CHANNELS, channels, 2, stride=2),
                                                   double_convolution(channels, channels, norm))
        else:
            channels, self.finest = STEM_CHANNELS, nn.Identity()
        self.output_layer = nn.Conv2d(channels, classes, 1)
        if norm == "none":
            for module in (self.up, self.finest, self.output_layer):
                module.apply(draw_for_relus)
        self.output_norm = nn.BatchNorm2d(classes) if decoder == "published" else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        *skips, x_BCHW = self.encoder(x_BCHW)
        for up in self.up:
            x_BCHW = up(x_BCHW, skips.pop())
        return self.output_norm(self.output_layer(self.finest(x_BCHW)))
