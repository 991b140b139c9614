"""Turn an ONNX model into a function of arrays that ONNX Runtime computes, on one thread."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upstroke.errors import FileError, MissingExtraError
from upstroke.graph.onnx_file import MOST_BYTES, weight_bytes

if TYPE_CHECKING:
    import onnx

__all__ = ["Session", "session_of", "written_for_runtimes"]

# of weights: what protobuf can put in one message, less all the rest
LARGEST_MESSAGE = MOST_BYTES
# file, line and function of its source, before what is wrong
SOURCE = re.compile(r"\S*onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])")

Session = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def session_of(
    model: "onnx.ModelProto | Path", *, threads: int = 1, keep_memory: bool = True, optimised: bool = True
) -> Session:
    """A function that runs a model, by default with the optimisations that ONNX Runtime makes by itself.

    Args:
        model: in memory, or its file.
        threads: that it may use.
        keep_memory: whether it keeps memory from one run to the next, as it does by default.
        optimised: whether it makes the optimisations that it makes by default.

    Raises:
        FileError: ONNX Runtime cannot load the model.
        MissingExtraError: the package onnxruntime is not installed.

    >>> from onnx import parser
    >>> double = parser.parse_model('''<ir_version: 8, opset_import: ["" : 18]>
    ... net (float[2] x) => (float[2] y) { y = Add (x, x) }''')
    >>> session_of(double)([np.ones(2, np.float32)])
    [array([2., 2.], dtype=float32)]
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        msg = "running ONNX models needs the package onnxruntime; pip install 'upstroke[onnx]'"
        raise MissingExtraError(msg) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # a pool that spins takes the processor from whoever comes next
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = options.enable_mem_pattern = keep_memory
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # only what is fatal: the error itself says the rest
    options.log_severity_level = 4
    try:
        with written_for_runtimes(model) as given:
            session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        msg = f"the model must run in ONNX Runtime, which says: {_one_line(error)}"
        raise FileError(msg) from error
    names = [entry.name for entry in session.get_inputs()]

    # a sequence of tensors, which ONNX has too, comes as a list
    def run(arrays: Sequence[np.ndarray]) -> list[Any]:
        return list(session.run(None, dict(zip(names, arrays, strict=True))))

    return run


@contextmanager
def written_for_runtimes(model: "onnx.ModelProto | Path") -> Iterator[str | bytes]:
    """A model as runtimes take it: its bytes, or a file's name where it is one or is too large for bytes.

    >>> from onnx import helper
    >>> with written_for_runtimes(helper.make_model(helper.make_graph([], "empty", [], []))) as given:
    ...     type(given)
    <class 'bytes'>
    """
    if isinstance(model, Path):
        yield str(model)
    elif weight_bytes(model) <= LARGEST_MESSAGE:
        yield model.SerializeToString()
    else:
        # late, because it loads onnx
        from upstroke.rewrite.onnx_save import file_for_running

        with tempfile.TemporaryDirectory(prefix="upstroke-") as folder:
            yield str(file_for_running(model, Path(folder), most_bytes=LARGEST_MESSAGE))


def _one_line(error: Exception) -> str:
    # without where in its own source it failed
    said = SOURCE.sub("", " ".join(str(error).split()))
    return said.rstrip(".")[:200]
