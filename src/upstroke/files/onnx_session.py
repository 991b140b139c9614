"""The content of an ONNX file becomes a function of tensors, which ONNX Runtime computes."""

from collections.abc import Callable

import torch
from torch import Tensor

from upstroke.axes import times
from upstroke.errors import BackendError, FileError, MissingExtraError, first_line

__all__ = ["NO_ONNX", "onnx_session"]

NO_ONNX = "ONNX models are read and run by onnx and onnxruntime; pip install 'upstroke[onnx]'"


def onnx_session(
    data: bytes, *, source: str, ranks: tuple[int, int], device: str = "cpu"
) -> Callable[[Tensor], Tensor]:
    """What runs an ONNX model of one input and one output on batches.

    Args:
        data: content of the file.
        source: its name, for messages.
        ranks: how many axes the input has, and the output.
        device: where it computes: "cpu", or "cuda" and what begins so.

    Raises:
        FileError: ONNX Runtime cannot run it, or it has other inputs and outputs.
        BackendError: ONNX Runtime has no such device.
        MissingExtraError: it is not installed.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(NO_ONNX) from error
    provider = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        msg = (
            f"ONNX Runtime as it is installed cannot compute on {device}; install onnxruntime-gpu, or use cpu"
        )
        raise BackendError(msg)
    options = onnxruntime.SessionOptions()
    # its warnings are for those who make it
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(data, options, providers=[provider])
    except Exception as error:  # its exceptions have no common type
        msg = f"ONNX Runtime cannot run {source}: {first_line(error)}; export it again"
        raise FileError(msg) from error
    ends = [(end.type, len(end.shape)) for end in (*session.get_inputs(), *session.get_outputs())]
    if ends != [("tensor(float)", rank) for rank in ranks]:
        got = ", ".join(f"{kind} of {rank} axes" for kind, rank in ends)
        wanted = " and ".join(map(str, dict.fromkeys(ranks)))
        msg = (
            f"{source} must have one input and one output, tensors of floats of {wanted} axes; got {got}; "
            "export it again"
        )
        raise FileError(msg)
    name = session.get_inputs()[0].name

    def run(batch: Tensor) -> Tensor:
        try:
            (answer,) = session.run(None, {name: batch.float().cpu().numpy()})
        except Exception as error:  # its exceptions have no common type
            msg = f"ONNX Runtime cannot run {source} on {times(batch.shape)}: {first_line(error)}; "
            msg += "export it again"
            raise FileError(msg) from error
        return torch.from_numpy(answer).to(batch.device)

    return run
