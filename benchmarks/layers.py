"""Turn the layer of a case into PyTorch's module, as users write it, and into ours of equal parameters."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Fixed, Generator, ResizeConv, Separable, Subpixel, Transposed
from upstroke import nn as ours
from upstroke import upsample
from upstroke.ops.convolutions import CONV_TRANSPOSE
from upstroke.polyphase import Polyphase, as_transposed, bspline, cubic, linear, nearest

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
KERNEL: dict[str, Callable[..., Polyphase]] = {
    "nearest": nearest,
    "linear": linear,
    "cubic": cubic,
    "bspline": bspline,
}
PYTORCHS_MODE = {
    ("nearest", 1): "nearest",
    ("nearest", 2): "nearest",
    ("nearest", 3): "nearest",
    ("linear", 1): "linear",
    ("linear", 2): "bilinear",
    ("linear", 3): "trilinear",
    ("cubic", 2): "bicubic",
}  # fmt: skip


def pytorchs(case: Case, channels: int | None = None) -> nn.Module:
    """The layer in torch.nn; its parameters are always the same random numbers.

    Args:
        case: whose layer it is.
        channels: in place of the case's own, for layers in which channels stand alone.
    """
    torch.manual_seed(1)
    match case.layer:
        case Fixed(mode="bspline"):
            return PaddedTransposed(_operator(case))
        case Fixed(mode=mode, scale=scale):
            return nn.Upsample(scale_factor=scale, mode=PYTORCHS_MODE[mode, case.ndim])
        case Generator():
            return _generator(lambda c, o, s, p: nn.ConvTranspose2d(c, o, 4, stride=s, padding=p, bias=False))
        case layer:
            return _with_channels(case, layer, channels or case.shape[1])


def _with_channels(case: Case, layer: object, c: int) -> nn.Module:
    match layer:
        case Transposed():
            return TRANSPOSED[case.ndim](
                c,
                layer.out or c,
                layer.kernel,
                stride=layer.stride,
                padding=layer.padding,
                output_padding=layer.output_padding,
                groups=1 if layer.out else c,
                bias=layer.bias,
            )
        case ResizeConv():
            return nn.Sequential(
                nn.Upsample(scale_factor=layer.scale, mode=PYTORCHS_MODE[layer.mode, case.ndim]),
                CONV[case.ndim](c, layer.out, layer.kernel, padding=layer.kernel // 2),
            )
        case Subpixel():
            convolution = nn.Conv2d(c, layer.out * layer.scale**2, layer.kernel, padding=layer.kernel // 2)
            return nn.Sequential(convolution, nn.PixelShuffle(layer.scale))
        case Separable(order="depthwise-first"):
            return nn.Sequential(
                nn.ConvTranspose2d(c, c, 4, stride=2, padding=1, groups=c, bias=False),
                nn.Conv2d(c, layer.out, 1),
            )
        case Separable():
            return nn.Sequential(
                nn.Conv2d(c, layer.out, 1, bias=False),
                nn.ConvTranspose2d(layer.out, layer.out, 4, stride=2, padding=1, groups=layer.out),
            )
    msg = f"no module is known for {layer}"
    raise TypeError(msg)


def upstrokes(case: Case) -> nn.Module:
    """The layer in upstroke, which chooses its form by itself, with the parameters of PyTorch's."""
    c = case.shape[1]
    match case.layer:
        case Fixed():
            return Upsampled(_operator(case))
        case Generator():
            module: nn.Module = _generator(
                lambda c, o, s, p: ours.TransposedConv(c, o, 4, stride=s, padding=p, bias=False)
            )
        case Transposed() as layer:
            module = ours.TransposedConv(
                c,
                layer.out or c,
                layer.kernel,
                stride=layer.stride,
                padding=layer.padding,
                output_padding=layer.output_padding,
                groups=1 if layer.out else c,
                bias=layer.bias,
                ndim=case.ndim,
            )
        case ResizeConv() as layer:
            module = ours.ResizeConv(
                c, layer.out, layer.kernel, scale=layer.scale, mode=_resize(layer), ndim=case.ndim
            )
        case Subpixel() as layer:
            module = ours.SubpixelConv(c, layer.out, layer.kernel, scale=layer.scale)
        case Separable() as layer:
            module = ours.SeparableTransposedConv(c, layer.out, 4, padding=1, order=layer.order)
    module.load_state_dict(pytorchs(case).state_dict())
    return module


class Upsampled(nn.Module):
    """Apply an operator to every map."""

    def __init__(self, operator: Polyphase) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x: Tensor) -> Tensor:
        """By the form that upstroke chooses."""
        return upsample(x, self.operator)


class PaddedTransposed(nn.Module):
    """A resize that PyTorch lacks, as its users write it: replicate, one depthwise transposed convolution."""

    def __init__(self, operator: Polyphase) -> None:
        super().__init__()
        form = as_transposed(operator)
        (self.left, self.right), *others = form.pad
        (self.crop, end), *crops = form.crop
        # the same on every axis and at both ends => PyTorch's own padding of the transposed convolution crops
        assert self.crop == end
        assert all(pad == form.pad[0] for pad in others)
        assert all(crop == form.crop[0] for crop in crops)
        self.scale = form.stride
        self.register_buffer("weight", form.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Resize a batch of maps."""
        x = nn.functional.pad(x, [self.left, self.right] * (x.ndim - 2), mode="replicate")
        weight = self.weight.to(x.dtype).expand(x.shape[1], -1, *self.weight.shape[2:])
        return CONV_TRANSPOSE[x.ndim - 2](x, weight, stride=self.scale, padding=self.crop, groups=x.shape[1])


def _generator(transposed: Callable[[int, int, int, int], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c, o in ((100, 512), (512, 256), (256, 128), (128, 64)):
        s, p = (1, 0) if c == 100 else (2, 1)
        layers += [transposed(c, o, s, p), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, transposed(64, 3, 2, 1), nn.Tanh())


def _operator(case: Case) -> Polyphase:
    assert isinstance(case.layer, Fixed)
    return KERNEL[case.layer.mode](case.layer.scale, ndim=case.ndim)


def _resize(layer: ResizeConv) -> str:
    assert layer.mode != "bspline"
    return layer.mode
