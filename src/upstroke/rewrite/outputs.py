"""Turn an old and a new model into how far apart what they give is."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from upstroke.errors import OptionError
from upstroke.graph.onnx_run import need_onnxruntime
from upstroke.graph.torch import tensors_in
from upstroke.graph.torch_state import left_as_it_was

if TYPE_CHECKING:
    import onnx

__all__ = ["ChangedOutput", "changed_outputs", "of_module", "of_onnx"]


@dataclass(frozen=True, kw_only=True)
class ChangedOutput:
    """How far apart two versions of one output are.

    Attributes:
        name: of the output.
        relative: root mean square of the difference, relative to that of the old one; of one that was zero
            throughout, the root mean square itself.
        largest: absolute difference of any sample.
    """

    name: str
    relative: float
    largest: float


def changed_outputs(
    old: Callable[..., Mapping[str, Tensor]], new: Callable[..., Mapping[str, Tensor]], inputs: Sequence[Any]
) -> tuple[ChangedOutput, ...]:
    """Compare what two models make of the same inputs, output by output.

    Args:
        old: from inputs to outputs by name, as `of_module` and `of_onnx` make it.
        new: likewise.
        inputs: arguments of both.

    Raises:
        OptionError: they give other outputs, or an output of another shape.

    >>> double, more = (of_module(nn.Upsample(scale_factor=s)) for s in (2, 2))
    >>> changed_outputs(double, more, [torch.rand(1, 3, 5, 7)])
    (ChangedOutput(name='output', relative=0.0, largest=0.0),)
    """
    before, after = old(*inputs), new(*inputs)
    shapes = [{name: tuple(each.shape) for name, each in gave.items()} for gave in (before, after)]
    if shapes[0] != shapes[1]:
        said = f"{shapes[0]} and {shapes[1]}"
        msg = (
            f"both models must give outputs of the same shapes to be compared; got {said}; compare alike ones"
        )
        raise OptionError(msg)
    return tuple(_changed(name, before[name], after[name]) for name in before)


def of_module(module: nn.Module) -> Callable[..., dict[str, Tensor]]:
    """A module as a function to its outputs by name; it runs in evaluation mode and is left as it was."""

    def run(*inputs: Any) -> dict[str, Tensor]:  # noqa: ANN401 - whatever it takes
        with ExitStack() as stack:
            stack.enter_context(left_as_it_was(module, list(tensors_in(list(inputs)))))
            stack.enter_context(torch.no_grad())
            found = [tensor.clone() for tensor in tensors_in(module(*inputs))]
        single = len(found) == 1
        return {("output" if single else f"output {place}"): each for place, each in enumerate(found)}

    return run


def of_onnx(model: "onnx.ModelProto") -> Callable[..., dict[str, Tensor]]:
    """A model as a function, run by onnxruntime, from its inputs in order to its outputs by name.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """
    need_onnxruntime()
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [entry.name for entry in session.get_inputs()]
    outputs = [entry.name for entry in session.get_outputs()]

    def run(*inputs: Tensor) -> dict[str, Tensor]:
        given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        gave = zip(outputs, session.run(outputs, given), strict=True)
        return {name: torch.from_numpy(value.copy()) for name, value in gave if hasattr(value, "dtype")}

    return run


def _changed(name: str, before: Tensor, after: Tensor) -> ChangedOutput:
    old, new = before.detach().double(), after.detach().double()
    difference, reference = new - old, _root_mean_square(old)
    moved = _root_mean_square(difference)
    return ChangedOutput(
        name=name,
        relative=moved / reference if reference else moved,
        largest=float(difference.abs().max()) if difference.numel() else 0.0,
    )


def _root_mean_square(values: Tensor) -> float:
    return float(values.square().mean().sqrt()) if values.numel() else 0.0
