"""Turn calls of ONNX's operators into nodes and weights under names that nothing else has."""

from collections.abc import Sequence

import numpy
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from upstroke.errors import NotRepresentableError
from upstroke.polyphase import Border, Margin

__all__ = ["CRD", "TO_THE_END", "Draft"]

_MODES: dict[Border, str] = {"zero": "constant", "clamp": "edge", "circular": "wrap"}
# The first versions of the standard operators that have what is needed here.
INPUTS_OF_SLICE, INPUTS_OF_PAD, CRD, WRAP = 10, 11, 11, 19
TO_THE_END = 2**63 - 1

_Value = int | str | Sequence[int] | Sequence[float]


class Draft:
    """Nodes and weights that are to come into a graph.

    Args:
        version: of the standard operators.
        taken: names that the graph has, to which those of the draft are added.
    """

    def __init__(self, *, version: int, taken: set[str]) -> None:
        self.version = version
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._taken = taken
        self._stored: dict[tuple[int, tuple[int, ...], bytes], str] = {}
        self._prefix = ""
        self._dtype = int(onnx.TensorProto.FLOAT)
        self._near: Sequence[onnx.TensorProto] = ()

    def begin(self, prefix: str, *, dtype: int, near: Sequence[onnx.TensorProto]) -> None:
        """Start the nodes of one change.

        Args:
            prefix: of their names.
            dtype: of maps and weights, in ONNX's numbers.
            near: weights of the nodes they take the place of, which stay where they hold the same.
        """
        self.nodes = []
        self._prefix, self._dtype, self._near = prefix, dtype, near

    def end(self, output: str) -> list[onnx.NodeProto]:
        """The nodes, the last of which gives the tensor of this name."""
        self.nodes[-1].output[0] = output
        return self.nodes

    def add(self, kind: str, inputs: Sequence[str], label: str, **attributes: _Value) -> str:
        """Put a node behind the others; the name of what it gives."""
        name = self.name(f"{self._prefix}/{label}")
        output = self.name(f"{name}_output")
        node = helper.make_node(kind, list(inputs), [output], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return output

    def copy(self, node: onnx.NodeProto, source: str, label: str) -> onnx.NodeProto:
        """Put a copy of a node behind the others, which takes another map; the copy."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = self.name(f"{self._prefix}/{label}")
        copy.input[0] = source
        copy.output[0] = self.name(f"{copy.name}_output")
        self.nodes.append(copy)
        return copy

    def name(self, wanted: str) -> str:
        """A name that nothing has, the wanted one if that is free."""
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name

    def weight(self, tensor: Tensor, label: str) -> str:
        """Store numbers in the dtype of the model; the name they have, an older one if they are there."""
        kind = helper.tensor_dtype_to_np_dtype(self._dtype)
        array = tensor.detach().to("cpu", torch.float64).numpy().astype(kind)
        for other in self._near:
            if other.data_type == self._dtype and tuple(other.dims) == array.shape:
                there = numpy_helper.to_array(other)
                # what rounds alike is alike; a comparison with numbers that are none is never so
                if bool((there == array).all()):
                    return other.name
        return self._store(array, label)

    def whole_numbers(self, numbers: Sequence[int], label: str) -> str:
        """Store a list of whole numbers; the name it has."""
        return self._store(numpy.array(numbers, dtype=numpy.int64), label)

    def floats(self, numbers: Sequence[float], label: str) -> str:
        """Store a list of numbers in single precision, as scales are; the name it has."""
        return self._store(numpy.array(numbers, dtype=numpy.float32), label)

    def _store(self, array: numpy.ndarray, label: str) -> str:
        tensor = numpy_helper.from_array(numpy.ascontiguousarray(array))
        key = (tensor.data_type, tuple(tensor.dims), tensor.raw_data)
        if key not in self._stored:
            tensor.name = self._stored[key] = self.name(f"{self._prefix}/{label}")
            self.weights.append(tensor)
        return self._stored[key]

    def padded(self, source: str, sides: Sequence[Margin], border: Sequence[Border]) -> str:
        """The map with cells added around it, (left, right) per axis of space."""
        for mode in dict.fromkeys(border):
            own = [side if mode == each else (0, 0) for side, each in zip(sides, border, strict=True)]
            if any(any(side) for side in own):
                source = self._pad(source, own, mode)
        return source

    def _pad(self, source: str, sides: Sequence[Margin], border: Border) -> str:
        if border == "circular" and self.version < WRAP:
            msg = f"a border that wraps around needs operators of version {WRAP}; it has {self.version}"
            raise NotRepresentableError(msg)
        pads = [0, 0, *(left for left, _ in sides), 0, 0, *(right for _, right in sides)]
        if self.version < INPUTS_OF_PAD:
            return self.add("Pad", [source], "pad", mode=_MODES[border], pads=pads)
        amounts = self.whole_numbers(pads, "pads")
        return self.add("Pad", [source, amounts], "pad", mode=_MODES[border])

    def cropped(self, source: str, sides: Sequence[Margin], label: str = "crop") -> str:
        """The map with samples cut off, (left, right) per axis of space."""
        cuts = [(axis, *side) for axis, side in enumerate(sides, start=2) if any(side)]
        if not cuts:
            return source
        axes, starts, rights = zip(*cuts, strict=True)
        ends = [-right if right else TO_THE_END for right in rights]
        return self.sliced(source, axes, starts, ends, label)

    def sliced(
        self, source: str, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int], label: str
    ) -> str:
        """A part of a tensor."""
        if self.version < INPUTS_OF_SLICE:
            return self.add("Slice", [source], label, axes=axes, starts=starts, ends=ends)
        places = [
            self.whole_numbers(each, f"{label}_{what}")
            for each, what in ((starts, "starts"), (ends, "ends"), (axes, "axes"))
        ]
        return self.add("Slice", [source, *places], label)

    def interleaved(self, source: str, scale: Sequence[int], channels: int, *, phases_first: bool) -> str:
        """The map whose samples are those that stand in channels.

        Args:
            source: name of a map of phases * channels channels.
            scale: per axis of space.
            channels: that are left.
            phases_first: whether channel p * channels + o is phase p of channel o; otherwise it is channel
                o * phases + p.
        """
        if max(scale) == 1:
            return source
        square = len(scale) == 2 and scale[0] == scale[1]
        if square and phases_first:
            return self.add("DepthToSpace", [source], "depth_to_space", blocksize=scale[0])
        if square and self.version >= CRD:
            return self.add("DepthToSpace", [source], "depth_to_space", blocksize=scale[0], mode="CRD")
        ndim = len(scale)
        split = [*scale, channels] if phases_first else [channels, *scale]
        # where channels, and the scale of the first axis, then stand
        kept, first = (1 + ndim, 1) if phases_first else (1, 2)
        size = self.sliced(self.add("Shape", [source], "shape"), [0], [2], [TO_THE_END], "size")
        apart = self._reshaped(source, [0, *split], size, "apart")
        order = [0, kept, *(place for axis in range(ndim) for place in (2 + ndim + axis, first + axis))]
        turned = self.add("Transpose", [apart], "interleave", perm=order)
        grown = self.add("Mul", [size, self.whole_numbers(scale, "scale")], "grown")
        return self._reshaped(turned, [0, channels], grown, "together")

    def _reshaped(self, source: str, begins: Sequence[int], rest: str, label: str) -> str:
        parts = [self.whole_numbers(begins, f"{label}_channels"), rest]
        wanted = self.add("Concat", parts, f"{label}_shape", axis=0)
        return self.add("Reshape", [source, wanted], label)
