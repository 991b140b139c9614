"""Turn a PyTorch module into what it makes of inputs of other sizes."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch.utils import _pytree as pytree

from upstroke.errors import first_line
from upstroke.graph.form import Graph
from upstroke.graph.sizes import (
    NO_MAP,
    Attempt,
    Outcome,
    Sizes,
    coarseness,
    sized_inputs,
    sizes_that_work,
)
from upstroke.graph.torch import tensors_in, uncompiled
from upstroke.graph.torch_caches import nothing_kept
from upstroke.graph.torch_names import Running
from upstroke.graph.torch_state import left_as_it_was

__all__ = ["SizedCall", "Varied", "sized_call", "torch_sizes"]

WITHOUT_VALUES = "on tensors that have a shape and no values"
REAL = "on real inputs"
# In seconds that recording took. Below the first, twenty real runs take less than finding out whether there
# is another way; above the second, too few can be made to tell anything.
QUICK, SLOW = 0.2, 1.0
_LONGEST_ERROR = 160
# Raised by tensors without values, and not by the model.
_NOT_THE_MODELS = (
    fake_tensor.DataDependentOutputException,
    fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedFakeTensorException,
    fake_tensor.UnsupportedOperatorException,
)
_LOGGER = "torch._subclasses.fake_tensor"


@dataclass(frozen=True, kw_only=True)
class Varied:
    """A tensor among the inputs whose last axes follow the sizes that are tried."""

    tensor: Tensor
    axes: int

    def shape(self, start: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...] | None:
        """Its shape at a size, in the proportion it has at the first one; None where that is not whole."""
        ahead = len(self.tensor.shape) - self.axes
        own = []
        for has, n, m in zip(self.tensor.shape[ahead:], start, size, strict=True):
            length, rest = (has, 0) if n == m or has == 1 else divmod(has * m, n)
            if rest or not length:
                return None
            own.append(length)
        return (*self.tensor.shape[:ahead], *own)


def torch_sizes(
    module: nn.Module,
    inputs: Sequence[Any],
    graph: Graph,
    *,
    kwargs: Mapping[str, Any] | None = None,
    capture: float = 0.0,
    seconds: float = 3.0,
) -> Sizes:
    """Try a model on larger and larger inputs, and find out which sizes it takes.

    The axes of space are those of the first input that is a map. Inputs of the same size vary with it,
    whatever their type, and other maps in proportion. Sizes are tried on tensors that have a shape and no
    values; where a model needs values, or is so small that this takes longer than running it, on real inputs,
    repeated or cut to size. The module is left as it was.

    Args:
        module: the model.
        inputs: what it is called with, of a size that works.
        graph: what was recorded of it on these inputs.
        kwargs: further arguments, by name.
        capture: seconds that recording it took.
        seconds: to try sizes for, one after the other; a few are tried in any case.

    >>> from upstroke.graph.torch import record
    >>> net = nn.Sequential(nn.Conv1d(2, 4, 2, stride=2), nn.ConvTranspose1d(4, 2, 2, stride=2))
    >>> x = torch.rand(1, 2, 16)
    >>> found = torch_sizes(net, [x], record(net, [x]))
    >>> found.along[0].period, found.along[0].changed[0].size, found.along[0].changed[0].came
    (2, (17,), 16)
    """
    call = sized_call(module, inputs, graph, kwargs=kwargs)
    if isinstance(call, Sizes):
        return call
    with call.ready():
        attempt, how, reason = _way(call, graph, capture)
        if attempt is None:
            return Sizes(start=call.start, reason=reason)
        began = time.monotonic()
        along = sizes_that_work(
            call.start,
            coarseness(graph, call.first),
            attempt,
            free=call.free,
            may_go_on=lambda share: time.monotonic() - began < share * seconds,
        )
    return Sizes(start=call.start, along=along, how=how)


def sized_call(
    module: nn.Module, inputs: Sequence[Any], graph: Graph, *, kwargs: Mapping[str, Any] | None = None
) -> "SizedCall | Sizes":
    """The call that a graph was recorded of, as one that can be made at other sizes; or why it cannot.

    Arguments as in `torch_sizes`.
    """
    module, given = getattr(module, "_orig_mod", module), dict(kwargs or {})
    tensors = [*tensors_in(list(inputs)), *tensors_in(given)]
    # behind the inputs that are given stand those that the model draws for itself
    by_name = dict(zip(graph.inputs, {id(tensor): tensor for tensor in tensors}.values(), strict=False))
    maps = tuple(name for name in sized_inputs(graph) if name in by_name)
    if not maps:
        return Sizes(reason=NO_MAP)
    first = maps[0]
    start = tuple(by_name[first].shape[2:])
    free = tuple(axis for axis, n in enumerate(start) if n > 1)
    varied = _varied(by_name, maps, start)
    if not free:
        return Sizes(start=start, reason="the input has one sample on every axis")
    leaves = {id(leaf) for leaf in pytree.tree_leaves([list(inputs), given])}
    if any(each not in leaves for each in varied):
        return Sizes(start=start, reason="an input is held by an object of a type of its own")
    return SizedCall(
        module=module,
        inputs=list(inputs),
        kwargs=given,
        first=first,
        leading=by_name[first],
        start=start,
        free=free,
        varied=varied,
    )


def _varied(by_name: Mapping[str, Tensor], maps: Sequence[str], start: tuple[int, ...]) -> dict[int, Varied]:
    """The tensors that follow the sizes: maps with as many axes, and what ends in the size of one of them."""
    axes = len(start)
    of_maps = {tuple(by_name[name].shape[2:]) for name in maps}
    return {
        id(tensor): Varied(tensor=tensor, axes=axes)
        for name, tensor in by_name.items()
        if (name in maps and tensor.ndim == axes + 2)
        or (tensor.ndim > axes and tuple(tensor.shape[-axes:]) in of_maps)
    }


@dataclass(frozen=True, kw_only=True)
class SizedCall:
    """A call of a model that can be made at other sizes.

    Attributes:
        module: the model.
        inputs, kwargs: what it is called with.
        first: name of the map whose axes of space are those that vary.
        leading: that map.
        start: its size.
        free: those of its axes that can vary.
        varied: by id, the tensors among the inputs that follow.
    """

    module: nn.Module
    inputs: list[Any]
    kwargs: dict[str, Any]
    first: str
    leading: Tensor
    start: tuple[int, ...]
    free: tuple[int, ...]
    varied: Mapping[int, Varied]

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Make calls inside, in evaluation mode; afterwards the model is what it was."""
        tensors = [*tensors_in(self.inputs), *tensors_in(self.kwargs)]
        with (
            left_as_it_was(self.module, tensors) as originals,
            nothing_kept(self.module),
            uncompiled(self.module),
            _quiet(),
            torch.no_grad(),
        ):
            # what takes no tensor without values runs as ever, and writes to the buffers
            for tensor in (*self.module.buffers(), *tensors):
                originals.before_writing(tensor)
            yield

    def tried(self, how: str) -> Attempt:
        """What comes of a size, tried as `Sizes.how` says."""
        if how != WITHOUT_VALUES:
            return self.real
        mode = fake_tensor.FakeTensorMode(allow_non_fake_inputs=True)

        def without_values(size: tuple[int, ...]) -> Outcome | None:
            with mode:
                return self.at(size, _shaped)

        return without_values

    def real(self, size: tuple[int, ...]) -> Outcome | None:
        """What comes of real inputs of a size: the given ones, repeated or cut."""
        return self.at(size, _repeated)

    def at(self, size: tuple[int, ...], make: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Outcome | None:
        """What comes of one size; None where an input cannot have it, or where the failure is not its own."""
        shapes = {key: each.shape(self.start, size) for key, each in self.varied.items()}
        if None in shapes.values():
            return None

        def made(leaf: object) -> object:
            shape = shapes.get(id(leaf))
            return leaf if shape is None or not isinstance(leaf, Tensor) else make(leaf, shape)

        inputs, kwargs = pytree.tree_map(made, (self.inputs, self.kwargs))
        with Running(self.module) as running:
            try:
                output = self.module(*inputs, **kwargs)
            except (Exception, SystemExit) as error:
                if _is_not_the_models(error):
                    return None
                return Outcome(error=first_line(error, most=_LONGEST_ERROR), place=running.path)
        return Outcome(outputs=tuple(tuple(map(int, each.shape)) for each in tensors_in(output)))


def _way(call: SizedCall, graph: Graph, capture: float) -> tuple[Attempt | None, str, str]:
    """How sizes are tried: without values if the model runs so, on real inputs if that is quicker.

    Python works through tensors without values one operator at a time, which takes a small model longer than
    running it.
    """
    if capture < QUICK:
        return call.real, REAL, ""
    # the first one loads PyTorch's compiler, which takes a second
    without_values = call.tried(WITHOUT_VALUES)
    began = time.monotonic()
    outcome = without_values(call.start)
    took = time.monotonic() - began
    recorded = {graph.shapes[name] for name in graph.outputs}
    runs = outcome is not None and not outcome.error and recorded <= set(outcome.outputs)
    if runs and took < capture:
        return without_values, WITHOUT_VALUES, ""
    if capture < SLOW:
        return call.real, REAL, ""
    if runs:
        return without_values, WITHOUT_VALUES, ""
    said = "what it does depends on values" if outcome is None else outcome.error or "its outputs differ then"
    return None, "", f"it does not run {WITHOUT_VALUES} ({said}), and takes {capture:.1f} s on real ones"


def _shaped(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=tensor.dtype, device=tensor.device)


def _repeated(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor, cut or repeated from its beginning to a shape."""
    for axis, (n, m) in enumerate(zip(tensor.shape, shape, strict=True)):
        if n != m:
            tensor = tensor.index_select(axis, torch.arange(m, device=tensor.device) % n)
    return tensor.clone()


def _is_not_the_models(error: BaseException) -> bool:
    return isinstance(error, _NOT_THE_MODELS) or "FakeTensor" in str(error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging every size that fails."""
    logger = logging.getLogger(_LOGGER)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
