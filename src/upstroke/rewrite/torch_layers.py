"""Define the layers that stand in place of others in a rewritten PyTorch model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from upstroke.axes import times
from upstroke.errors import OptionError
from upstroke.graph.torch_recorder import Recorder
from upstroke.nn import ResizeConv, TransposedConv
from upstroke.nn._arguments import check_maps
from upstroke.nn.interpolation import Interpolation
from upstroke.ops import interleave, native
from upstroke.ops.convolutions import CONV
from upstroke.ops.fit import kept
from upstroke.ops.native_call import BORDERS
from upstroke.ops.recorded import leaves
from upstroke.ops.transposed import draw
from upstroke.polyphase import PhaseConvsForm, Polyphase, TransposedForm, as_transposed

__all__ = [
    "Channelwise",
    "Drawn",
    "Passed",
    "PerChannelBias",
    "PhaseConvolutions",
    "Resized",
    "ResizedConv",
    "Rewritten",
    "Shuffle",
]


class Rewritten(nn.Module):
    """A row of layers that computes what others did before.

    Called with further arguments, as some modules are that tell an upsampler its output size, it hands the
    call to the module it replaced, if it kept that one.

    Args:
        layers: in order.
        words: what the row stands for.
        otherwise: takes calls with further arguments that are not None.
        said: what the replaced module says of itself and others may ask for, such as its channels.

    >>> Rewritten(PerChannelBias(torch.zeros(2)), words="a bias of zero")
    Rewritten(
      a bias of zero
      (0): PerChannelBias(2)
    )
    """

    def __init__(
        self,
        *layers: nn.Module,
        words: str = "",
        otherwise: nn.Module | None = None,
        said: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for place, layer in enumerate(layers):
            self.add_module(str(place), layer)
        self.words = words
        self.said = dict(said or {})
        self.keep(otherwise)

    def keep(self, otherwise: nn.Module | None) -> None:
        """Keep a module for calls with further arguments; it is none of the row."""
        if otherwise is not None:
            self.add_module("otherwise", otherwise)

    def row(self) -> list[nn.Module]:
        """The layers in order."""
        return [layer for name, layer in self._modules.items() if name != "otherwise" and layer is not None]

    def forward(self, x: Tensor, *others: object, **keywords: object) -> Tensor:
        """Run the layers one after the other.

        Raises:
            OptionError: there are further arguments, and no layer that takes them.
        """
        row = self.row()
        if any(each is not None for each in (*others, *keywords.values())):
            whole = self._modules.get("otherwise")
            if whole is None and len(row) == 1 and isinstance(row[0], Drawn):
                whole = row[0]
            if whole is None:
                msg = (
                    f"{self.words or 'this'} was rewritten for calls with a map alone; "
                    "got further arguments, so use the model as it was"
                )
                raise OptionError(msg)
            y: Tensor = whole(x, *others, **keywords)
            return y
        for layer in row:
            x = layer(x)
        return x

    def extra_repr(self) -> str:
        """What it stands for."""
        return self.words

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the replaced module said
        """What the replaced module said of itself, and the weight of the layer that has one."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return _said(self, name)


class Passed(nn.Identity):
    """Stands where a layer was whose work another one does now, so that no index and no name moves.

    >>> Passed(words="computed in up.0")
    Passed(computed in up.0)
    """

    def __init__(self, *, words: str = "", said: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.words = words
        self.said = dict(said or {})

    def extra_repr(self) -> str:
        """Where the work is done."""
        return self.words

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the replaced module said
        """What the replaced module said of itself."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return _said(self, name)


class Drawn(TransposedConv):
    """`TransposedConv`, which shows itself as one operator of upstroke when a model is read.

    So that a model which was rewritten is seen to be. Its parameters are not drawn, but left to be filled.
    """

    def reset_parameters(self) -> None:
        """Leave them as they are: they will be given."""

    def forward(
        self, x: Float[Tensor, "b c_in *space"], output_size: int | Sequence[int] | None = None
    ) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps."""
        if output_size is not None or not _is_read():
            return super().forward(x, output_size)
        check_maps(x, channels=self.in_channels, ndim=self.ndim)
        numbers = (self.stride, self.padding, self.output_padding, self.dilation)
        operator = torch.ops.upstroke.conv_transpose.default
        y: Tensor = operator(x, self.weight, self.bias, *map(list, numbers), self.groups)
        return y


class Channelwise(nn.Module):
    """Every channel upsampled by a kernel of its own, with any border, by the compiled kernels.

    Args:
        form: the transposed convolution with one channel per group that it is, between a pad and a crop.
        bias: one number per channel, or none.
    """

    bias: nn.Parameter | None

    def __init__(self, form: TransposedForm, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(form.weight.detach().clone())
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach().clone()))
        self.stride, self.dilation, self.pad = form.stride, form.dilation, form.pad
        self.crop, self.border = form.crop, form.border

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *grown"]:
        """Upsample a batch of maps."""
        check_maps(x, channels=self.weight.shape[0], ndim=len(self.stride))
        if _is_read() or self._is_ours(x):
            lengths = [d * (k - 1) + 1 for k, d in zip(self.weight.shape[2:], self.dilation, strict=True)]
            kernel: Tensor = self.weight
            if max(self.dilation) > 1:
                kernel = self.weight.new_zeros(*self.weight.shape[:2], *lengths)
                kernel[:, :, *(slice(None, None, d) for d in self.dilation)] = self.weight
            sizes = zip(self.stride, self.pad, self.crop, lengths, strict=True)
            excess = [s * (sum(p) - 1) + length - sum(c) for s, p, c, length in sizes]
            left = [c[0] - s * p[0] for s, p, c in zip(self.stride, self.pad, self.crop, strict=True)]
            border = [BORDERS.index(each) for each in self.border]
            numbers = (list(self.stride), left, excess, border)
            y: Tensor = torch.ops.upstroke.upsample.default(x, kernel, self.bias, *numbers)
            return y
        return draw(x, self._form(), bias=self.bias)

    def extra_repr(self) -> str:
        """The settings."""
        channels, _, *kernel = self.weight.shape
        return (
            f"{channels}, kernel_size={tuple(kernel)}, stride={self.stride}, pad={self.pad}, "
            f"crop={self.crop}, border={self.border}, bias={self.bias is not None}"
        )

    def _is_ours(self, x: Tensor) -> bool:
        return _may_run_ours(x) and x.dtype == self.weight.dtype and not torch.is_autocast_enabled("cpu")

    def _form(self) -> TransposedForm:
        return TransposedForm(
            weight=self.weight,
            stride=self.stride,
            dilation=self.dilation,
            pad=self.pad,
            crop=self.crop,
            border=self.border,
            groups=self.weight.shape[0],
            shared=False,
        )


class Resized(nn.Module):
    """Maps of any number of channels resized by one fixed kernel, by the compiled kernels.

    Args:
        operator: the kernel, of one channel, shared.
        like: PyTorch's resize of the same numbers, for graphs that leave Python; None where it has none.
    """

    def __init__(self, operator: Polyphase, like: Interpolation | None = None) -> None:
        super().__init__()
        self.operator = operator
        # beside the modules, as it is no layer of the model
        self._like = (like,)
        self._form = as_transposed(operator)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *grown"]:
        """Resize a batch of maps."""
        check_maps(x, ndim=self.operator.ndim)
        if (_is_read() and native.runs_on(x.device)) or _may_run_ours(x):
            return native.upsample(x, self.operator)
        (like,) = self._like
        if like is not None:
            y: Tensor = like(x)
            return y
        form, channels = self._form, x.shape[1]
        weight = kept(self.operator, ("expanded", x.dtype, x.device), lambda: form.weight.to(x))
        # one group per channel, whose number is known only now
        return draw(
            x,
            TransposedForm(
                weight=weight.repeat(channels, *[1] * (weight.ndim - 1)),
                stride=form.stride,
                dilation=form.dilation,
                pad=form.pad,
                crop=form.crop,
                border=form.border,
                groups=channels,
                shared=False,
            ),
        )

    def extra_repr(self) -> str:
        """The settings."""
        kernel = tuple(self._form.weight.shape[2:])
        return f"kernel_size={kernel}, scale={self.operator.scale}, border={self.operator.border}"


class ResizedConv(ResizeConv):
    """`ResizeConv`, which shows its resize as an operator of upstroke when a model is read."""

    def forward(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps."""
        if _is_read() and native.runs_on(x.device):
            y: Tensor = self.conv(native.upsample(x, self.resize.operator))
            return y
        return super().forward(x)


class PhaseConvolutions(nn.Module):
    """One small convolution per phase, and the phases interleaved.

    Args:
        form: the convolutions, between the pad and the crop.
        bias: one number per phase and channel, (phases, out), or none.
    """

    bias: nn.Parameter | None

    def __init__(self, form: PhaseConvsForm, bias: Tensor | None) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(each.detach().clone()) for each in form.weights)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach().clone()))
        self.starts, self.kernel, self.scale = form.starts, form.kernel, form.scale
        self.crop, self.groups = form.crop, form.groups

    def forward(self, x: Float[Tensor, "b c_in *space"]) -> Float[Tensor, "b c_out *grown"]:
        """Upsample a batch of maps that were extended before."""
        cells = [n - k + 1 for n, k in zip(x.shape[2:], self.kernel, strict=True)]
        phases = []
        for phase, (weight, start) in enumerate(zip(self.weights, self.starts, strict=True)):
            sizes = zip(start, cells, weight.shape[2:], strict=True)
            window = x[:, :, *(slice(first, first + m + k - 1) for first, m, k in sizes)]
            bias = None if self.bias is None else self.bias[phase]
            phases.append(CONV[len(self.scale)](window, weight, bias, groups=self.groups))
        y = _interleaved(torch.stack(phases, dim=2).flatten(1, 2), self.scale)
        if not any(self.crop):
            return y
        return y[:, :, *(slice(None, -cut if cut else None) for cut in self.crop)]

    def extra_repr(self) -> str:
        """The settings."""
        out, group = self.weights[0].shape[:2]
        kernels = ", ".join(times(weight.shape[2:]) for weight in self.weights)
        return (
            f"{group * self.groups}, {out}, scale={self.scale}, kernels={kernels}, crop={self.crop}, "
            f"groups={self.groups}, bias={self.bias is not None}"
        )


class Shuffle(nn.Module):
    """Pixel shuffle over any number of axes with any scale per axis, from channels in any order.

    Shown as one operator of upstroke when a model is read.

    Args:
        scale: per axis.
        source: the input channel that becomes phase p of output channel o, (phases, out); None for
            o * phases + p.
    """

    source: Tensor | None

    def __init__(self, scale: tuple[int, ...], source: Tensor | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer(
            "source", None if source is None else source.T.flatten().clone(), persistent=False
        )

    def forward(self, maps: Float[Tensor, "b out_phases *cells"]) -> Float[Tensor, "b out *samples"]:
        """Put the phases side by side."""
        check_maps(maps, ndim=len(self.scale))
        if self.source is not None:
            maps = maps.index_select(1, self.source)
        return _interleaved(maps, self.scale)

    def extra_repr(self) -> str:
        """The scale, and the order of the channels if it is another than PyTorch's."""
        return f"scale={self.scale}" + ("" if self.source is None else f", source={self.source.tolist()}")


class PerChannelBias(nn.Module):
    """One number per channel, added to every sample.

    Args:
        bias: the numbers.
    """

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias.detach().clone())

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Add it."""
        return x + self.bias.to(x.dtype).reshape(-1, *[1] * (x.ndim - 2))

    def extra_repr(self) -> str:
        """How many channels there are."""
        return f"{len(self.bias)}"


def _said(layer: nn.Module, name: str) -> Any:  # noqa: ANN401 - whatever the replaced module said
    """An attribute that the layer has not, but the one it replaced had."""
    said = vars(layer).get("said", {})
    if name in said:
        return said[name]
    if name in ("weight", "bias") and isinstance(layer, Rewritten):
        for each in layer.row():
            if isinstance(each._parameters.get("weight"), nn.Parameter):
                return getattr(each, name)
    msg = f"'{type(layer).__name__}' object has no attribute '{name}'"
    raise AttributeError(msg)


def _interleaved(maps: Tensor, scale: tuple[int, ...]) -> Tensor:
    """`interleave`, as one operator where it is read."""
    if len(scale) == 2 and scale[0] == scale[1]:
        return interleave(maps, scale)
    if _is_read():
        y: Tensor = torch.ops.upstroke.interleave.default(maps, list(scale))
        return y
    return interleave(maps, scale)


def _is_read() -> bool:
    """Whether `upstroke.graph.torch.record` sees what runs now."""
    if torch.compiler.is_compiling():
        return False
    return any(isinstance(mode, Recorder) for mode in _get_current_dispatch_mode_stack())


def _may_run_ours(x: Tensor) -> bool:
    """Whether the compiled kernels take these maps, and the graph, if one is made, stays in Python."""
    if torch.compiler.is_compiling():
        return not torch.compiler.is_exporting() and native.runs_on(x.device)
    return not leaves() and x.numel() > 0 and x.is_floating_point() and native.runs_on(x.device)
