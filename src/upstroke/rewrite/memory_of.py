"""Turn a model's file and its inputs into the bytes that a run takes, in a process of its own.

`upstroke.rewrite.memory` starts this file by its path: python -P memory_of.py RUNTIME MODEL INPUTS.
"""

import ctypes
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

    from upstroke.rewrite.runtime_onnxruntime import Session

__all__: list[str] = []


def main() -> None:
    """Print the bytes as JSON."""
    runtime, model, inputs = sys.argv[1:]
    with np.load(inputs) as file:
        arrays = [file[name] for name in file.files]
    # what the runtime itself loads the first time a model runs is not the model's
    _session(runtime, _smallest())([np.zeros((1, 1, 3, 3), np.float32)])
    _forget()
    before = _kilobytes("VmRSS")
    session = _session(runtime, Path(model))
    for _ in range(2):
        session(arrays)
    _forget()
    # 5 sets the high-water mark back to what is resident now
    Path("/proc/self/clear_refs").write_text("5")
    found = session(arrays)
    peak = _kilobytes("VmHWM") - before
    del found
    sys.stdout.write(json.dumps(1024 * max(peak, 0)))


def _without_front_doors() -> None:
    """Let modules be imported without what their packages offer, which loads PyTorch and takes seconds."""
    folder = Path(__file__).parents[1]
    for name in ("upstroke", "upstroke.graph", "upstroke.rewrite"):
        package = ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


def _session(runtime: str, model: "onnx.ModelProto | Path") -> "Session":
    from upstroke.rewrite import runtime_onnxruntime, runtime_openvino

    if runtime == "openvino":
        return runtime_openvino.session_of(model)
    return runtime_onnxruntime.session_of(model, keep_memory=False)


def _smallest() -> "onnx.ModelProto":
    from onnx import parser

    text = """<ir_version: 8, opset_import: ["" : 18]> net (float[1, 1, 3, 3] x) => (float[1, 1, 3, 3] y)
    <float[1, 1, 1, 1] w = {1}> { y = Conv (x, w) }"""
    return parser.parse_model(text)


def _forget() -> None:
    """Give free memory back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    _without_front_doors()
    main()
