"""Grow pictures from latent vectors, doubling the size step by step by any upsampling layer."""

import math
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke import plan
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid, drift
from upstroke.layers.convolution import Conv
from upstroke.nn._ladder import BASE, STD, check_numbers, start_norm, widths_of
from upstroke.nn.constrain import constrain, project_
from upstroke.nn.generator_trace import Measured, Trace, measured, traced
from upstroke.nn.initialise import icnr_
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.subpixel import SubpixelConv
from upstroke.nn.transposed import TransposedConv
from upstroke.nn.unet_blocks import check_words
from upstroke.nn.unet_ways import described_up
from upstroke.nn.upsampler import Layer, Method, Upsampler
from upstroke.ops.layout import is_channels_last

__all__ = ["Generator"]

Norm = Literal["batch", "none"]
_TRANSPOSED = ("transposed", "separable", "separable-pointwise-first")


class Generator(nn.Module):
    """The generator of DCGAN: a 4x4 sketch made of a latent vector, and a picture of it in steps of x2.

    At width 64 and size 64 the maps have 512, 256, 128 and 64 channels at 4, 8, 16 and 32 samples; at another
    size the last map before the picture has `width`, too. Each is followed by a batch norm and ReLU, the
    picture by tanh. No layer has a bias: norms subtract them, and the last layer has none in the original
    either; the norms have factors and offsets. So there are 3,576,704 parameters at the defaults, in the
    order and the shapes of the original, and pixels of it come out. With norm="none" every layer has a bias.

    Every upsampling layer is of one `method`, as `Upsampler` makes it. All of them sit on the half-pixel grid
    but transposed convolutions of an odd kernel, which sit on samples: `is_registered` tells, and `drift`.

    A constant has no pattern to give while every phase of a layer has the same gain:

    - balanced=True holds that through training, by `constrain`. A resize is so by itself, and gets nothing to
      hold; of a separable layer it is the depthwise part that is held; the sketch is made at stride 1, whose
      one phase nothing can unbalance. What `balanced` cannot make alike is the number of taps: a kernel of 3
      at stride 2 keeps phases of 1, 2 and 4 taps, whose answers to anything but a constant differ in size.
    - icnr=True lets layers start so: a shuffle by `icnr_`, with one kernel for all phases; transposed ones,
      whose phases read other cells each, by the least change that balances them; a resize is so by itself.

    Weights are drawn with mean 0 and standard deviation 0.02, as there, factors of norms around 1; the two
    kernels of a separable layer so that their products have that deviation. With norm="none" deviations are
    those with which ReLU keeps the variance (He and others, 2015).

    Source: Radford, Metz, Chintala, 2015 (arXiv:1511.06434).

    Args:
        latent: numbers in a latent vector.
        width: channels of the last map before the picture.
        channels: of the picture, 1 or 3.
        size: of the picture: 32, 64 or 128.
        method: of the upsampling layers.
        kernel: of the upsampling layers; by default 4 for transposed ones, else 3.
        balanced: whether all phases have the same gain, always.
        icnr: whether all phases have the same gain at the start.
        norm: behind each map: "batch" or "none".

    Raises:
        OptionError: a setting has no meaning.

    >>> net = Generator()
    >>> sum(parameter.numel() for parameter in net.parameters())
    3576704
    >>> small = Generator(16, 4, channels=1, size=32, method="nearest")
    >>> small(torch.zeros(2, 16)).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        latent: int = 100,
        width: int = 64,
        channels: int = 3,
        size: int = 64,
        *,
        method: Method = "transposed",
        kernel: int | None = None,
        balanced: bool = False,
        icnr: bool = False,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        check_words(method=(method, Method), norm=(norm, Norm))
        check_numbers(size=size, latent=latent, width=width)
        if channels not in (1, 3):
            msg = f"channels of a picture must be 1 or 3; got {channels}"
            raise OptionError(msg)
        kernel = (4 if method in _TRANSPOSED else 3) if kernel is None else kernel
        _check_kernel(kernel, method)
        self.latent, self.width, self.channels, self.size = latent, width, channels, size
        self.method, self.kernel = method, kernel
        self.balanced, self.icnr, self.norm = balanced, icnr, norm
        self.levels = self._made()
        self._start()
        if balanced:
            for up in self.ups:
                constrain(up, balanced=True)

    def _made(self) -> nn.Sequential:
        """The layers, in the order of the original."""
        widths = widths_of(self.width, self.size)
        has_bias = self.norm == "none"
        levels: list[nn.Module] = [self._level(Sketch(self.latent, widths[0], bias=has_bias), widths[0])]
        for before, after in zip(widths, (*widths[1:], self.channels), strict=True):
            up = Upsampler(before, after, method=self.method, kernel_size=self.kernel, bias=has_bias)
            is_last = len(levels) == len(widths)
            levels.append(nn.Sequential(up, nn.Tanh()) if is_last else self._level(up, after))
        return nn.Sequential(*levels)

    def _level(self, layer: nn.Module, channels: int) -> nn.Sequential:
        norms = [nn.BatchNorm2d(channels)] if self.norm == "batch" else []
        return nn.Sequential(layer, *norms, nn.ReLU(inplace=True))

    def _start(self) -> None:
        """Draw the weights, so that what shall hold from the start does."""
        for layer in (self.sketch, *self.ups):
            _draw(layer, STD if self.norm == "batch" else None, icnr=self.icnr)
            if (self.balanced or self.icnr) and not isinstance(layer, Sketch | ResizeConv):
                # of a kernel that balances already this changes nothing
                project_(layer, balanced=True)
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                start_norm(norm)

    def forward(self, z: Float[Tensor, "b latent"]) -> Float[Tensor, "b channels size size"]:
        """Pictures with values from -1 to 1.

        Raises:
            ShapeError: z is no batch of latent vectors of this length.
        """
        if z.ndim != 2 or z.shape[1] != self.latent:
            msg = (
                f"z must have shape (batch, {self.latent}), one latent vector per picture; "
                f"got shape {tuple(z.shape)}"
            )
            raise ShapeError(msg)
        y: Tensor = self.levels(z)
        return y

    @property
    def sketch(self) -> "Sketch":
        """The layer that makes the 4x4 map."""
        sketch = _first_of(self.levels[0])
        assert isinstance(sketch, Sketch)
        return sketch

    @property
    def ups(self) -> tuple[Layer, ...]:
        """The upsampling layers, the one that makes the picture last."""
        return tuple(layer for level in self.levels if isinstance(layer := _first_of(level), Layer))

    @property
    def settings(self) -> dict[str, Any]:
        """What the net is made with, as plain data: Generator(**net.settings) is made alike."""
        return {
            "latent": self.latent,
            "width": self.width,
            "channels": self.channels,
            "size": self.size,
            "method": self.method,
            "kernel": self.kernel,
            "balanced": self.balanced,
            "icnr": self.icnr,
            "norm": self.norm,
        }

    @property
    def plan(self) -> tuple[plan.Step, ...]:
        """The size and the grid of every map, the sketch first; grids are in cells of the sketch.

        >>> [step.size[0] for step in Generator(width=2).plan]
        [4, 8, 16, 32, 64]
        """
        sketch, *steps = plan.trace([described_up(up) for up in self.ups], (BASE, BASE))
        return (replace(sketch, name="sketch"), *steps)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Where the samples of every map sit, the sketch's first, in cells of the sketch."""
        return tuple(step.grid for step in self.plan)

    @property
    def is_registered(self) -> bool:
        """Whether every map sits on the half-pixel grid, where the picture covers the sketch from end to end.

        >>> Generator(width=2).is_registered, Generator(width=2, kernel=3).is_registered
        (True, False)
        """
        return all(grid.is_registered_to(_half_pixels(step)) for step, grid in enumerate(self.grids))

    @property
    def drift(self) -> tuple[Fraction, ...]:
        """How far the picture sits from the half-pixel grid, in cells of the sketch.

        >>> Generator(width=2, kernel=3).drift
        (Fraction(15, 32), Fraction(15, 32))
        """
        last = self.grids[-1]
        return drift(last, _half_pixels(len(self.ups)))

    def trace(self) -> Trace:
        """Which pixels depend on which cells of the sketch, from kernels, strides and crops alone.

        >>> trace = Generator(width=2).trace()
        >>> trace.least, trace.most
        (1, 9)
        """
        return traced(self.ups)

    def measured(self, *, pictures: int = 16, seed: int = 0) -> Measured:
        """What `trace` tells, measured: the sketch is changed in one cell, and pixels are compared.

        1. So many latent vectors are drawn, and their sketches made, with the norms' statistics as they are.
        2. One cell of every sketch becomes that of the next one.
        3. Pixels are compared before tanh, in float64.

        Args:
            pictures: how many are drawn; where a channel is dead in all of them, nothing comes through it.
            seed: of the latent vectors.
        """
        if pictures < 2:
            msg = f"pictures must be at least 2, because cells are exchanged between them; got {pictures}"
            raise OptionError(msg)
        net = self.released().double().cpu().eval()
        z = torch.randn(
            (pictures, self.latent), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        first, *between, last = net.levels.children()
        with torch.no_grad():
            return measured(nn.Sequential(*between, _first_of(last)), first(z))

    def released(self) -> "Generator":
        """A copy that makes the same pictures, with weights as plain parameters that nothing holds.

        What an export wants, and drawing of many pictures: held weights are projected whenever they are read.
        """
        # No deep copy: it has the classes of this one, which lose their properties with a parametrization.
        with torch.random.fork_rng(devices=[]):
            net = Generator(**{**self.settings, "balanced": False})
        held = {name: getattr(module, name.rpartition(".")[2]) for module, name in self._held()}
        state = {name: value for name, value in self.state_dict().items() if ".parametrizations." not in name}
        net.to(self.sketch.weight).load_state_dict({**state, **held})
        return net.train(self.training)

    def _held(self) -> list[tuple[nn.Module, str]]:
        """The modules that something is held of, and the names it has in a state that holds nothing."""
        return [
            (module, f"{name}.{tensor}")
            for name, module in self.named_modules()
            if isinstance(lists := getattr(module, "parametrizations", None), nn.ModuleDict)
            for tensor in lists
        ]

    def extra_repr(self) -> str:
        """The settings, as PyTorch's layers print theirs, and where the picture sits."""
        settings = self.settings
        places = [f"{settings.pop(name)!r}" for name in ("latent", "width", "channels", "size")]
        words = [f"{name}={value!r}" for name, value in settings.items()]
        where = "on half pixels" if self.is_registered else f"off half pixels by {self.drift[0]} cells"
        return ", ".join((*places, *words, where))


class Sketch(nn.Module):
    """A 4x4 map made of a latent vector: the transposed convolution of a map of 1x1, as a matrix product.

    The weight has the shape that the transposed convolution's has. Maps have the weight's layout, so that all
    maps of a net have their channels innermost after `net.to(memory_format=torch.channels_last)`.

    Args:
        latent: numbers in a latent vector.
        channels: of the map.
        bias: whether there is one, per channel.
    """

    bias: nn.Parameter | None

    def __init__(self, latent: int, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(latent, channels, BASE, BASE))
        if bias:
            self.bias = nn.Parameter(torch.empty(channels))
        else:
            self.register_parameter("bias", None)

    def forward(self, z: Float[Tensor, "b latent"]) -> Float[Tensor, "b c 4 4"]:
        """Make a batch of maps."""
        # A map of one cell meets every tap once, at a place of its own => a product with the whole kernel.
        weight = self.weight
        if is_channels_last(weight):
            _, channels, *size = weight.shape
            flat = z @ weight.movedim(1, -1).flatten(1)
            y: Tensor = flat.reshape(-1, *size, channels).movedim(-1, 1)
        else:
            y = (z @ weight.flatten(1)).reshape(-1, *weight.shape[1:])
        return y if self.bias is None else y + self.bias[:, None, None]

    def extra_repr(self) -> str:
        """The sizes, as PyTorch's layers print theirs."""
        latent, channels, *_ = self.weight.shape
        return f"{latent}, {channels}, bias={self.bias is not None}"


def _check_kernel(kernel: int, method: Method) -> None:
    if method in _TRANSPOSED:
        if kernel < 2:
            msg = f"kernel of method={method!r} must be at least 2, to reach every sample; got {kernel}"
            raise OptionError(msg)
    elif kernel < 1:
        msg = f"kernel of method={method!r} must be odd and at least 1; got {kernel}"
        raise OptionError(msg)
    elif kernel % 2 == 0:
        msg = (
            f"kernel of method={method!r} must be odd, or maps move by half a sample at every step; "
            f"got {kernel}"
        )
        raise OptionError(msg)


def _first_of(level: nn.Module) -> nn.Module:
    """The layer of a level that norm and nonlinearity stand behind."""
    assert isinstance(level, nn.Sequential)
    first: nn.Module = level[0]
    return first


def _half_pixels(steps: int) -> Grid:
    """The half-pixel grid after so many steps of x2."""
    return Grid.of_input(2).resize(2**steps)


def _draw(layer: Layer | Sketch, std: float | None, *, icnr: bool) -> None:
    """Fill weights with numbers of this deviation, or of the one with which ReLU keeps variances."""
    if isinstance(layer, Sketch):
        _fill(layer.weight, std, fan=float(len(layer.weight)))
    elif isinstance(layer, SeparableTransposedConv):
        # the products of both have the deviation: the one keeps variances, the other has the rest
        root = math.sqrt(_taps(layer.depthwise))
        nn.init.normal_(layer.depthwise.weight, 0.0, 1 / root)
        mixes = next(part for part in layer if isinstance(part, nn.Conv2d))
        _fill(mixes.weight, None if std is None else std * root, fan=float(mixes.in_channels))
    else:
        own = layer if isinstance(layer, TransposedConv) else layer.conv
        fill = partial(_fill, std=std, fan=own.in_channels * _taps(own))
        if icnr and isinstance(layer, SubpixelConv):
            icnr_(layer, init=fill)
        else:
            fill(own.weight)
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)


def _fill(weight: Tensor, std: float | None, *, fan: float) -> None:
    """Draw with this deviation; or, of so many numbers that are added up, as He and others, 2015."""
    nn.init.normal_(weight, 0.0, math.sqrt(2 / fan) if std is None else std)


def _taps(layer: TransposedConv | Conv) -> float:
    """Taps per sample, on average over phases."""
    kernel = float(math.prod(layer.kernel_size))
    return kernel / math.prod(layer.stride) if isinstance(layer, TransposedConv) else kernel
