"""Turn an ONNX model into what shape inference makes of inputs of other sizes."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from upstroke.errors import ShapeError
from upstroke.graph.form import Graph, Shape
from upstroke.graph.onnx_file import model_from_file, model_from_memory
from upstroke.graph.onnx_shapes import constants_and_shapes, inputs_of
from upstroke.graph.sizes import NO_MAP, Outcome, Sizes, coarseness, sized_inputs, sizes_that_work
from upstroke.graph.steps import Join

if TYPE_CHECKING:
    import onnx

__all__ = ["Trial", "onnx_sizes", "trial_of"]

INFERENCE = "by shape inference"
# Where neither the file nor the caller says a size, the search begins with the first of these that works.
STARTS = (64, 224, 256, 512)


def onnx_sizes(source: "str | Path | onnx.ModelProto", graph: Graph, *, seconds: float = 3.0) -> Sizes:
    """Infer the shapes of a model for larger and larger inputs, and find out which sizes it takes.

    The axes of space are those of the first input that is a map and whose size the file leaves open; other
    inputs that are maps of that size vary with it. A size does not work where two maps do not meet at a join,
    where nothing is left of one, or where inference says so.

    Args:
        source: the file, or the model.
        graph: what was read of it; where it was read without sizes, the search begins at 64 samples.
        seconds: to try sizes for; a few are tried in any case.

    Raises:
        FileError: there is no such file, or it is no complete ONNX model.

    >>> from onnx import parser
    >>> from upstroke.graph.onnx import read_onnx
    >>> model = parser.parse_model('''<ir_version: 8, opset_import: ["" : 18]>
    ... net (float[1, 2, L] x) => (float[1, 2, M] y) <float[3] s = {1, 1, 2}>
    ... { a = MaxPool <kernel_shape = [2], strides = [2]> (x)
    ...   b = Resize <coordinate_transformation_mode = "asymmetric"> (a, , s)
    ...   y = Add (b, x) }''')
    >>> along = onnx_sizes(model, read_onnx(model)).along[0]
    >>> along.period, along.failed[0].size, along.failed[0].error
    (2, (65,), 'the maps 1x2x64 and 1x2x65 do not meet')
    """
    trial = trial_of(source, graph)
    if isinstance(trial, Sizes):
        return trial
    start = next(filter(trial.works, trial.starts()), None)
    if start is None:
        return Sizes(reason="shape inference finds no size that works, or does not reach the outputs")
    began = time.monotonic()
    along = sizes_that_work(
        start,
        coarseness(graph, trial.first),
        trial.at,
        free=trial.free,
        may_go_on=lambda share: time.monotonic() - began < share * seconds,
    )
    return Sizes(start=start, along=along, how=INFERENCE)


def trial_of(source: "str | Path | onnx.ModelProto", graph: Graph) -> "Trial | Sizes":
    """A model as one whose shapes can be inferred at one size after another; or why they cannot.

    Arguments as in `onnx_sizes`.
    """
    model = model_from_file(Path(source)) if isinstance(source, str | Path) else model_from_memory(source)
    declared = {entry.name: _declared(entry) for entry in inputs_of(model.graph)}
    maps = [name for name in sized_inputs(graph) if declared.get(name)]
    if not maps:
        return Sizes(reason=NO_MAP)
    first = maps[0]
    shape = graph.shapes[first]
    free = tuple(axis for axis, n in enumerate(declared[first][2:]) if n is None and shape[axis + 2] != 1)
    if not free:
        return Sizes(start=tuple(n or 1 for n in shape[2:]), fixed=True)
    if shape[1] is None:
        return Sizes(reason=f"the file does not say how many channels its input {first!r} has")
    return Trial(model=model, graph=graph, declared=declared, first=first, free=free)


class Trial:
    """Infers a model's shapes at one size after another.

    Attributes:
        first: the input whose axes of space are those that vary.
        free: those of its axes that the file leaves open.
    """

    def __init__(
        self,
        *,
        model: "onnx.ModelProto",
        graph: Graph,
        declared: Mapping[str, Shape],
        first: str,
        free: tuple[int, ...],
    ) -> None:
        self.first, self.free = first, free
        self._model, self._graph, self._declared = model, graph, declared
        self._ends = tuple(entry.name for entry in model.graph.output)
        self._joins = [node for node in graph.nodes if isinstance(node.step, Join)]

    @property
    def following(self) -> tuple[str, ...]:
        """The inputs that have the size of the first one, itself among them."""
        alike = self._graph.shapes[self.first]
        shapes = {name: self._graph.shapes.get(name, each) for name, each in self._declared.items()}
        return tuple(
            name
            for name, shape in shapes.items()
            if name == self.first or (len(shape) == len(alike) and shape[2:] == alike[2:])
        )

    def starts(self) -> list[tuple[int, ...]]:
        """Sizes to begin with, the likely ones first."""
        shape = self._graph.shapes[self.first][2:]
        return [
            tuple(n or (length if axis in self.free else 1) for axis, n in enumerate(shape))
            for length in STARTS
        ]

    def works(self, size: tuple[int, ...]) -> bool:
        """Whether inference reaches the outputs at a size, and finds no fault."""
        outcome = self.at(size)
        return outcome is not None and not outcome.error

    def at(self, size: tuple[int, ...]) -> Outcome | None:
        """What becomes of a size; None where inference cannot tell."""
        try:
            _, shapes = constants_and_shapes(self._model, self._wanted(size))
        except ShapeError as error:
            return _refused(str(error))
        ends = [shapes.get(name) for name in self._ends]
        met = [shapes.get(name) for node in self._joins for name in node.inputs]
        if any(shape is None or None in shape for shape in (*ends, *met)):
            return None
        return Outcome(outputs=tuple(shape for shape in ends if shape is not None))

    def _wanted(self, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The shapes of all inputs whose shapes are left open; batches of one unless it says how many."""
        wanted, following = {}, self.following
        for name, declared in self._declared.items():
            shape = self._graph.shapes.get(name, declared)
            if name in following:
                shape = (
                    *shape[:2],
                    *(m if n is None else n for n, m in zip(declared[2:], size, strict=True)),
                )
            if shape:
                wanted[name] = tuple(1 if n is None else n for n in shape)
        return wanted


def _refused(words: str) -> Outcome:
    """What the message of a refusal says of the fault itself, and at which node.

    >>> _refused("the model cannot take x = 1x8x5: the maps 8x2 and 8x3 do not meet at up (Add); give more")
    Outcome(outputs=(), error='the maps 8x2 and 8x3 do not meet', place='up')
    """
    fault = words.partition(": ")[2].rpartition("; give ")[0] or words
    fault, met, place = fault.partition(" at ") if " do not meet at " in fault else (fault, "", "")
    return Outcome(error=fault, place=place.partition(" (")[0] if met else "")


def _declared(entry: "onnx.ValueInfoProto") -> Shape:
    """The shape that a file gives an input, with None for an axis that it leaves open."""
    axes = entry.type.tensor_type.shape.dim
    return tuple(axis.dim_value if axis.dim_value > 0 else None for axis in axes)
