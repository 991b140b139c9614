"""Turn an ONNX model into one that takes inputs of any size."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from upstroke.audit.sizes import sizes_that_break
from upstroke.audit.subjects import ModelReading
from upstroke.graph import sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_file import copied, model_from_memory, opset_versions
from upstroke.graph.onnx_sizes import onnx_sizes, trial_of
from upstroke.graph.sizes import Sizes
from upstroke.rewrite.anysize import AxisSizes, CannotPadError, Cut, Padding, padding_for

if TYPE_CHECKING:
    import onnx

__all__ = ["AnySizeFile", "any_size_onnx", "write_padding"]

# The first whose Pad takes numbers that are computed, and the first whose Max and Min take whole ones.
COMPUTED_PADS, WHOLE_EXTREMES = 11, 12


@dataclass(frozen=True, kw_only=True, eq=False)
class AnySizeFile:
    """What became of a model whose sizes break.

    Attributes:
        model: a copy that pads and cuts; None where the model is left as it is.
        words: what it does, or why it is left, in a sentence without a full stop.
        before, after: the sizes that the model takes, and the copy; None where that was not tried.
    """

    model: "onnx.ModelProto | None"
    words: str
    before: Sizes
    after: Sizes | None = None


def any_size_onnx(
    model: "onnx.ModelProto",
    *,
    sizes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
    found: Sizes | None = None,
) -> AnySizeFile:
    """Find out which sizes a model takes, and write into a copy what makes it take all others too.

    Its inputs are padded at the far end by their edge values to the next size that it takes, and its outputs
    cut to what the true size promises, by operators of ONNX that compute both from the shape of the first
    input; inputs and outputs keep their names.

    Args:
        model: the model, with its weights in it; it stays as it is.
        sizes: shapes of its inputs, as in `read_onnx`.
        found: what `onnx_sizes` found, where that is known already.

    Raises:
        FileError: it is no complete ONNX model.
    """
    new = copied(model_from_memory(model))
    graph = read_onnx(new, sizes=sizes)
    before = onnx_sizes(new, graph) if found is None else found
    trial = trial_of(new, graph)
    if isinstance(trial, Sizes):
        return AnySizeFile(model=None, words=_fixed(trial, before), before=before)
    try:
        padding = padding_for(before, trial.at)
        _check_version(new)
    except CannotPadError as error:
        return AnySizeFile(model=None, words=str(error), before=before)
    write_padding(new, padding, trial.first, trial.following, free=trial.free)
    again = read_onnx(new, sizes=sizes)
    after = onnx_sizes(new, again)
    verdict = sizes_that_break(ModelReading(graph=again, sites=sites(again), sizes=after))
    if verdict.kind != "ok":
        words = f"padding to {padding} does not make every size right: {verdict.words}"
        return AnySizeFile(model=None, words=words, before=before, after=after)
    words = f"inputs are padded to {padding} and outputs cut to what their true size promises"
    return AnySizeFile(model=new, words=words, before=before, after=after)


def write_padding(
    model: "onnx.ModelProto", padding: Padding, first: str, following: Sequence[str], *, free: Sequence[int]
) -> None:
    """Let a model, in place, pad its inputs and cut its outputs.

    Args:
        model: the model.
        padding: what to pad and cut.
        first: the input whose size counts.
        following: the inputs that have its size, itself among them.
        free: the axes of space that may have any size.
    """
    _Writer(model, padding, free=free).write(first, following)


def _fixed(trial: Sizes, before: Sizes) -> str:
    """Why there is nothing to try."""
    if trial.fixed:
        try:
            padding_for(trial, lambda size: None)
        except CannotPadError as error:
            return str(error)
    return trial.reason or before.reason


def _check_version(model: "onnx.ModelProto") -> None:
    version = opset_versions(model)[""]
    if version < COMPUTED_PADS:
        msg = (
            f"its operators are of version {version}, in which no pad can be computed from a size; convert "
            f"it to version {COMPUTED_PADS} or later"
        )
        raise CannotPadError(msg)


class _Writer:
    """Adds nodes to a model, which it owns."""

    def __init__(self, model: "onnx.ModelProto", padding: Padding, *, free: Sequence[int]) -> None:
        self._graph, self._padding, self._free = model.graph, padding, free
        self._version = opset_versions(model)[""]
        self._taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._taken |= {entry.name for entry in (*model.graph.input, *model.graph.initializer)}
        self._added: list[onnx.NodeProto] = []

    def write(self, first: str, following: Sequence[str]) -> None:
        """Pad the inputs that follow the size of the first, and cut the outputs."""
        shape = self._add("Shape", [first])
        sizes = {axis: self._add("Gather", [shape, self._numbers([axis + 2])], axis=0) for axis in self._free}
        more = {axis: self._missing(size, self._padding.axes[axis]) for axis, size in sizes.items()}
        nothing = self._numbers([0])
        ends = [more.get(axis, nothing) for axis in range(len(self._padding.axes))]
        # what is added before every axis, then after batch and channels, then after the axes of space
        before = self._numbers([0] * (2 + len(ends)))
        pads = self._add("Concat", [before, nothing, nothing, *ends], axis=0)
        for name in following:
            self._rename_taken(name, self._add("Pad", [name, pads], mode="edge"))
        ahead, self._added = self._added, []
        for place, entry in enumerate(self._graph.output):
            cuts = [cut for cut in self._padding.cuts if cut.output == place]
            if cuts:
                self._cut(entry.name, cuts, sizes)
        self._place(ahead, self._added)
        for entry in self._graph.value_info:
            # these are symbols of the true sizes
            for axis in entry.type.tensor_type.shape.dim:
                if axis.dim_param:
                    axis.Clear()

    def _missing(self, size: str, axis: AxisSizes) -> str:
        """How many samples a size lacks to the next that is right."""
        enough = size
        if axis.least > axis.smallest:
            enough = self._extreme("Max", [size, self._numbers([axis.least])])
        each = [
            self._add("Mod", [self._add("Sub", [self._numbers([r]), enough]), self._numbers([axis.period])])
            for r in axis.remainders
        ]
        fewest = each[0] if len(each) == 1 else self._extreme("Min", each)
        return self._add("Sub", [self._add("Add", [enough, fewest]), size])

    def _cut(self, name: str, cuts: Sequence[Cut], sizes: Mapping[int, str]) -> None:
        """Let an output be a part of what its node gives."""
        whole = self._unique(f"{name}_whole")
        self._rename_taken(name, whole)
        for node in self._graph.node:
            for place, given in enumerate(node.output):
                if given == name:
                    node.output[place] = whole
        ends = self._add("Concat", [self._due(cut, sizes[cut.axis]) for cut in cuts], axis=0)
        starts, dims = self._numbers([0] * len(cuts)), self._numbers([cut.dim for cut in cuts])
        self._add("Slice", [whole, starts, ends, dims], output=name)

    def _due(self, cut: Cut, size: str) -> str:
        """The length that an axis of an output has for the true size."""
        below = math.lcm(cut.slope.denominator, cut.offset.denominator)
        times, plus = int(cut.slope * below), int(cut.offset * below) + below - 1
        due = size
        if times != 1:
            due = self._add("Mul", [due, self._numbers([times])])
        if plus:
            due = self._add("Add", [due, self._numbers([plus])])
        if below != 1:
            due = self._add("Div", [due, self._numbers([below])])
        # a negative end would count from the other side
        return self._extreme("Max", [due, self._numbers([0])]) if cut.offset < 0 else due

    def _extreme(self, operator: str, names: Sequence[str]) -> str:
        """Max or Min of whole numbers."""
        from onnx import TensorProto

        if self._version >= WHOLE_EXTREMES:
            return self._add(operator, names)
        floats = [self._add("Cast", [name], to=TensorProto.FLOAT) for name in names]
        return self._add("Cast", [self._add(operator, floats)], to=TensorProto.INT64)

    def _numbers(self, numbers: Sequence[int]) -> str:
        """The name of an initializer of whole numbers."""
        from onnx import numpy_helper

        name = self._unique("any_size_numbers")
        self._graph.initializer.append(numpy_helper.from_array(numpy.array(numbers, dtype=numpy.int64), name))
        return name

    def _add(self, operator: str, taken: Sequence[str], *, output: str = "", **attributes: Any) -> str:  # noqa: ANN401 - of any kind
        from onnx import helper

        name = output or self._unique(f"any_size_{operator.lower()}")
        self._added.append(
            helper.make_node(
                operator, list(taken), [name], name=self._unique(f"any_size/{name}"), **attributes
            )
        )
        return name

    def _rename_taken(self, old: str, new: str) -> None:
        """Let everything that was in the model take another tensor."""
        _rename(self._graph.node, old, new)

    def _place(self, ahead: "Sequence[onnx.NodeProto]", behind: "Sequence[onnx.NodeProto]") -> None:
        """Put nodes before and behind those that are there."""
        nodes = [*ahead, *self._graph.node, *behind]
        kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(kept)

    def _unique(self, name: str) -> str:
        made, place = name, 1
        while made in self._taken:
            made, place = f"{name}_{place}", place + 1
        self._taken.add(made)
        return made


def _rename(nodes: "Sequence[onnx.NodeProto]", old: str, new: str) -> None:
    for node in nodes:
        for place, name in enumerate(node.input):
            if name == old:
                node.input[place] = new
        for attribute in node.attribute:
            # 5 is a graph, 10 a list of them
            for body in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                _rename(body.node, old, new)
                for entry in body.output:
                    if entry.name == old:
                        entry.name = new
