"""Models that call functions in forward, as published ones do, and changes of theirs made by hand."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upstroke.graph import Graph, merged_resize, sites
from upstroke.polyphase import Affine, nearest
from upstroke.rewrite.change import Change, Together


class DenseBlock(nn.Module):
    """Residual dense block with leaky ReLU, its result scaled by 0.2."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, growth, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels + growth, channels, 3, 1, 1)
        self.lrelu = nn.LeakyReLU(negative_slope=0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(torch.cat((x, self.lrelu(self.conv1(x))), 1)) * 0.2 + x


class RRDBNet(nn.Module):
    """ESRGAN's generator in little: the upsampling of the published one, with fewer and smaller blocks."""

    def __init__(self, channels: int = 6, blocks: int = 2) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, channels, 3, 1, 1)
        self.body = nn.Sequential(*(DenseBlock(channels, 4) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv_up1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv_up2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv_hr = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv_last = nn.Conv2d(channels, 3, 3, 1, 1)
        self.lrelu = nn.LeakyReLU(negative_slope=0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        feat = self.conv_first(x)
        feat = feat + self.conv_body(self.body(feat))
        feat = self.lrelu(self.conv_up1(F.interpolate(feat, scale_factor=2, mode="nearest")))
        feat = self.lrelu(self.conv_up2(F.interpolate(feat, scale_factor=2, mode="nearest")))
        return self.conv_last(self.lrelu(self.conv_hr(feat)))


class ReflectedConv(nn.Module):
    """A convolution padded by reflection, behind a resize if wanted."""

    def __init__(self, into: int, out: int, kernel: int, *, stride: int = 1, upsample: int = 0) -> None:
        super().__init__()
        self.upsample = upsample
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(into, out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.upsample:
            x = F.interpolate(x, mode="nearest", scale_factor=self.upsample)
        return self.conv2d(self.reflection_pad(x))


class StyleNet(nn.Module):
    """Fast style transfer in little: strided convolutions, a residual block, resize-convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.in1 = ReflectedConv(3, 4, 9), nn.InstanceNorm2d(4, affine=True)
        self.conv2, self.in2 = ReflectedConv(4, 6, 3, stride=2), nn.InstanceNorm2d(6, affine=True)
        self.conv3, self.in3 = ReflectedConv(6, 8, 3, stride=2), nn.InstanceNorm2d(8, affine=True)
        self.res = ReflectedConv(8, 8, 3)
        self.deconv1, self.in4 = ReflectedConv(8, 6, 3, upsample=2), nn.InstanceNorm2d(6, affine=True)
        self.deconv2, self.in5 = ReflectedConv(6, 4, 3, upsample=2), nn.InstanceNorm2d(4, affine=True)
        self.deconv3 = ReflectedConv(4, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.in1(self.conv1(x)))
        y = F.relu(self.in2(self.conv2(y)))
        y = F.relu(self.in3(self.conv3(y)))
        y = y + self.res(y)
        y = F.relu(self.in4(self.deconv1(y)))
        y = F.relu(self.in5(self.deconv2(y)))
        return self.deconv3(y)


def merged_changes(graph: Graph) -> list[Change]:
    """Every nearest resize with the convolution behind it, as a change whose map nobody here looks at."""
    found = []
    for site in sites(graph):
        merged = merged_resize(site, graph)
        if merged is not None:
            found.append(
                change_of(site.name, merged.resize, *merged.between, merged.convolution, does=merged)
            )
    return found


def change_of(site: str, *nodes: Any, does: Any = None) -> Change:
    """A change of these nodes; its map is that of one pair of channels, as parts are made by hand here."""
    return Change(
        site=site,
        codes=("UP301",),
        nodes=nodes,
        first=nodes[0].inputs[0],
        last=nodes[-1].output,
        does=Together(affine=Affine(operator=nearest(2) if does is None else does.together)),
        forms=("transposed",),
        words="",
    )
