"""A network becomes the content of an ONNX file, with metadata, which onnx's checker has passed."""

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from upstroke.errors import BackendError, MissingExtraError, UpstrokeError, first_line

__all__ = ["KEY", "OPSET", "difference_of", "onnx_bytes"]

# Has all operators that our networks need, 3-D pools of partial windows too; runtimes of 2022 read it.
OPSET = 18
# Under which name our words stand in a file's metadata.
KEY = "upstroke"
NO_ONNX = "ONNX files are written by onnx and compared by onnxruntime; pip install 'upstroke[onnx]'"


def onnx_bytes(
    network: nn.Module,
    example: Tensor,
    *,
    ends: tuple[str, str],
    free: tuple[Mapping[int, str], Mapping[int, str]],
    name: str,
    words: Mapping[str, Any],
    remedy: str,
) -> bytes:
    """Record a network as standard operators; what is needed to apply it goes into the file's metadata.

    Args:
        network: in evaluation mode, of one tensor that makes one tensor.
        example: what it is recorded on.
        ends: names of the input and of the output.
        free: names of their axes that may have other sizes than the example's, by number.
        name: of the graph.
        words: plain data, which stand as JSON under "upstroke".
        remedy: what to do where it cannot be recorded.

    Raises:
        BackendError: the network cannot be recorded.
        MissingExtraError: onnx is not installed.
    """
    return _described(_recorded(network, example, ends=ends, free=free, remedy=remedy), name, words)


def difference_of(wanted: Tensor, got: Tensor) -> float:
    """Largest difference over the largest value that was wanted; infinite where the shapes differ.

    >>> difference_of(torch.tensor([1.0, -4.0]), torch.tensor([2.0, -4.0]))
    0.25
    """
    if wanted.shape != got.shape:
        return float("inf")
    return float((wanted - got).abs().max() / wanted.abs().max().clamp(min=1e-30))


def _recorded(
    network: nn.Module,
    example: Tensor,
    *,
    ends: tuple[str, str],
    free: tuple[Mapping[int, str], Mapping[int, str]],
    remedy: str,
) -> bytes:
    # TODO(torch without this exporter): dynamo=True, which needs onnxscript
    try:
        # what it warns of is for those who write exporters, and on failure it prints a whole graph
        with (
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            file = Path(folder) / "network.onnx"
            torch.onnx.export(
                network,
                (example,),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=ends[:1],
                output_names=ends[1:],
                dynamic_axes={end: dict(axes) for end, axes in zip(ends, free, strict=True)},
            )
            return file.read_bytes()
    except ImportError as error:
        raise MissingExtraError(NO_ONNX) from error
    except UpstrokeError:
        raise
    except Exception as error:  # the exporter's exceptions have no common type
        msg = f"the network could not be recorded as ONNX: {first_line(error)}; {remedy}"
        raise BackendError(msg) from error


def _described(data: bytes, name: str, words: Mapping[str, Any]) -> bytes:
    """The file with metadata, passed by onnx's checker."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(NO_ONNX) from error
    model = onnx.load_model_from_string(data)
    onnx.helper.set_model_props(model, {KEY: json.dumps(dict(words))})
    model.producer_name = "upstroke"
    model.graph.name = name
    onnx.checker.check_model(model, full_check=True)
    written: bytes = model.SerializeToString()
    return written
