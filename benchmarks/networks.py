"""Build networks after their published architectures, without trained weights."""

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["RRDBNet", "StyleNet", "upconv7"]


class StyleNet(nn.Module):
    """The image transformation network of Johnson et al. 2016, with nearest resizes in place of its strides.

    As it is used since Odena et al. 2016: convolutions behind reflection padding, instance normalisation,
    five residual blocks, two nearest resizes each with a convolution.
    """

    def __init__(self, width: int = 32, blocks: int = 5) -> None:
        super().__init__()
        self.down = nn.Sequential(
            *_reflected(3, width, 9, 1), nn.ReLU(),
            *_reflected(width, 2 * width, 3, 2), nn.ReLU(),
            *_reflected(2 * width, 4 * width, 3, 2), nn.ReLU(),
        )  # fmt: skip
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *_reflected(4 * width, 4 * width, 3, 1), nn.ReLU(), *_reflected(4 * width, 4 * width, 3, 1)
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2), *_reflected(4 * width, 2 * width, 3, 1), nn.ReLU(),
            nn.Upsample(scale_factor=2), *_reflected(2 * width, width, 3, 1), nn.ReLU(),
            nn.ReflectionPad2d(4), nn.Conv2d(width, 3, 9),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """A picture in another style."""
        x = self.down(x)
        for block in self.blocks:
            x = x + block(x)
        y: Tensor = self.up(x)
        return y


class RRDBNet(nn.Module):
    """The ×4 generator of ESRGAN, Wang et al. 2018: residual dense blocks in residual blocks."""

    def __init__(self, width: int = 64, growth: int = 32, blocks: int = 23) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(_Residual(width, growth) for _ in range(blocks)))
        self.trunk = nn.Conv2d(width, width, 3, padding=1)
        self.up1 = nn.Conv2d(width, width, 3, padding=1)
        self.up2 = nn.Conv2d(width, width, 3, padding=1)
        self.high = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """A picture four times as large."""
        x = self.first(x)
        x = x + self.trunk(self.body(x))
        for convolution in (self.up1, self.up2):
            x = self.activation(convolution(nn.functional.interpolate(x, scale_factor=2, mode="nearest")))
        y: Tensor = self.last(self.activation(self.high(x)))
        return y


class _Dense(nn.Module):
    """Five convolutions, each of everything before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width + i * growth, growth if i < 4 else width, 3, padding=1) for i in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for place, convolution in enumerate(self.convolutions):
            y = convolution(torch.cat(maps, 1))
            maps.append(y if place == 4 else nn.functional.leaky_relu(y, 0.2))
        return x + 0.2 * maps[-1]


class _Residual(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(_Dense(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.dense(x)


def upconv7() -> nn.Sequential:
    """waifu2x's upconv_7: six convolutions without padding, then a transposed one k4 s2 p3."""
    channels = (3, 16, 32, 64, 128, 128, 256)
    layers: list[nn.Module] = []
    for into, out in pairwise(channels):
        layers += [nn.Conv2d(into, out, 3), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(256, 3, 4, stride=2, padding=3))


def _reflected(into: int, out: int, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(kernel // 2),
        nn.Conv2d(into, out, kernel, stride=stride),
        nn.InstanceNorm2d(out, affine=True),
    ]
