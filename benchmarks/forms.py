"""Turn a case into what upstroke does by itself, and into every form among which it has to choose."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Fixed, ResizeConv, Transposed, Work
from benchmarks.contender import Contender, is_last, of_module, random_map
from benchmarks.layers import Upsampled, pytorchs, upstrokes
from upstroke import from_module, upsample
from upstroke.errors import UpstrokeError
from upstroke.ops import IMPLS
from upstroke.ops.dense_forms import FORMS, Call
from upstroke.ops.layout import in_layout
from upstroke.ops.resize_conv import FORMS as RESIZE_CONV_FORMS
from upstroke.ops.resize_conv import SERVES, Convolution, resize_conv

WITH_ITS_WEIGHT = "channels-last with its weight"
PART = {"forward": "forward", "gradient in x": "input gradient", "gradient in taps": "weight gradient"}


def ours(case: Case, *, dtype: torch.dtype, work: Work) -> Iterator[Contender]:
    """What upstroke does when nothing is said, in each layout; parts are no work for a user."""
    if work in ("forward", "forward+backward"):
        for layout in case.layouts:
            yield of_module("upstroke", upstrokes(case), case, dtype=dtype, layout=layout, work=work)


def forms(case: Case, *, dtype: torch.dtype, work: Work) -> Iterator[Contender]:
    """Each form that can compute this; of a resize and a convolution forward and backward are one affair."""
    if not case.forms:
        return
    if (
        isinstance(case.layer, ResizeConv)
        and dtype == torch.float32
        and work in ("forward", "forward+backward")
    ):
        yield from _of_resize_convs(case, dtype=dtype, work=work)
    if work not in PART:
        return
    # gradients by the implementations of `upsample` are slow and all alike; a few cases tell enough
    if isinstance(case.layer, Fixed | Transposed) and (
        work == "forward" or case.suite in ("depthwise", "dense")
    ):
        yield from _of_operators(case, dtype=dtype, work=work)
    if isinstance(case.layer, Transposed) and case.layer.out is not None:
        layouts = case.layouts if len(case.layouts) == 1 else (*case.layouts, WITH_ITS_WEIGHT)
        for layout in layouts:
            yield from _of_convolutions(case, dtype=dtype, layout=layout, work=work)


def _of_operators(case: Case, *, dtype: torch.dtype, work: Work) -> Iterator[Contender]:
    """The implementations of `upstroke.upsample`."""
    for name in IMPLS:
        if name == "reference":
            continue
        for layout in case.layouts:
            module = InForm(case, name)
            try:
                contender = of_module(f"form {name}", module, case, dtype=dtype, layout=layout, work=work)
                contender.call()
            except UpstrokeError:
                # a form refuses the operators that it is not made for
                break
            if work == "gradient in taps":
                contender = replace(contender, call=_taps_gradient(case, name, dtype=dtype, layout=layout))
            yield contender


def _taps_gradient(case: Case, name: str, *, dtype: torch.dtype, layout: str) -> Callable[[], object]:
    """The gradient in an operator's taps by a form, without the way from a layer's weight to the taps."""
    with torch.no_grad():
        operator = from_module(upstrokes(case).to(dtype)).operator
    taps = operator.taps.detach().requires_grad_()
    y = upsample(random_map(case.shape, dtype, layout), replace(operator, taps=taps), impl=name)
    g = random_map(tuple(y.shape), dtype, layout, seed=2)
    return lambda: torch.autograd.grad(y, taps, g, retain_graph=True)


class InForm(nn.Module):
    """A layer, computed by a form; its operator is made once, if no gradient in it is wanted."""

    def __init__(self, case: Case, name: str) -> None:
        super().__init__()
        self.layer = upstrokes(case)
        self.name = name
        self.affine = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator by the form."""
        if torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters()):
            return upsample(x, from_module(self.layer), impl=self.name)
        if self.affine is None:
            is_fixed = isinstance(self.layer, Upsampled)
            self.affine = self.layer.operator if is_fixed else from_module(self.layer)
        return upsample(x, self.affine, impl=self.name)


def _of_resize_convs(case: Case, *, dtype: torch.dtype, work: Work) -> Iterator[Contender]:
    """The forms of a resize and a convolution."""
    for name in RESIZE_CONV_FORMS:
        for layout in case.layouts:
            module = InResizeForm(case, name)
            if module.serves(torch.empty(case.shape, dtype=dtype)):
                yield of_module(f"resize {name}", module, case, dtype=dtype, layout=layout, work=work)


class InResizeForm(nn.Module):
    """A resize and a convolution, computed by the form of this name."""

    def __init__(self, case: Case, name: str) -> None:
        super().__init__()
        self.layer = upstrokes(case)
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Apply both."""
        return resize_conv(x, self.layer.resize.operator, self._convolution(), form=self.name)

    def serves(self, x: Tensor) -> bool:
        """Whether the form is made for this pair."""
        return SERVES[self.name](x, self.layer.resize.operator, self._convolution())

    def _convolution(self) -> Convolution:
        conv = self.layer.conv
        padding = tuple((p, p) for p in conv.padding)
        return Convolution(weight=conv.weight, bias=conv.bias, padding=padding, dilation=conv.dilation)


def _of_convolutions(case: Case, *, dtype: torch.dtype, layout: str, work: Work) -> Iterator[Contender]:
    """The forms of a dense transposed convolution and its gradients, result in the layout of the map."""
    last, weight_last = is_last(layout), layout == WITH_ITS_WEIGHT
    layer = pytorchs(case).to(dtype)
    weight = in_layout(layer.weight.detach(), channels_last=weight_last)
    call = Call(
        cells=tuple(case.shape[2:]),
        kernel=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation=layer.dilation,
        groups=1,
        weight_last=weight_last,
    )
    x = random_map(case.shape, dtype, layout)
    g = random_map((case.shape[0], weight.shape[1], *call.samples), dtype, layout, seed=2)
    first, second, what = {
        "forward": (x, weight, "y"),
        "gradient in x": (g, weight, "x"),
        "gradient in taps": (x, g, "weight"),
    }[work]
    # no form adds the bias; the gate does
    bias = 0 if layer.bias is None or what != "y" else layer.bias.detach().reshape(-1, *[1] * case.ndim)
    for name, form in FORMS[PART[work]].items():
        if form.serves(call) and form.is_exact_in(dtype):

            @torch.inference_mode()
            def run(run: object = form.run) -> Tensor:
                return in_layout(
                    run(first, second, call), channels_last=weight_last if what == "weight" else last
                )

            yield Contender(
                who=f"convolution {name}",
                layout=layout,
                computed=lambda run=run: {what: run() + bias},
                call=run,
            )
