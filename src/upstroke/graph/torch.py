"""Turn a PyTorch module into a graph by one recorded forward pass."""

import warnings
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.graph.form import Graph, Node
from upstroke.graph.grown_by_products import with_products
from upstroke.graph.phase_convolutions import with_phase_convolutions
from upstroke.graph.rearrange import with_shuffles
from upstroke.graph.steps import PixelShuffle, Resize, TransposedConvolution, Unread, Upsampling
from upstroke.graph.torch_calls import Calls
from upstroke.graph.torch_interleaved import with_interleaved
from upstroke.graph.torch_names import Running, Unique
from upstroke.graph.torch_recorder import Origin, Recorder, Whole
from upstroke.graph.torch_shadow import Positions
from upstroke.graph.torch_spellings import with_plain_axes, with_repeats
from upstroke.graph.torch_state import left_as_it_was, own_tensors

__all__ = ["record", "tensors_in", "uncompiled"]

_GROWERS = (TransposedConvolution, Resize, Upsampling, PixelShuffle, Unread)
_LONGEST_REASON = 200
# What a forward gives that has not run, or not all of it.
_LATER = (Generator, AsyncGenerator, Coroutine)
# What PyTorch and models raise where their inputs do not suit them.
_OF_INPUTS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)


def record(
    module: nn.Module,
    inputs: Sequence[Any],
    *,
    kwargs: Mapping[str, Any] | None = None,
    name: str = "",
    geometry: bool = False,
    calls: Calls | None = None,
) -> Graph:
    """The graph of what a module does to its inputs, seen in one forward pass in evaluation mode.

    Every operator that runs is seen, called by a layer or by a function, and with the weights that it gets:
    those of a weight-normalised layer are the effective ones. What is derived from the inputs is a map, and
    so is noise that the model draws itself; all else is a constant, unless the model grows it and makes an
    output of that. A learned table of positions that is resized to the map it is added to is such a constant,
    and its resize a site like any other, because its pattern is added to the map. Noise and such constants
    are inputs of the graph too, named randn, for instance, and constant. Weights are not copied, and the
    module, its buffers, its inputs and torch's random numbers are left as they were.

    Args:
        module: the model; one that `torch.compile` made is read as the model it was made from.
        inputs: what it is called with, tensors of any type and other values.
        kwargs: further arguments, by name.
        name: what the model is called; by default the name of its class.
        geometry: whether to find on the way where the samples of every map sit, for `Graph.measured`.
        calls: collects which maps each module takes and gives.

    Raises:
        OptionError: this is no module that can be seen into, its weights are on the meta device, or it cannot
            run on these arguments.
        ShapeError: it cannot run on inputs of these shapes.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, stride=2))
    >>> for node in record(net, [torch.rand(1, 3, 5, 7)]).nodes:
    ...     print(node.name, node.operator, type(node.step).__name__)
    0 Conv2d Convolution
    1 ReLU Pointwise
    2 ConvTranspose2d TransposedConvolution
    """
    module = _seen_into(module)
    given = dict(kwargs or {})
    tensors = [*tensors_in(list(inputs)), *tensors_in(given)]
    with left_as_it_was(module, tensors) as originals, Running(module) as running:
        positions = Positions() if geometry else None
        recorder = Recorder(running, originals, positions)
        for tensor in tensors_in(list(inputs)):
            recorder.take(tensor, "input")
        for key, value in given.items():
            for tensor in tensors_in(value):
                recorder.take(tensor, key)
        try:
            watched = nullcontext() if calls is None else calls.watching(module, recorder.map_of)
            with torch.no_grad(), watched, recorder, Whole(recorder), uncompiled(module):
                output = module(*inputs, **given)
        except (Exception, SystemExit) as error:
            raise _refusal(error, [*inputs, *given.values()], running.path) from error
        returned = _returned_by(output)
        recorder.take_made_outside(returned)
        names = [recorder.map_of(tensor) for tensor in returned]
        if positions is not None:
            positions.read_all(zip(names, returned, strict=True))
    outputs = tuple(dict.fromkeys(each for each in names if each is not None))
    nodes = recorder.nodes_for(outputs)
    graph = Graph(
        model=name or type(module).__name__,
        source="PyTorch" if returned else f"PyTorch, where the model returned {_without_tensors(output)}",
        nodes=nodes,
        inputs=recorder.inputs_for(nodes, outputs),
        outputs=outputs,
        shapes=recorder.shapes,
        measured=positions.measured_among(nodes, outputs) if positions else {},
    )
    graph = with_interleaved(graph, recorder.stacked, recorder.written)
    graph = with_shuffles(with_plain_axes(with_repeats(graph, recorder.widened)))
    graph = with_products(with_phase_convolutions(graph))
    return _with_growers_named(graph, recorder.origins, name)


def _seen_into(module: object) -> nn.Module:
    """The module whose operators can be seen when it runs."""
    module = getattr(module, "_orig_mod", module)
    if isinstance(module, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        msg = (
            "a TorchScript model hides its layers and cannot be read; give the Python module it was made "
            "from, or export it to ONNX"
        )
        raise OptionError(msg)
    if not isinstance(module, nn.Module):
        msg = f"the model must be a torch.nn.Module; got {type(module).__name__}, so give one made of layers"
        raise OptionError(msg)
    if any(tensor.is_meta for tensor in own_tensors(module.modules())):
        msg = "the model's weights are on the meta device, so there is nothing to measure; load them first"
        raise OptionError(msg)
    return module


@contextmanager
def uncompiled(module: nn.Module) -> Iterator[None]:
    """Run parts that `torch.compile` made as the modules they were made from."""
    if not any(hasattr(part, "_orig_mod") for part in module.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
        # the names of modules are known by such hooks
        warnings.filterwarnings(
            "ignore", message=r"Using `torch\.compile\(module\)` when there are global hooks"
        )
        yield


def tensors_in(value: object, *, depth: int = 4) -> Iterator[Tensor]:
    """Every tensor in a structure: containers, mappings and objects that hold them as attributes.

    Raises:
        RecursionError: the structure holds itself.
    """
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif depth and isinstance(leaf, Mapping):
            yield from tensors_in(list(leaf.values()), depth=depth - 1)
        elif depth and hasattr(leaf, "__dict__") and not isinstance(leaf, type | nn.Module):
            yield from tensors_in(list(vars(leaf).values()), depth=depth - 1)


def _returned_by(output: object) -> list[Tensor]:
    """The tensors that a model returned.

    Raises:
        OptionError: they would be made only later, or cannot be told.
    """
    if isinstance(output, _LATER):
        kind = type(output).__name__.replace("_", " ")
        msg = (
            f"the model's forward returned {'an' if kind.startswith('a') else 'a'} {kind}, whose tensors are "
            "made only when they are asked for, so there is nothing to check; give a module whose forward "
            "returns its tensors"
        )
        raise OptionError(msg)
    try:
        return list(tensors_in(output))
    except RecursionError:
        msg = (
            f"the model returned a {type(output).__name__} that holds itself, so its tensors have no end; "
            "give a module that returns them once"
        )
        raise OptionError(msg) from None


def _without_tensors(output: object) -> str:
    """What to say of an output in which there is no tensor."""
    return "None" if output is None else f"a {type(output).__name__} without tensors"


def _refusal(error: Exception | SystemExit, inputs: Sequence[object], path: str) -> OptionError | ShapeError:
    """What to say of a model that cannot run."""
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if len(said) > _LONGEST_REASON:
        said = said[: _LONGEST_REASON - 1].rstrip() + "…"
    place = f", raised in {path}" if path else ""
    if isinstance(error, TypeError) and not path and "missing" in said and "argument" in said:
        return OptionError(f"the model wants more inputs: {said}; give an example of each")
    shown = " and ".join(map(_shown, inputs)) or "none"
    # what a model asserts is mostly what its inputs must be
    if isinstance(error, _OF_INPUTS) and not isinstance(error, NotImplementedError):
        msg = f"the model cannot take inputs of shape {shown}: {said}{place}; try inputs of another shape"
        return OptionError(msg) if isinstance(error, TypeError) else ShapeError(msg)
    kind = type(error).__name__
    msg = f"the model ends in {kind} when it is run on inputs of shape {shown}: {said}{place}; mend its code"
    return OptionError(msg)


def _shown(value: object) -> str:
    """An input as the command line writes it."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    shape = times(value.shape) or "()"
    return shape if value.dtype == torch.float32 else f"{shape}:{str(value.dtype).removeprefix('torch.')}"


def _with_growers_named(graph: Graph, origins: Mapping[str, Origin], model: str) -> Graph:
    """The graph with whatever may grow a map named by its module, wherever inside that it is called."""
    growers = [node for node in graph.nodes if isinstance(node.step, _GROWERS)]
    named, unique = {}, Unique()
    for name in {node.name for node in graph.nodes} - {node.name for node in growers}:
        unique(name)
    for node in growers:
        # of what a rearrangement amounts to only the last is there under the name of a map that was recorded
        origin = origins[node.output if node.output in origins else node.output.rpartition(":")[0]]
        named[id(node)] = unique(origin.path or model or _short(node, origin))
    nodes = (replace(node, name=named[id(node)]) if id(node) in named else node for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _short(node: Node, origin: Origin) -> str:
    """The name of an operator without namespace; of one that several calls spell, what they amount to."""
    if "–" not in node.operator:
        return origin.name
    if isinstance(node.step, PixelShuffle):
        return "pixel_shuffle"
    return "resize" if isinstance(node.step, Resize) else "rearrangement"
