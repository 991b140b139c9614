"""Turn a module into a program of torch.export for maps of any size."""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import is_concrete_int
from torch.utils import _pytree as pytree

from upstroke.errors import OptionError, first_line
from upstroke.files.place import check_target, write_atomically
from upstroke.graph.torch_state import left_as_it_was

__all__ = ["LEAST_AXES", "answer", "exported", "quiet", "save_exported", "unchanged"]

# Of what may be a map: batch, channels, at least one axis of space.
LEAST_AXES = 3


def save_exported(
    module: nn.Module,
    inputs: Sequence[Any],
    path: str | Path,
    *,
    keywords: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a module as a program of `torch.export`, whole or not at all, with batch and spatial axes free.

    `torch.export.load(path).module()` reads it. Where the module upsamples channels by themselves by compiled
    kernels, operators of upstroke stand in the file, and `import upstroke` has to come before; without it
    PyTorch says that it knows no such operator. Everything else is made of PyTorch's own operators and loads
    without upstroke. A file of PyTorch's is a program: load only those of people you trust.

    Args:
        module: the module, in evaluation mode.
        inputs: an example of what it is called with.
        path: of the file, whose name ends in .pt2.
        keywords: further arguments, by name.
        overwrite: whether a file may be replaced.

    Returns:
        Axes of inputs that must stay as long as in the example, in words.

    Raises:
        OptionError: the module cannot be exported, or the path does not end in .pt2.
        FileError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        msg = f"the name of a file for a program of torch.export must end in .pt2; got {path}, so rename it"
        raise OptionError(msg)
    check_target(path, overwrite=overwrite)
    given = dict(keywords or {})
    try:
        program, fixed = exported(module, tuple(inputs), given)
        file = io.BytesIO()
        with quiet():
            torch.export.save(program, file)
    except Exception as error:
        msg = (
            f"the module must be one that torch.export takes, to be written to {path}; it is not: "
            f"{first_line(error)}; save its weights by torch.save(module.state_dict(), ...) instead"
        )
        raise OptionError(msg) from error
    write_atomically(path, file.getvalue(), overwrite=overwrite)
    return fixed


def exported(
    module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    """A program for maps of any size, and the axes that must stay as long as in the example, in words.

    >>> program, fixed = exported(nn.Conv2d(3, 4, 3).eval(), (torch.rand(1, 3, 5, 7),), {})
    >>> program.module()(torch.rand(2, 3, 9, 4)).shape, fixed
    (torch.Size([2, 4, 7, 2]), ())
    """
    inputs, keywords = _of_two(module, inputs, keywords)
    with quiet(), unchanged(module, (inputs, keywords)):
        free = pytree.tree_map(_free_axes, (inputs, keywords))
        by_name = _by_name(module, *free)
        program = torch.export.export(module, inputs, keywords, dynamic_shapes=by_name, strict=False)
    return program, tuple(_fixed_axes(program, (inputs, keywords)))


def _by_name(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """What is said of arguments in the form that torch.export takes: by the names in forward."""
    bound = signature(module.forward).bind(*inputs, **keywords)
    kinds = signature(module.forward).parameters
    flat = {}
    for name, value in bound.arguments.items():
        if kinds[name].kind is Parameter.VAR_KEYWORD:
            flat.update(value)
        else:
            flat[name] = value
    return flat


def _free_axes(value: object) -> Any:  # noqa: ANN401 - as torch.export has it
    """The batch and the axes of space of a tensor; None for anything else."""
    if not isinstance(value, Tensor):
        return None
    space = range(2, value.ndim) if value.ndim >= LEAST_AXES else ()
    return {axis: torch.export.Dim.AUTO for axis in (0, *space) if axis < value.ndim}


def _fixed_axes(program: torch.export.ExportedProgram, given: object) -> Iterator[str]:
    """The axes that were to be free and are not."""
    named = set(program.graph_signature.user_inputs)
    tensors = pytree.tree_leaves(given)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in named]
    for node, tensor in zip(nodes, tensors, strict=True):
        if isinstance(tensor, Tensor):
            for axis in _free_axes(tensor):
                size = node.meta["val"].shape[axis]
                if is_concrete_int(size):
                    yield f"axis {axis} of {node.name} is {size}"


def _of_two(
    module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example with a batch of two for one of one, which torch.export takes for the only size there is."""

    def doubled(value: object) -> object:
        is_one = isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == 1
        return torch.cat([value, value]) if isinstance(value, Tensor) and is_one else value

    two = pytree.tree_map(doubled, (inputs, keywords))
    return two if answer(module, *two) is not None else (inputs, keywords)


def answer(model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any] | None:
    """What a model gives, alone in a tuple; None where it refuses."""
    try:
        with unchanged(model, (inputs, keywords)):
            return (model(*inputs, **keywords),)
    except Exception:
        return None


@contextmanager
def unchanged(module: nn.Module, given: object) -> Iterator[None]:
    """Run what is inside without gradients, and with the same random numbers every time; leave no trace."""
    tensors = [leaf for leaf in pytree.tree_leaves(given) if isinstance(leaf, Tensor)]
    with left_as_it_was(module, tensors) as originals, torch.no_grad():
        for tensor in (*tensors, *module.buffers()):
            originals.before_writing(tensor)
        torch.manual_seed(0)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what PyTorch says of its own tracing from the user."""
    logger = logging.getLogger("torch")
    was = logger.level
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(was)
