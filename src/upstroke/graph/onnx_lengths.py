"""Turn a node on constants into how many numbers its result can have, before it is computed."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy

if TYPE_CHECKING:
    import onnx

__all__ = ["SHAPED_BY_VALUES", "longest"]

# Of these the values of some inputs, and not their shapes alone, say how long the result is.
SHAPED_BY_VALUES: Mapping[str, slice] = {
    "ConstantOfShape": slice(0, 1),
    "Expand": slice(1, 2),
    "Range": slice(0, 3),
}
# These rearrange or convert their first input, or take a part of it; the others only say how.
OF_THE_FIRST = frozenset(
    {
        *("Cast", "CastLike", "Flatten", "Identity", "Reshape"),
        *("Slice", "Squeeze", "Transpose", "Unsqueeze"),
    }
)


def longest(node: "onnx.NodeProto", shapes: Sequence[Sequence[int]], values: Sequence[numpy.ndarray]) -> int:
    """An upper bound on the numbers in the result.

    Args:
        node: a node whose inputs are all constant.
        shapes: of its inputs.
        values: of the inputs in SHAPED_BY_VALUES, if it is one of those.

    Raises:
        ArithmeticError, LookupError, TypeError, ValueError: its inputs are not those of its operator.
    """
    numbers = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "Range":
        start, limit, step = (float(value.flatten()[0]) for value in values)
        return max(0, math.ceil((limit - start) / step))
    if node.op_type == "ConstantOfShape":
        return _room(values[0].flatten().tolist())
    if node.op_type == "Expand":
        return _spread([shapes[0], values[0].flatten().tolist()])
    if node.op_type == "Concat":
        return sum(map(math.prod, shapes))
    if node.op_type == "Gather":
        taken, indices = shapes
        axis = range(len(taken))[numbers.get("axis", 0)]
        return math.prod(indices) * _room([*taken[:axis], *taken[axis + 1 :]])
    if node.op_type == "ReduceProd":
        return _room(shapes[0])
    if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        taken, *others = shapes
        axis = numbers.get("axis", 1) % max(1, len(taken))
        laid = [_laid(shape, len(taken), axis, numbers.get("block_size", 0)) for shape in others]
        return max(_spread([taken, *laid]), *map(math.prod, laid), 0)
    return math.prod(shapes[0]) if node.op_type in OF_THE_FIRST else _spread(shapes)


def _room(shape: Sequence[int]) -> int:
    """The numbers in a shape, empty axes counted as one: a product over none of them is 1."""
    return math.prod(max(1, size) for size in shape)


def _spread(shapes: Sequence[Sequence[int]]) -> int:
    """The numbers in what shapes make together, each axis as long as its longest."""
    return math.prod(max(sizes) for sizes in zip_longest(*map(reversed, shapes), fillvalue=1))


def _laid(shape: Sequence[int], rank: int, axis: int, block: int) -> Sequence[int]:
    """The shape of scales once they are laid along an axis, each for a block of cells or for one."""
    if len(shape) == 1 and list(shape) != [1] and not block:
        return [shape[0] if place == axis else 1 for place in range(rank)]
    return [size * max(1, block) if place == axis else size for place, size in enumerate(shape)]
