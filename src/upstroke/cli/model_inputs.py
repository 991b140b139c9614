"""Turn what was typed of a model's inputs into tensors for a module, or into sizes for an ONNX file."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from upstroke.cli.options import Example
from upstroke.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from torch import Generator, Tensor, dtype, nn

__all__ = ["sizes_for_file", "tensors_for_module"]

NEEDED = "a PyTorch model needs an example of each input; none was given; give --input 1x3x64x64 for each"


def sizes_for_file(examples: Sequence[Example]) -> "dict[str, tuple[int, ...]] | tuple[int, ...] | None":
    """Give the sizes of an ONNX file's inputs: by name, or one for its only input.

    Raises:
        OptionError: a type was given, which the file has, or several inputs without a name each.

    >>> sizes_for_file([Example(name="x", shape=(1, 3, 32, 48), dtype=None, words="x=1x3x32x48")])
    {'x': (1, 3, 32, 48)}
    """
    typed = [each for each in examples if each.dtype is not None]
    if typed:
        msg = (
            f"an ONNX file says of which type its inputs are; got --input {typed[0].words!r}; leave out "
            f"':{typed[0].dtype}'"
        )
        raise OptionError(msg)
    if not examples:
        return None
    named = _by_name(examples)
    if len(examples) == 1 and not named:
        return examples[0].shape
    if len(named) < len(examples):
        unnamed = next(each for each in examples if each.name is None)
        msg = (
            f"several inputs of an ONNX file must each be named; got --input {unnamed.words!r}; give --input "
            "NAME=1x3x64x64 for each"
        )
        raise OptionError(msg)
    return {name: each.shape for name, each in named.items()}


def tensors_for_module(
    model: "nn.Module", examples: Sequence[Example], *, seed: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Make the arguments of one forward pass, in order and by name.

    1. Draw every tensor, in the order given, by default of the type of the model's parameters: normally
       distributed, or zeros where the type is whole.
    2. Those with a name go where `forward` has it, the others in order.

    Raises:
        OptionError: `forward` has no such inputs, or needs more of them.
        ShapeError: there is not enough memory for one of them.
    """
    import torch

    signature = _signature(model)
    if not examples and (signature is None or signature.parameters):
        raise OptionError(NEEDED)
    named = _by_name(examples)
    generator = torch.Generator().manual_seed(seed)
    # a model in half precision wants its inputs so
    own = next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)
    tensors = [_tensor(each, generator, usual=own) for each in examples]
    unnamed = [tensor for each, tensor in zip(examples, tensors, strict=True) if each.name is None]
    if signature is None:
        if named:
            msg = f"the inputs of this model have no names; got --input {next(iter(named.values())).words!r}"
            raise OptionError(msg)
        return tuple(unnamed), {}
    by_name = {each.name: tensor for each, tensor in zip(examples, tensors, strict=True) if each.name}
    try:
        bound = signature.bind(*unnamed, **by_name)
    except TypeError as error:
        unknown = list(_without_place(named, signature))
        # Python says what is missing alone, although a name that is not known is mostly why
        said = "; ".join(unknown if unknown and "unexpected" in str(error) else [*unknown, str(error)])
        msg = (
            f"--input must be what forward{_written(signature)} takes; {said}; give one for each input "
            "without a default, in order or by name"
        )
        raise OptionError(msg) from error
    return bound.args, bound.kwargs


def _without_place(names: Iterable[str], signature: inspect.Signature) -> Iterator[str]:
    """Say which names `forward` does not have.

    >>> list(_without_place(["x", "foo"], inspect.signature(lambda x: None)))
    ["it has no 'foo'"]
    """
    known = signature.parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in known):
        yield from (f"it has no {name!r}" for name in names if name not in signature.parameters)


def _by_name(examples: Sequence[Example]) -> dict[str, Example]:
    named: dict[str, Example] = {}
    for each in examples:
        if each.name is None:
            continue
        if each.name in named:
            msg = f"an input can be given once; got {each.name!r} twice; leave one --input out"
            raise OptionError(msg)
        named[each.name] = each
    return named


def _tensor(example: Example, generator: "Generator", *, usual: "dtype") -> "Tensor":
    import torch

    kind: torch.dtype = usual if example.dtype is None else getattr(torch, example.dtype)
    try:
        if kind.is_floating_point:
            return torch.randn(example.shape, generator=generator).to(kind)
        return torch.zeros(example.shape, dtype=kind)
    except (RuntimeError, MemoryError) as error:
        msg = f"there is not enough memory for --input {example.words!r}; give a smaller example"
        raise ShapeError(msg) from error


def _signature(model: "nn.Module") -> inspect.Signature | None:
    """What forward takes, as far as it can be known."""
    try:
        return inspect.signature(model.forward)
    except (ValueError, TypeError):
        return None


def _written(signature: inspect.Signature) -> str:
    """Write the names that forward takes, without their types.

    >>> _written(inspect.signature(lambda x, scale=2, *rest: None))
    '(x, scale=2, *rest)'
    """
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))
