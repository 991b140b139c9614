"""Turn what a file and its user say of the sizes of inputs into an example of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.graph.onnx_shapes import constants_and_shapes, inputs_of

if TYPE_CHECKING:
    import onnx

__all__ = ["example_sizes", "example_tensor", "taken_sizes"]

Sizes = Mapping[str, Sequence[int]] | Sequence[int] | None
# An open axis behind the batch is taken as the first of these that the model takes.
STARTS = (64, 224, 256, 512, 32, 16)
# The types of ONNX's tensors that can be drawn, in torch's words.
TYPES = {
    1: torch.float32, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16, 2: torch.uint8, 3: torch.int8,
    5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
}  # fmt: skip
SHORT = (torch.uint8, torch.int8, torch.int16)


def example_sizes(model: "onnx.ModelProto", given: Sizes) -> dict[str, tuple[int, ...]]:
    """The shape of every input: as it is given, as the file says, or else as small as the model takes.

    Raises:
        OptionError: sizes are given for inputs that the model does not have, or it does not say how many axes
            an input has.
        ShapeError: the model takes none of the sizes that were tried.

    >>> from onnx import parser
    >>> model = parser.parse_model('''<ir_version: 8, opset_import: ["" : 18]>
    ... net (float[N, 3, H, 48] x) => (float[N, 3, H, 48] y) { y = Relu (x) }''')
    >>> example_sizes(model, None)
    {'x': (1, 3, 64, 48)}
    """
    known = _known(model, given)
    if all(size is not None for shape in known.values() for size in shape):
        return {name: tuple(size or 1 for size in shape) for name, shape in known.items()}
    refused = ""
    for start in STARTS:
        tried = {name: _filled(shape, start) for name, shape in known.items()}
        try:
            constants_and_shapes(model, tried)
        except ShapeError as error:
            refused = refused or str(error)
            continue
        return tried
    msg = f"the sizes of inputs that the file leaves open must be given, as in --input 1x3x64x64: {refused}"
    raise ShapeError(msg)


def taken_sizes(
    model: "onnx.ModelProto", given: Sizes, sizes: Mapping[str, Sequence[int]]
) -> tuple[str, ...]:
    """What to say of sizes that nobody gave, without a full stop."""
    is_open = [name for name, shape in _known(model, given).items() if None in shape]
    if not is_open:
        return ()
    shown = " and ".join(f"{name} {times(sizes[name])}" for name in is_open)
    return (f"the file leaves sizes open, so times are of {shown}; give others as --input",)


def example_tensor(entry: "onnx.ValueInfoProto", shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Random numbers for an input, normally distributed, or over the whole range of a short whole type.

    Zeros where the type is a longer whole one, or one of truth values.

    Raises:
        OptionError: its type is none that a tensor has.
    """
    kind = TYPES.get(entry.type.tensor_type.elem_type)
    if kind is None:
        raise _no_tensor(entry)
    if kind.is_floating_point:
        return torch.randn(tuple(shape), generator=generator).to(kind)
    if kind in SHORT:
        # such as pictures; longer ones may be places in a table, of which the first is always there
        limits = torch.iinfo(kind)
        return torch.randint(limits.min, limits.max + 1, tuple(shape), generator=generator, dtype=kind)
    return torch.zeros(tuple(shape), dtype=kind)


def _known(model: "onnx.ModelProto", given: Sizes) -> dict[str, tuple[int | None, ...]]:
    """What is known of each shape before anything is tried."""
    entries = {entry.name: entry for entry in inputs_of(model.graph)}
    known = {name: _declared(entry) for name, entry in entries.items()}
    if given is None:
        return known
    named = given if isinstance(given, Mapping) else dict.fromkeys(list(entries)[:1], given)
    # names and lengths that do not fit are refused where a model is read
    constants_and_shapes(model, given)
    return known | {name: tuple(shape) for name, shape in named.items()}


def _declared(entry: "onnx.ValueInfoProto") -> tuple[int | None, ...]:
    kind = entry.type.tensor_type
    if entry.type.WhichOneof("value") != "tensor_type":
        raise _no_tensor(entry)
    if not kind.HasField("shape"):
        msg = (
            f"the file does not say how many axes input {entry.name!r} has; give --input "
            f"{entry.name}=1x3x64x64"
        )
        raise OptionError(msg)
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)


def _no_tensor(entry: "onnx.ValueInfoProto") -> OptionError:
    msg = f"a file must take tensors of numbers to be compared; input {entry.name!r} is something else"
    return OptionError(msg)


def _filled(shape: Sequence[int | None], start: int) -> tuple[int, ...]:
    return tuple(size if size is not None else 1 if axis == 0 else start for axis, size in enumerate(shape))
