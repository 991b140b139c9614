"""Turn an ONNX model whose decoder drifts into one whose resizes sit where the encoder's maps do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

import numpy
import onnx
from onnx import helper, numpy_helper

from upstroke.graph import Graph
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_file import copied, model_from_memory
from upstroke.graph.onnx_shapes import constants_and_shapes
from upstroke.graph.steps import Resize
from upstroke.rewrite.reregister import Kernel, Plan, Reregistration, plan

__all__ = ["ReregisteredOnnx", "reregistered_onnx"]

# Up to the end, in ONNX's numbers.
TO_THE_END = 2**63 - 1
# Sizes and modes of coordinates as inputs and attributes of Resize came with this version.
PLACED = 11
# Slices with steps, and with starts that are inputs.
STEPS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class ReregisteredOnnx:
    """A repaired model.

    Attributes:
        model: a new one; the model itself where nothing is mended.
        plan: what was mended and what was not.
    """

    model: onnx.ModelProto
    plan: Plan


def reregistered_onnx(
    model: onnx.ModelProto,
    *,
    sizes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
    outputs: bool = True,
) -> ReregisteredOnnx:
    """A model in which the branches of joins meet, by resizes that put their samples elsewhere.

    A resize stays one where its mode and its coordinates say all: linear and asymmetric for a kernel that is
    centred on the cells. Elsewhere it is one between a pad by the edge and a slice. Sizes that are computed
    while the model runs are kept to by leaving out the last samples, or by going on with the last cell. What
    the model computes changes; the model that is given does not.

    Args:
        model: as onnx has loaded it.
        sizes: shapes of the inputs by name, or the shape of the only input, if the file leaves them open.
        outputs: whether outputs behind mended joins are moved onto the grid of the input as well.

    Raises:
        OptionError: sizes name no input of the model.
        ShapeError: the model cannot take these sizes.

    >>> from onnx import parser
    >>> text = '''<ir_version: 8, opset_import: ["" : 18]>
    ... net (float[1, 3, 8, 6] x) => (float[1, 3, 8, 6] y) <float[4] s = {1, 1, 2, 2}>
    ... {
    ...    d = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)
    ...    u = Resize (d, , s)
    ...    y = Add (u, x)
    ... }'''
    >>> new = reregistered_onnx(parser.parse_model(text)).model
    >>> sorted(str(helper.get_attribute_value(each)) for each in new.graph.node[1].attribute)
    ["b'asymmetric'", "b'linear'"]
    """
    graph = read_onnx(model, sizes=sizes)
    versions = {each.domain or "ai.onnx": each.version for each in model.opset_import}
    version = versions.get("ai.onnx", 1)
    makers = {name: node for node in model.graph.node for name in node.output}
    kept: dict[str, str] = {}
    while True:
        found = plan(graph, outputs=outputs, kept=kept)
        refused = {
            each.node.output: why
            for each in found.mended
            if (why := _why_not(each, makers.get(each.node.output), version))
        }
        if not refused:
            break
        kept |= refused
    if not found.mended:
        return ReregisteredOnnx(model=model, plan=found)
    new = copied(model)
    # what is known without the sizes of inputs is the same for every size
    constants = frozenset(constants_and_shapes(model_from_memory(model), None)[0])
    for each in found.mended:
        place = next(place for place, node in enumerate(new.graph.node) if each.node.output in node.output)
        writer = _Writer(new, new.graph.node[place], version, constants)
        nodes = writer.nodes(each, graph)
        del new.graph.node[place]
        for offset, node in enumerate(nodes):
            new.graph.node.insert(place + offset, node)
    return ReregisteredOnnx(model=new, plan=found)


def _why_not(each: Reregistration, node: onnx.NodeProto | None, version: int) -> str:
    """Why a resize cannot be written otherwise; empty if it can."""
    if node is None or node.op_type not in ("Resize", "Upsample"):
        return f"{each.node.operator} is no resize that stands in the graph of the model itself"
    bases = [_base(kernel, version) for kernel in each.after]
    axes = next((helper.get_attribute_value(found) for found in node.attribute if found.name == "axes"), None)
    if axes is not None and list(axes) not in (space := [*range(2, 2 + len(bases))], [0, 1, *space]):
        return f"it names the axes {', '.join(map(str, axes))}, which are not those of space in order"
    if version < STEPS and any(base.step > 1 for base in bases):
        return f"opset {version} has no slice that takes every second sample"
    if version < PLACED and any(base.mode == "cubic" for base in bases):
        return f"opset {version} has no cubic resize"
    return ""


@dataclass(frozen=True, kw_only=True)
class _Base:
    """A kernel along one axis by what Resize has.

    Attributes:
        mode, coordinates: of Resize.
        scale: of Resize.
        shift: how many of its samples lie between its first and the first one wanted.
        step: how many of its samples lie from one wanted to the next.
    """

    mode: str
    coordinates: str
    scale: int
    shift: int
    step: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether Resize alone does it."""
        return self.shift == 0 and self.step == 1


def _base(kernel: Kernel, version: int) -> _Base:
    """The resize that has the samples of a kernel among its own."""
    s, first = kernel.scale, kernel.scale * kernel.offset
    if s == 1 and first == 0:
        # nothing is done along this axis, by any mode
        return _Base(mode="", coordinates="", scale=1, shift=0)
    half = Fraction(s - 1, 2)
    if kernel.mode == "nearest":
        return _Base(mode="nearest", coordinates="asymmetric", scale=s, shift=int(first + half))
    if first.denominator == 1:
        return _Base(mode=kernel.mode, coordinates="asymmetric", scale=s, shift=int(first))
    if (first + half).denominator == 1 and version >= PLACED:
        return _Base(mode=kernel.mode, coordinates="half_pixel", scale=s, shift=int(first + half))
    return _Base(mode=kernel.mode, coordinates="asymmetric", scale=2 * s, shift=int(2 * first), step=2)


class _Writer:
    """Writes the nodes that stand in the place of one resize."""

    def __init__(
        self, model: onnx.ModelProto, node: onnx.NodeProto, version: int, constants: frozenset[str]
    ) -> None:
        self._constants = constants
        self._graph, self._old, self._version = model.graph, onnx.NodeProto(), version
        self._old.CopyFrom(node)
        self._taken = {name for each in model.graph.node for name in (*each.input, *each.output, each.name)}
        self._taken |= {each.name for each in model.graph.initializer}
        self._taken |= {each.name for each in (*model.graph.input, *model.graph.output)}
        self._nodes: list[onnx.NodeProto] = []

    def nodes(self, each: Reregistration, graph: Graph) -> list[onnx.NodeProto]:
        """The nodes, the last of which gives what the old one gave."""
        bases = [_base(kernel, self._version) for kernel in each.after]
        step = each.node.step
        assert isinstance(step, Resize)
        sizes = self._old.input[3] if len(self._old.input) > 3 else ""
        # a size that is computed while the model runs may be other than scale * cells
        is_computed = bool(sizes) and sizes not in self._constants
        alike = len({(base.mode, base.coordinates) for base in bases if base.mode}) == 1
        if alike and all(base.is_whole for base in bases) and not is_computed:
            chosen = next(base for base in bases if base.mode)
            self._add(
                self._old.op_type, list(self._old.input), step, chosen, output=self._old.output[0], keep=True
            )
            return self._named()
        self._taken |= set(graph.shapes)
        self._through_a_pad(each, step, bases, sizes if is_computed else "")
        return self._named()

    def _through_a_pad(self, each: Reregistration, step: Resize, bases: Sequence[_Base], sizes: str) -> None:
        """Pad by the edge, resize, slice."""
        ndim = len(bases)
        more = 1 if sizes else 0
        left = [max(0, -(base.shift // base.scale)) for base in bases]
        right = [
            max(0, -(-(base.shift - base.step + 1) // base.scale)) + (more if base.mode else 0)
            for base in bases
        ]
        x = self._old.input[0]
        if any(left) or any(right):
            x = self._padded(x, [0, 0, *left, 0, 0, *right])
        order = sorted(range(ndim), key=lambda axis: (bases[axis].mode, bases[axis].coordinates))
        for (mode, _), axes in groupby(order, key=lambda axis: (bases[axis].mode, bases[axis].coordinates)):
            group = list(axes)
            if not mode:
                continue
            scales = [1.0, 1.0, *(float(bases[axis].scale) if axis in group else 1.0 for axis in range(ndim))]
            x = self._resized(x, scales, step, bases[group[0]])
        starts = [base.scale * before + base.shift for base, before in zip(bases, left, strict=True)]
        steps = [base.step for base in bases]
        over = [base.scale * after - base.shift for base, after in zip(bases, right, strict=True)]
        if sizes:
            self._sliced(x, starts, self._ends(sizes, starts, steps), steps)
        elif any(starts) or any(over) or max(steps) > 1:
            self._sliced(x, starts, [-extra if extra > 0 else TO_THE_END for extra in over], steps)
        self._nodes[-1].output[0] = self._old.output[0]

    def _resized(self, x: str, scales: Sequence[float], step: Resize, base: _Base) -> str:
        name = self._store(numpy.array(scales, numpy.float32), "scales")
        if self._version >= PLACED:
            roi = self._old.input[1] if len(self._old.input) > 1 else ""
            return self._add("Resize", [x, roi, name], step, base)
        if self._version >= STEPS:
            return self._add("Resize", [x, name], step, base)
        if self._version == STEPS - 1:
            return self._add("Upsample", [x, name], step, base)
        return self._add("Upsample", [x], step, base, scales=list(scales))

    def _add(
        self,
        kind: str,
        inputs: Sequence[str],
        step: Resize,
        base: _Base,
        *,
        output: str = "",
        keep: bool = False,
        scales: Sequence[float] | None = None,
    ) -> str:
        """Put a resize behind the others; the name of what it gives."""
        attributes: dict[str, object] = {"mode": base.mode}
        if self._version >= PLACED:
            attributes["coordinate_transformation_mode"] = base.coordinates
            if base.mode == "nearest":
                attributes["nearest_mode"] = "floor"
            if base.mode == "cubic":
                attributes["cubic_coeff_a"] = step.a
        old = {each.name: helper.get_attribute_value(each) for each in self._old.attribute}
        for name in ("axes", "scales", "keep_aspect_ratio_policy") if keep else ():
            if name in old:
                attributes[name] = old[name]
        if scales is not None:
            attributes["scales"] = scales
        return self._node(kind, inputs, "resized", output=output, **attributes)

    def _padded(self, x: str, pads: Sequence[int]) -> str:
        if self._version < PLACED:
            return self._node("Pad", [x], "padded", mode="edge", pads=list(pads))
        name = self._store(numpy.array(pads, numpy.int64), "pads")
        return self._node("Pad", [x, name], "padded", mode="edge")

    def _sliced(self, x: str, starts: Sequence[int], ends: Sequence[int] | str, steps: Sequence[int]) -> str:
        axes = list(range(2, 2 + len(starts)))
        if self._version < STEPS:
            assert not isinstance(ends, str)
            return self._node("Slice", [x], "moved", axes=axes, starts=list(starts), ends=list(ends))
        names = [
            self._store(numpy.array(starts, numpy.int64), "starts"),
            ends if isinstance(ends, str) else self._store(numpy.array(ends, numpy.int64), "ends"),
            self._store(numpy.array(axes, numpy.int64), "axes"),
            self._store(numpy.array(steps, numpy.int64), "steps"),
        ]
        return self._node("Slice", [x, *names], "moved")

    def _ends(self, sizes: str, starts: Sequence[int], steps: Sequence[int]) -> str:
        """Where slices end that give these sizes, which are computed while the model runs."""
        axes = {each.name: each for each in self._old.attribute}.get("axes")
        if axes is None or len(axes.ints) > len(starts):
            whole = [numpy.array(each, numpy.int64) for each in ([2], [2 + len(starts)], [0])]
            names = [
                self._store(each, label) for each, label in zip(whole, ("from", "to", "on"), strict=True)
            ]
            sizes = self._node("Slice", [sizes, *names], "size")
        if any(step > 1 for step in steps):
            name = self._store(numpy.array(steps, numpy.int64), "steps")
            sizes = self._node("Mul", [sizes, name], "size")
        if not any(starts):
            return sizes
        name = self._store(numpy.array(starts, numpy.int64), "starts")
        return self._node("Add", [sizes, name], "ends")

    def _node(
        self, kind: str, inputs: Sequence[str], label: str, *, output: str = "", **attributes: object
    ) -> str:
        output = output or self._free(f"{self._old.output[0]}_{label}")
        node = helper.make_node(kind, list(inputs), [output])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return output

    def _store(self, array: numpy.ndarray, label: str) -> str:
        name = self._free(f"{self._old.output[0]}_{label}")
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _free(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name

    def _named(self) -> list[onnx.NodeProto]:
        """The nodes, named after the old one."""
        for node in self._nodes[:-1]:
            node.name = self._free(f"{self._old.name or self._old.output[0]}_{node.op_type.lower()}")
        self._nodes[-1].name = self._old.name
        return self._nodes
