"""Turn a graph that torch.compile captured into one with operators of upstroke where they are faster."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch._ops import HigherOrderOperator, OpOverloadPacket

from upstroke.errors import OptionError
from upstroke.graph import CommutedPointwise, Node, commuted_pointwise, merged_resize, sites
from upstroke.graph.patterns import MergedResize
from upstroke.graph.rearrange import with_shuffles
from upstroke.graph.row import without_mirrors
from upstroke.graph.steps import Convolution, PixelShuffle, Resize, TransposedConvolution
from upstroke.ops import depthwise
from upstroke.ops.dense import WORTH_A_CHOICE as WORTH_A_FORM
from upstroke.ops.dense_choice import best_form
from upstroke.ops.dense_forms import OWN, Call, Part
from upstroke.ops.kernels import native
from upstroke.ops.layout import in_layout, is_channels_last
from upstroke.ops.native import pays
from upstroke.ops.native_call import BORDERS
from upstroke.ops.peer import nearest_peer
from upstroke.ops.resize_conv import WORTH_A_CHOICE
from upstroke.ops.resize_conv_choice import nearest_case
from upstroke.ops.transposed import draw
from upstroke.polyphase import (
    Border,
    Margin,
    TransposedForm,
    as_transposed,
    compose,
    convolution,
    cubic,
    linear,
    swap_channels,
)
from upstroke.polyphase.kernel_form import kernel_crop, kernel_numbers
from upstroke.rewrite.captured import arguments_of, captured, hinted, value_of
from upstroke.rewrite.torch_fx import copied, writes

__all__ = ["backend", "rewritten"]

_LOG = logging.getLogger(__name__)
_OPTIONS = ("fallback", "sites")
# How much faster a resize must have been measured to be.
_LEAST_GAIN = 1.1
# samples from the first to the last tap, in units of the scale
_SPAN = {"nearest": 1, "linear": 2, "cubic": 4}
# In fewer bits the taps of two kernels are rounded one by one, which makes phases of unequal gain.
_EXACT = (torch.float32, torch.float64)

Which = Literal["faster", "all"]


def backend(
    gm: fx.GraphModule, example_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """A backend of `torch.compile` that puts operators of upstroke where they were measured to be faster.

    What it looks for, on the CPU: a nearest resize and the convolution behind it (one transposed convolution
    with the kernel of both), a 1x1 convolution behind a resize (which then comes first), transposed
    convolutions, dense and of every channel by itself, linear and cubic resizes, and pixel shuffles spelled
    by views. Whatever else there is, and whatever it does not understand, stays as it is.

    Only what holds for any weights is done, and these are read at every call, so that training goes on and
    weights may be loaded. Whether an operator is faster is decided once per captured graph, for the sizes at
    which it was captured.

    Args:
        gm: the captured graph.
        example_inputs: what it is called with.
        options: "fallback", the backend that compiles the rest: "eager" (the default), "inductor" or another
            name that `torch.compile` knows; "sites", which of them change: "faster" (the default) or "all",
            wherever it is exact.

    Raises:
        OptionError: there is no such option.

    >>> net = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(3, 4, 3))
    >>> compiled = torch.compile(net, backend=backend)
    """
    given = dict(options or {})
    for name in given:
        if name not in _OPTIONS:
            msg = (
                f"options of the backend upstroke are {' and '.join(_OPTIONS)}; got {name!r}, so leave it out"
            )
            raise OptionError(msg)
    which, fallback = given.get("sites", "faster"), given.get("fallback", "eager")
    if which not in ("faster", "all"):
        msg = f'the option sites must be "faster" or "all"; got {which!r}, so choose one of these'
        raise OptionError(msg)
    try:
        gm = rewritten(gm, which=which)
    except Exception as error:
        # a graph that is not understood is a graph that stays
        _LOG.warning("a captured graph stays as it is, because it cannot be read: %s", error)
    if fallback == "eager":
        return gm.forward
    compiler = torch._dynamo.lookup_backend(fallback)
    compiled: Callable[..., Any] = compiler(gm, list(example_inputs))
    return compiled


def rewritten(gm: fx.GraphModule, *, which: Which = "faster") -> fx.GraphModule:
    """A captured graph with operators of upstroke in it; the graph itself where there is none to put."""
    if any(_is_transformed(node) for node in gm.graph.nodes):
        return gm
    graph = captured(gm)
    new = _Rewriting(gm, which)
    for site in sites(graph):
        merged = merged_resize(site, graph)
        commuted = commuted_pointwise(site, graph) if isinstance(site.node.step, Resize) else None
        if merged is not None:
            new.merge(merged)
        elif commuted is not None and not commuted.between:
            new.swap(commuted)
        elif isinstance(site.node.step, TransposedConvolution):
            new.draw(site.node)
        elif isinstance(site.node.step, Resize):
            new.resize(site.node)
    for node in with_shuffles(graph).nodes:
        if isinstance(node.step, PixelShuffle):
            new.shuffle(node)
    return new.finished()


def resized_and_convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    spread: Tensor,
    length: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pad: Sequence[Margin],
    crop: Sequence[Margin],
    border: Sequence[Border],
    groups: int,
    channels_last: bool,
) -> Tensor:
    """Draw for every cell the kernel of a resize and a convolution whose weight this is."""
    taps = swap_channels(weight.flatten(2), groups)
    kernel = (taps @ spread.to(taps)).view(*taps.shape[:2], *length)
    form = TransposedForm(
        weight=kernel,
        stride=tuple(stride),
        dilation=tuple(dilation),
        pad=tuple(pad),
        crop=tuple(crop),
        border=tuple(border),
        groups=groups,
        shared=False,
    )
    return in_layout(draw(x, form, bias=bias), channels_last=channels_last)


def resized(
    x: Tensor,
    kernel: Tensor,
    scale: Sequence[int],
    crop: Sequence[int],
    excess: Sequence[int],
    border: Sequence[int],
) -> Tensor:
    """Resize by a fixed kernel that all channels share."""
    y: Tensor = torch.ops.upstroke.upsample.default(x, kernel, None, scale, crop, excess, border)
    return y


def shuffled(x: Tensor, factor: int) -> Tensor:
    """Shuffle pixels, and lay the result out as a reshape of moved axes does."""
    return F.pixel_shuffle(x, factor).contiguous()


class _Rewriting:
    """A captured graph while operators are put into a copy of it."""

    def __init__(self, gm: fx.GraphModule, which: Which) -> None:
        self._old = gm
        self._all = which == "all"
        self._gm = fx.GraphModule(gm, copied(gm.graph))
        self._nodes = {node.name: node for node in self._gm.graph.nodes}
        self._order = {node.name: place for place, node in enumerate(self._gm.graph.nodes)}
        self._count = 0

    def finished(self) -> fx.GraphModule:
        """The new graph, or the old one if nothing was done."""
        if not self._count:
            return self._old
        self._gm.graph.lint()
        self._gm.recompile()
        return self._gm

    def merge(self, merged: MergedResize) -> None:
        """Let one transposed convolution compute a resize and the convolution behind it."""
        step = without_mirrors(
            [merged.resize.step, *(n.step for n in merged.between), merged.convolution.step]
        )[-1]
        assert isinstance(step, Convolution)
        assert step.border is not None
        row = (merged.resize, *merged.between, merged.convolution)
        first, last = self._nodes[merged.resize.inputs[0]], self._nodes[merged.convolution.output]
        given = arguments_of(last)
        seen = self._alike(first, last, *_nodes_among(given, "weight", "bias"))
        if given is None or seen is None or seen[0].dtype not in _EXACT or not self._is_quiet(row):
            return
        taps = math.prod(step.weight.shape[2:])
        each = torch.eye(taps, dtype=torch.float64).reshape(taps, 1, *step.weight.shape[2:])
        one = convolution(each, padding=step.padding, dilation=step.dilation, border=step.border)
        both = reduce(compose, (*merged.stages[:-1], one))
        form = as_transposed(both)
        length = tuple(form.weight.shape[2:])
        if not self._all and not _merging_pays(seen, step, math.prod(both.scale), math.prod(length)):
            return
        spread = self._constant(form.weight[0].flatten(1).to(seen[0].dtype), last)
        self._replace(
            row,
            resized_and_convolved,
            (
                first,
                given["weight"],
                given["bias"],
                spread,
                length,
                form.stride,
                form.dilation,
                form.pad,
                form.crop,
                form.border,
                step.groups,
                is_channels_last(seen[1]),
            ),
        )

    def swap(self, commuted: CommutedPointwise) -> None:
        """Let a 1x1 convolution come first, and the resize behind it."""
        row = commuted.resize, commuted.convolution
        first, grown, last = (self._nodes[name] for name in (row[0].inputs[0], *(n.output for n in row)))
        seen = self._alike(first, last, *_nodes_among(arguments_of(last), "weight", "bias"))
        assert isinstance(commuted.resize.step, Resize)
        now, then = commuted.multiply_adds(1, math.prod(commuted.resize.step.scale))
        if seen is None or seen[0].dtype not in _EXACT or now <= then or not self._is_quiet(row):
            return
        with self._gm.graph.inserting_before(last):
            early = _called_on(first, last, self._gm.graph)
            new = _called_on(early, grown, self._gm.graph)
        self._put(row, new)

    def draw(self, node: Node) -> None:
        """Let our operators compute a transposed convolution."""
        step, last = node.step, self._nodes[node.output]
        assert isinstance(step, TransposedConvolution)
        given, first = arguments_of(last), self._nodes[node.inputs[0]]
        seen = self._alike(first, last, *_nodes_among(given, "weight", "bias"))
        if given is None or seen is None:
            return
        numbers: dict[str, Any] = {
            "stride": step.stride,
            "padding": tuple(left for left, _ in step.padding),
            "output_padding": step.output_padding,
            "dilation": step.dilation,
        }
        x = seen[0]
        of_each = step.groups == step.weight.shape[0] and step.weight.shape[1] == 1
        function: Callable[..., Tensor]
        if of_each and x.dtype in (*_EXACT, torch.bfloat16) and native() is not None and pays(x):
            function = depthwise.conv_transpose
        elif not of_each and step.groups == 1 and (self._all or _form_pays(seen, step, numbers)):
            function, numbers = torch.ops.upstroke.conv_transpose.default, {**numbers, "groups": 1}
        else:
            return
        self._replace((node,), function, (first, given["weight"], given["bias"]), numbers)

    def resize(self, node: Node) -> None:
        """Let the compiled kernels compute a linear or cubic resize."""
        step, last, first = node.step, self._nodes[node.output], self._nodes[node.inputs[0]]
        assert isinstance(step, Resize)
        seen = self._alike(first, last)
        if step.mode == "nearest" or seen is None or native() is None or not pays(seen[0]):
            return
        scale = tuple(int(s) for s in step.scale)
        # for other factors PyTorch's own positions, in float32, are off by more than rounding
        is_power = all(s & (s - 1) == 0 for s in scale)
        if seen[0].dtype != torch.float64 and not (seen[0].dtype == torch.float32 and is_power):
            return
        if not self._all and not _resizing_pays(seen[0], step):
            return
        operator = (linear if step.mode == "linear" else cubic)(scale, ndim=len(scale))
        kernel = self._constant(kernel_numbers(operator).to(seen[0].dtype), last)
        border = tuple(BORDERS.index(each) for each in operator.border)
        self._replace(
            (node,), resized, (first, kernel, scale, kernel_crop(operator), operator.excess, border)
        )

    def shuffle(self, node: Node) -> None:
        """Let one call compute what views spell."""
        step, first, last = node.step, self._nodes[node.inputs[0]], self._nodes.get(node.output)
        assert isinstance(step, PixelShuffle)
        if last is None or step.source is not None or len(step.scale) != 2 or len(set(step.scale)) != 1:
            return
        row = _spelled(first, last)
        if self._alike(first, last) is not None and row is not None and self._is_quiet(row):
            self._replace(row, shuffled, (first, step.scale[0]))

    def _alike(self, *nodes: fx.Node) -> tuple[Tensor, ...] | None:
        """What nodes gave while capturing: tensors on the CPU of one dtype; None where they did not."""
        values = [value_of(node) for node in nodes]
        if any(node.graph is not self._gm.graph for node in nodes):
            return None
        tensors = [value for value in values if value is not None]
        seen = [like for value in tensors if (like := hinted(value)) is not None]
        plain = all(value.device.type == "cpu" and value.dtype == tensors[0].dtype for value in tensors)
        return tuple(seen) if plain and len(seen) == len(nodes) else None

    def _is_quiet(self, row: Sequence[Node | fx.Node]) -> bool:
        """Whether nothing between the first and the last of these may write, or changes how tensors work."""
        places = [self._order[node.name] for node in row]
        between = list(self._old.graph.nodes)[min(places) : max(places) + 1]
        return not any(_may_write(node, self._old) for node in between)

    def _constant(self, value: Tensor, before: fx.Node) -> fx.Node:
        """A tensor that the graph holds."""
        name = f"upstroke_{self._count}"
        self._gm.register_buffer(name, value)
        with self._gm.graph.inserting_before(before):
            return self._gm.graph.get_attr(name)

    def _replace(
        self,
        row: Sequence[Node | fx.Node],
        function: Callable[..., Tensor],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        last = self._nodes[row[-1].name]
        with self._gm.graph.inserting_before(last):
            new = self._gm.graph.call_function(function, args, dict(kwargs or {}))
        self._put(row, new)

    def _put(self, row: Sequence[Node | fx.Node], new: fx.Node) -> None:
        """Let a node stand where a row ends, and remove what nothing takes any more."""
        last = self._nodes[row[-1].name]
        new.meta = dict(last.meta)
        last.replace_all_uses_with(new)
        for node in reversed(row):
            self._gm.graph.erase_node(self._nodes.pop(node.name))
        self._nodes[last.name] = new
        self._count += 1


def _nodes_among(given: Mapping[str, Any] | None, *names: str) -> list[fx.Node]:
    """Of some arguments those that are nodes."""
    values = [(given or {}).get(name) for name in names]
    return [value for value in values if isinstance(value, fx.Node)]


def _called_on(x: fx.Node, node: fx.Node, graph: fx.Graph) -> fx.Node:
    """The same call on another map."""
    assert callable(node.target)
    if node.args:
        return graph.call_function(node.target, (x, *node.args[1:]), dict(node.kwargs))
    return graph.call_function(node.target, (), {**node.kwargs, "input": x})


def _spelled(first: fx.Node, last: fx.Node) -> tuple[fx.Node, ...] | None:
    """The calls that lead from one node to another, each of which the next one alone takes."""
    row = [last]
    while (before := row[0].args[0]) is not first:
        if not isinstance(before, fx.Node) or len(before.users) != 1:
            return None
        row.insert(0, before)
    return tuple(row)


def _may_write(node: fx.Node, gm: fx.GraphModule) -> bool:
    """Whether a node may change what another gave, or how others work: all but what is known not to."""
    if node.op in ("placeholder", "get_attr"):
        return False
    unknown = node.op == "call_module" or isinstance(node.target, HigherOrderOperator | OpOverloadPacket)
    # what gives nothing is called for what it does, such as entering autocast
    return unknown or node.meta.get("example_value") is None or writes(node, gm)


def _is_transformed(node: fx.Node) -> bool:
    """Whether a node begins or ends work on batched tensors, or on those with derivatives, of torch.func."""
    return "_functorch" in str(getattr(node.target, "__module__", ""))


def _trains(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _merging_pays(seen: Sequence[Tensor], step: Convolution, phases: int, drawn: int) -> bool:
    """Whether one operator was measured to be faster than a resize and a convolution in a row."""
    x, _, weight = seen[:3]
    cells = math.prod(x.shape[2:])
    if x.shape[0] * cells * phases * weight.numel() < WORTH_A_CHOICE:
        return False
    choice = nearest_case(
        batch=x.shape[0],
        channels=weight.shape[1],
        out=weight.shape[0] // step.groups,
        groups=step.groups,
        axes=x.ndim - 2,
        cells=cells,
        taps=phases * math.prod(weight.shape[2:]),
        drawn=drawn,
        has_margin=False,
        channels_last=is_channels_last(x),
        training=_trains(x, weight),
    )
    return choice.form == "one operator"


def _form_pays(seen: Sequence[Tensor], step: TransposedConvolution, numbers: Mapping[str, Any]) -> bool:
    """Whether any part of a transposed convolution was measured to be faster in another form."""
    x, _, weight = seen[:3]
    cells = tuple(x.shape[2:])
    measured = x.dtype in (torch.float32, torch.bfloat16)
    if not measured or x.shape[0] * math.prod(cells) * weight.numel() < WORTH_A_FORM:
        return False
    call = Call(
        cells=cells,
        kernel=tuple(weight.shape[2:]),
        **numbers,
        groups=step.groups,
        weight_last=is_channels_last(weight),
    )
    if min(call.samples) < 1:
        return False
    parts: list[Part] = ["forward"]
    parts += ["input gradient"] if _trains(x) else []
    parts += ["weight gradient"] if _trains(weight) else []
    last = is_channels_last(x)
    return any(
        best_form(part, x.shape[0], *weight.shape[:2], call, channels_last=last, dtype=x.dtype).form != OWN
        for part in parts
    )


def _resizing_pays(x: Tensor, step: Resize) -> bool:
    """Whether PyTorch was measured to be slower at a resize."""
    axes = len(step.scale)
    mean = math.prod(step.scale) ** (1 / axes)
    row = nearest_peer(
        step.mode,
        axes=axes,
        scale=mean,
        kernel=_SPAN[step.mode] * mean,
        channels=x.shape[1],
        cells=x.shape[0] * math.prod(x.shape[2:]),
    )
    return row is not None and row.pytorch >= _LEAST_GAIN * row.upstroke and not is_channels_last(x)
