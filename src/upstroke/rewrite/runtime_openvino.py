"""Turn an ONNX model into a function of arrays that OpenVINO computes, on one thread."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upstroke.errors import FileError, MissingExtraError
from upstroke.rewrite.runtime_onnxruntime import Session, written_for_runtimes

if TYPE_CHECKING:
    import onnx

__all__ = ["session_of"]


def session_of(model: "onnx.ModelProto | Path", *, threads: int = 1) -> Session:
    """A function that runs a model in float32, tuned for the time of one run.

    Args:
        model: in memory, or its file.
        threads: that it may use.

    Raises:
        FileError: OpenVINO cannot load the model.
        MissingExtraError: the package openvino is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        msg = "measuring for OpenVINO needs the package openvino; pip install openvino"
        raise MissingExtraError(msg) from error
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # a processor that has bfloat16 would use it by itself
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        with written_for_runtimes(model) as given:
            compiled = core.compile_model(core.read_model(given), "CPU", settings)
    except Exception as error:
        # what stands before these words is where in its source it failed
        said = " ".join(str(error).rpartition("FrontEnd API failed with ")[2].split()).rstrip(".")[:200]
        msg = f"the model must run in OpenVINO, which says: {said}"
        raise FileError(msg) from error
    request = compiled.create_infer_request()
    outputs = len(compiled.outputs)

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = request.infer(list(arrays), share_inputs=True)
        return [found[place] for place in range(outputs)]

    return run
