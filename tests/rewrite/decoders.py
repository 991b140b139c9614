"""Decoders under encoders of several grids, built small: what a re-registration is tried on."""

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    """A function as a model, with layers."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *maps):
        return self.function(self, *maps)


class ResNetUNet(nn.Module):
    """The strides of a ResNet-18 under a decoder, whose resizes are a function or layers.

    Args:
        up: how a map is doubled: a function of it, or a layer, of which each step gets one.
        to_skip: whether it is resized to the size of the map that it meets instead.
    """

    def __init__(self, up=None, *, mode="nearest", to_skip=False):
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList([nn.Conv2d(4, 4, 3, stride, 1) for stride in (1, 2, 2, 2)])
        self.mixes = nn.ModuleList([nn.Conv2d(8, 4, 3, 1, 1) for _ in range(4)])
        self.ups = nn.ModuleList([up() for _ in range(5)]) if up else None
        self.mode, self.to_skip = mode, to_skip

    def doubled(self, place, y, like):
        if self.ups is not None:
            return self.ups[place](y)
        if self.to_skip:
            return F.interpolate(y, size=like.shape[2:], mode=self.mode)
        return F.interpolate(y, scale_factor=2, mode=self.mode)

    def forward(self, x):
        skips = [x, self.stem(x)]
        y = self.pool(skips[1])
        for stage in self.stages:
            y = stage(y)
            skips.append(y)
        y = skips.pop()
        for place, mix in enumerate(self.mixes):
            skip = skips.pop()
            y = mix(torch.cat([self.doubled(place, y, skip), skip], dim=1))
        return self.doubled(4, y, skips.pop())


class PoolUNet(nn.Module):
    """Two levels of 2x2 pooling, on whose grid half-pixel resizes are."""

    def __init__(self):
        super().__init__()
        self.conv, self.up = nn.Conv2d(3, 3, 3, 1, 1), nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, x):
        y = F.max_pool2d(x, 2)
        z = self.conv(F.max_pool2d(y, 2))
        return torch.cat([self.up(torch.cat([self.up(z), y], 1)), x], 1)


def at_offset(x, scale, offset, ndim):
    """Linear interpolation at m + p / s + offset along every axis, by numpy, the edge clamped."""
    import numpy as np

    y = x.numpy()
    for axis in range(ndim):
        n, s, o = y.shape[2 + axis], scale[axis], float(offset[axis])
        places = np.arange(s * n) / s + o
        y = np.apply_along_axis(lambda line, p=places, n=n: np.interp(p, np.arange(n), line), 2 + axis, y)
    return torch.from_numpy(y).to(x.dtype)
