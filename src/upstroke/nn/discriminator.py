"""Tell drawn pictures from real ones, halving the size step by step by strided convolutions."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.nn._arguments import check_maps
from upstroke.nn._ladder import BASE, STD, check_numbers, start_norm, widths_of
from upstroke.nn.unet_blocks import check_words

__all__ = ["Discriminator"]

Norm = Literal["batch", "none", "spectral"]
# As the original has it.
SLOPE = 0.2
# Below this a spread counts as none; its root has a gradient there too.
TINY = 1e-8


class Discriminator(nn.Module):
    """The discriminator of DCGAN: strided convolutions from a picture to 4x4, and one number of that.

    At width 64 and size 64 the maps have 64, 128, 256 and 512 channels at 32, 16, 8 and 4 samples, each
    behind a convolution of kernel 4, stride 2 and a leaky ReLU of slope 0.2. The stride divides the kernel,
    so that every pixel gets its gradient through as many taps as any other; kernel 3 would leave a pattern.

    - norm="batch": batch norms behind all convolutions but the first and the last, and no biases, as in the
      original, which has 2,765,568 parameters at the defaults, in this order and these shapes.
    - norm="spectral": every weight is divided by its largest singular value, by one power iteration a step.
      Source: Miyato, Kataoka, Koyama, Yoshida, 2018 (arXiv:1802.05957).
    - norm="none": neither. What a penalty on gradients wants: no picture is judged by its neighbours.

    Weights are drawn with deviation 0.02, as there; without a batch norm with that of He and others, 2015,
    with which maps keep their variance, and biases of 0.

    Args:
        channels: of the pictures, 1 or 3.
        width: channels of the first map.
        size: of the pictures: 32, 64 or 128.
        norm: what keeps maps, or weights, in bounds.
        spread: whether the last convolution is also given how much the pictures of the batch differ: the
            deviation over the batch of every number of the 4x4 map, its mean as one more channel. Pictures
            that are all alike are found out by it. Source: Karras, Aila, Laine, Lehtinen, 2017
            (arXiv:1710.10196). What it tells of a picture then depends on the batch.

    Raises:
        OptionError: a setting has no meaning.

    >>> net = Discriminator(1, 4, size=32, norm="spectral")
    >>> net(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        size: int = 64,
        *,
        norm: Norm = "batch",
        spread: bool = False,
    ) -> None:
        super().__init__()
        check_words(norm=(norm, Norm))
        check_numbers(size=size, width=width)
        if channels not in (1, 3):
            msg = f"channels of a picture must be 1 or 3; got {channels}"
            raise OptionError(msg)
        self.channels, self.width, self.size = channels, width, size
        self.norm, self.spread = norm, spread
        widths = widths_of(width, size)[::-1]
        levels = [
            self._level(before, after, normed=norm == "batch" and number > 0)
            for number, (before, after) in enumerate(zip((channels, *widths), widths, strict=False))
        ]
        self.levels = nn.Sequential(*levels)
        self.head = nn.Conv2d(widths[-1] + spread, 1, BASE, bias=norm != "batch")
        self._start()

    def _level(self, before: int, after: int, *, normed: bool) -> nn.Sequential:
        conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=self.norm != "batch")
        norm = [nn.BatchNorm2d(after)] if normed else []
        return nn.Sequential(conv, *norm, nn.LeakyReLU(SLOPE, inplace=True))

    def _start(self) -> None:
        for layer in list(self.modules()):
            if isinstance(layer, nn.BatchNorm2d):
                start_norm(layer)
            if not isinstance(layer, nn.Conv2d):
                continue
            if self.norm == "batch":
                nn.init.normal_(layer.weight, 0.0, STD)
            else:
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            if self.norm == "spectral":
                spectral_norm(layer)

    def forward(self, x: Float[Tensor, "b channels size size"]) -> Float[Tensor, "b"]:
        """Logits: above 0 for pictures that are more likely real.

        Raises:
            ShapeError: x has other channels or another size.
        """
        check_maps(x, channels=self.channels, ndim=2)
        self._check_size(x)
        y: Tensor = self.levels(x)
        if self.spread:
            y = torch.cat((y, _spread(y).expand(len(y), 1, *y.shape[2:])), dim=1)
        logits: Tensor = self.head(y)
        return logits.flatten()

    @property
    def settings(self) -> dict[str, Any]:
        """What the net is made with, as plain data: Discriminator(**net.settings) is made alike."""
        return {
            "channels": self.channels,
            "width": self.width,
            "size": self.size,
            "norm": self.norm,
            "spread": self.spread,
        }

    def extra_repr(self) -> str:
        """The settings, as PyTorch's layers print theirs."""
        return f"{self.channels}, {self.width}, {self.size}, norm={self.norm!r}, spread={self.spread}"

    def _check_size(self, x: Tensor) -> None:
        if tuple(x.shape[2:]) != (self.size, self.size):
            msg = (
                f"x must be pictures of {self.size}x{self.size} to match the discriminator; "
                f"got {times(x.shape[2:])}"
            )
            raise ShapeError(msg)


def _spread(maps: Tensor) -> Tensor:
    """The deviation over the batch of every number of a map, its mean over all numbers."""
    return (maps.var(dim=0, correction=0) + TINY).sqrt().mean()
