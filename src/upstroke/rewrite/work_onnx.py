"""Turn an ONNX model into a workpiece of a fix: read from its nodes, rewritten in standard nodes alone."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from upstroke.audit import Report, check
from upstroke.errors import FileError, OptionError, ShapeError
from upstroke.graph import Graph
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_shapes import constants_and_shapes, inputs_of
from upstroke.graph.steps import Resize
from upstroke.rewrite.change import Change, Form, Left
from upstroke.rewrite.changes import changes
from upstroke.rewrite.counting import parameters_of_onnx
from upstroke.rewrite.fixed import Moved, Pair, Repaired
from upstroke.rewrite.measure import AS_IT_IS, gained, session_of, words_of_gain
from upstroke.rewrite.memory import peak_of_onnx
from upstroke.rewrite.onnx import refusal, rewritten
from upstroke.rewrite.onnx_alone import alone
from upstroke.rewrite.onnx_example import example_sizes, example_tensor, taken_sizes
from upstroke.rewrite.onnx_save import file_for_running, save
from upstroke.rewrite.outputs import moved
from upstroke.rewrite.repair import mended_onnx
from upstroke.rewrite.variants import Variant, open_axes_of_onnx, variants
from upstroke.rewrite.verify import Verified
from upstroke.rewrite.verify_onnx import runner, verified_onnx
from upstroke.rewrite.work import SIZES, Applied, Chosen, Measured, Progress

if TYPE_CHECKING:
    import onnx

__all__ = ["Runtime", "WorkOnnx"]

Runtime = Literal["onnxruntime", "openvino"]


class WorkOnnx:
    """A model as a file has it, and what it is being rewritten into.

    Args:
        model: stays as it is.
        sizes: of its inputs, where it leaves them open.
        path: of its file; None for a model in memory.
        runtime: in which forms are measured.
        select: codes of what is to be done.
        sites: at which; by default all.
        tolerance: of relative differences; None for the usual one.
        seed: of random inputs.
    """

    def __init__(
        self,
        model: "onnx.ModelProto",
        sizes: Mapping[str, Sequence[int]] | Sequence[int] | None,
        *,
        path: Path | None,
        name: str,
        runtime: Runtime,
        select: Sequence[str],
        sites: Sequence[str],
        tolerance: float | None,
        seed: int,
    ) -> None:
        self.runtime = runtime
        self.original: Any = model
        self.given: Any = model
        self.model: Any = model
        self._path = path
        self._sizes = example_sizes(model, sizes)
        self._taken = taken_sizes(model, sizes, self._sizes)
        self._select, self._sites = select, sites
        self._tolerance, self._seed = tolerance, seed
        # of which model, because a large one takes seconds to read
        self._graph: tuple[Any, Graph] | None = None
        self._values: tuple[Any, Any] | None = None
        self.name, self.source = name, self.read().source

    def read(self) -> Graph:
        """The graph of what it has become so far."""
        if self._graph is None or self._graph[0] is not self.model:
            self._graph = (self.model, self._read(self._sizes))
        return self._graph[1]

    def checked(self, repair: Sequence[str]) -> Report:
        """The check of what it has become so far; sizes are tried only where they are to be repaired."""
        conserve = any(code.startswith("UP4") for code in repair)
        if SIZES not in repair:
            return check(self.read(), name=self.name, ignore=(SIZES,), conserve=conserve)
        with TemporaryDirectory(prefix="upstroke-") as folder:
            path = file_for_running(self.model, Path(folder))
            return check(path, self._sizes, name=self.name, conserve=conserve)

    def mended(self, codes: Sequence[str], tell: Progress) -> tuple["WorkOnnx", tuple[Repaired, ...]]:
        """A workpiece in which findings of these codes are mended, and what became of each."""
        mended = mended_onnx(self.given, self._sizes, codes, sites=self._sites, tell=tell)
        work = self.again()
        work.given = work.model = mended.model
        return work, mended.repaired

    def planned(self, graph: Graph) -> tuple[Change | Left, ...]:
        """What can be rewritten next."""
        found = changes(
            graph, target="onnx", select=self._select, sites=self._sites, others=self._elsewhere(graph)
        )
        return tuple(_of_known_size(each, graph) for each in found)

    def candidates(self, change: Change) -> Mapping[str, Callable[[], Any]]:
        """The nodes of a change, and those that may take their place, each as a model of its own."""
        shape = tuple(size or 1 for size in self.read().shapes[change.first])
        forms: tuple[Form | None, ...] = (None, *(f for f in change.forms if not self.refused(change, f)))
        values = self._elsewhere_computed()
        calls: dict[str, Callable[[], Any]] = {}
        for form in forms:
            small = alone(self.model, change, form, sizes=shape, values=values)
            x = _drawn(small.graph.input[0], shape, self._seed)
            try:
                calls[AS_IT_IS if form is None else form] = _call(session_of(small, self.runtime), x)
            except FileError:
                # one that the runtime does not have is none to choose
                if form is None:
                    raise
        return calls

    def refused(self, change: Change, form: Form) -> str | None:
        """Why a form cannot be written in the operators that this file may use."""
        return refusal(change, form, self.model)

    def apply(self, chosen: Chosen) -> Applied:
        """Put nodes in place of nodes."""
        self.model = rewritten(self.model, chosen)
        return Applied(how={})

    def compared(self, progress: Progress) -> tuple[Verified, ...]:
        """Old and new by ONNX Runtime, whatever the forms were chosen for."""
        tolerance = 1e-5 if self._tolerance is None else self._tolerance
        return (
            verified_onnx(self.given, self.model, self._variants(), tolerance=tolerance, progress=progress),
        )

    def moved(self) -> tuple[Moved, ...]:
        """How far the outputs are from those of the user's model, on the example."""
        example = self._example()
        return moved(runner(self.original)(*example), runner(self.model)(*example))

    def slower(self, *, seconds: float) -> float:
        """How many times as long it takes as what exact rewrites began with."""
        arrays = [_array(each) for each in self._example()]
        old, new = (session_of(each, self.runtime) for each in (self.given, self.model))
        return 1 / gained(lambda: old(arrays), lambda: new(arrays), seconds=seconds).ratio

    def measured(self, *, sites: Sequence[float] | None, seconds: float) -> Measured:
        """Medians of one run, in turns, and the memory of a process that does nothing else."""
        arrays = [_array(each) for each in self._example()]
        old, new = (session_of(each, self.runtime) for each in (self.original, self.model))
        gain = gained(lambda: old(arrays), lambda: new(arrays), sites=sites, seconds=seconds)
        before, after = (
            peak_of_onnx(each, arrays, runtime=self.runtime) for each in (self.original, self.model)
        )
        return Measured(
            milliseconds=Pair(before=1e3 * gain.before.median, after=1e3 * gain.after.median),
            memory=Pair(before=before.bytes, after=after.bytes),
            memory_of=before.how,
            share=gain.share,
            words=words_of_gain(gain),
        )

    def parameters(self) -> Pair:
        """Numbers in the weights of both."""
        return Pair(before=parameters_of_onnx(self.original), after=parameters_of_onnx(self.model))

    def again(self) -> "WorkOnnx":
        """The model that rewrites began with, to be rewritten anew."""
        work = copy(self)
        work.model = self.given
        return work

    def notes(self) -> tuple[str, ...]:
        """What sizes the example has, where the file leaves them open and nobody gave any."""
        return self._taken

    def save(self, path: Path, *, overwrite: bool) -> tuple[str, ...]:
        """Write the model, its weights beside it where they are too many for one file."""
        save(self.model, path, source=self._path, overwrite=overwrite)
        return ()

    def _read(self, sizes: Mapping[str, Sequence[int]]) -> Graph:
        return read_onnx(self.model, sizes=sizes)

    def _elsewhere_computed(self) -> Any:  # noqa: ANN401 - arrays by name
        """Constants, and shapes that are computed elsewhere in the model."""
        if self._values is None or self._values[0] is not self.model:
            self._values = (self.model, constants_and_shapes(self.model, self._sizes)[0])
        return self._values[1]

    def _variants(self) -> tuple[Variant, ...]:
        axes = open_axes_of_onnx(self.given, self._read(self._sizes))
        return variants(self._example(), open_axes=axes, seed=self._seed)

    def _example(self) -> list[Tensor]:
        """Random inputs of the sizes that are given, in order."""
        generator = torch.Generator().manual_seed(self._seed)
        return [
            example_tensor(entry, self._sizes[entry.name], generator) for entry in inputs_of(self.given.graph)
        ]

    def _elsewhere(self, graph: Graph) -> tuple[Graph, ...]:
        """The model read at other sizes, for what is given a size and not a scale."""
        if not any(isinstance(node.step, Resize) and not node.step.given for node in graph.nodes):
            return ()
        names = [entry.name for entry in inputs_of(self.model.graph)]
        found = []
        for variant in self._variants()[2:]:
            try:
                found.append(self._read(dict(zip(names, variant.sizes, strict=True))))
            except (OptionError, ShapeError):
                continue
        return tuple(found)


def _of_known_size(planned: Change | Left, graph: Graph) -> Change | Left:
    """A change, unless nothing says how large the map is with which its forms would be timed."""
    if isinstance(planned, Left) or planned.first in graph.shapes:
        return planned
    reason = "the size of the map that comes in is not known, so that no form can be tried on it"
    return Left(site=planned.site, codes=planned.codes, reason=reason)


def _call(session: Callable[[list[np.ndarray]], list[np.ndarray]], x: np.ndarray) -> Callable[[], Any]:
    return lambda: session([x])[0]


def _drawn(entry: "onnx.ValueInfoProto", shape: Sequence[int], seed: int) -> np.ndarray:
    return _array(example_tensor(entry, shape, torch.Generator().manual_seed(seed)))


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.numpy()
    return array
