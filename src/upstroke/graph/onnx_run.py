"""Turn an ONNX file into a function of tensors that runs it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from upstroke.errors import FileError, MissingExtraError, OptionError
from upstroke.graph.form import Shape

__all__ = ["need_onnxruntime", "runnable_file"]

_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(int64)": torch.int64,
    "tensor(int32)": torch.int32,
    "tensor(int16)": torch.int16,
    "tensor(int8)": torch.int8,
    "tensor(uint8)": torch.uint8,
    "tensor(bool)": torch.bool,
}


def need_onnxruntime() -> None:
    """Refuse before any work what needs onnxruntime.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped] # noqa: F401
    except ImportError as error:
        msg = "running an ONNX file needs the package onnxruntime; pip install 'upstroke[onnx]'"
        raise MissingExtraError(msg) from error


def runnable_file(
    path: Path, shapes: Mapping[str, Shape], *, seed: int
) -> tuple[Callable[..., dict[str, Tensor]], list[Tensor]]:
    """A function that runs the file by onnxruntime, and an example of each of its inputs, in order.

    Args:
        path: of the model.
        shapes: of its inputs, by name; an open first axis, the batch, is taken as 1.
        seed: of the examples: normally distributed, or zeros where the type is no floating one.

    Raises:
        FileError: onnxruntime cannot load the file.
        MissingExtraError: onnxruntime is not installed.
        OptionError: the size of an input is not known, or its type is none that a tensor has.
    """
    need_onnxruntime()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # only what is fatal: the error itself says the rest
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        said = " ".join(str(error).split()).rstrip(".")[:200]
        msg = f"to be probed a file must run in onnxruntime; {path} does not: {said}"
        raise FileError(msg) from error
    names = [entry.name for entry in session.get_inputs()]
    outputs = [entry.name for entry in session.get_outputs()]
    generator = torch.Generator().manual_seed(seed)
    examples = [
        _example(entry.name, entry.type, shapes.get(entry.name), generator) for entry in session.get_inputs()
    ]

    def model(*tensors: Tensor) -> dict[str, Tensor]:
        given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        answers = zip(outputs, session.run(outputs, given), strict=True)
        # sequences and maps of other kinds are no tensors
        return {name: torch.from_numpy(value.copy()) for name, value in answers if hasattr(value, "dtype")}

    return model, examples


def _example(name: str, kind: str, shape: Shape | None, generator: torch.Generator) -> Tensor:
    if kind not in _TYPES:
        msg = f"a file must take tensors of numbers to be probed; input {name!r} is {kind}"
        raise OptionError(msg)
    sizes = None if shape is None else tuple(1 if i == 0 and n is None else n for i, n in enumerate(shape))
    if sizes is None or None in sizes:
        known = "?" if shape is None else "x".join("?" if n is None else str(n) for n in shape)
        msg = f"a file must be given the size of every input to be probed; {name!r} is {known}; give its size"
        raise OptionError(msg)
    whole = tuple(n for n in sizes if n is not None)
    dtype = _TYPES[kind]
    if dtype.is_floating_point:
        return torch.randn(whole, generator=generator).to(dtype)
    return torch.zeros(whole, dtype=dtype)
