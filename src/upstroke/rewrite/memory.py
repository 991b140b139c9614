"""Turn a model and its inputs into the most memory that one run of it takes."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from upstroke.graph.torch import tensors_in
from upstroke.graph.torch_state import left_as_it_was, memory_of, own_tensors
from upstroke.rewrite.runtime_onnxruntime import written_for_runtimes

if TYPE_CHECKING:
    import onnx

__all__ = ["Memory", "peak_of_module", "peak_of_onnx"]

Runtime = Literal["onnxruntime", "openvino"]

OF_TENSORS = (
    "tensors alive at once in one run, without weights and inputs, and without what an operator needs within"
)
OF_A_PROCESS = "a process that does nothing else, weights and maps together, beyond what the runtime needs"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The most memory that a run takes at a time.

    Attributes:
        bytes: how much; None where it could not be measured.
        how: of what these are the bytes, or why there are none, in words.
    """

    bytes: int | None
    how: str


def peak_of_module(
    module: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any] | None = None
) -> Memory:
    """The bytes of all tensors that are alive at once, at the worst moment of one run in evaluation mode.

    >>> net = nn.Sequential(nn.Upsample(scale_factor=2), nn.ReLU())
    >>> peak_of_module(net, [torch.ones(1, 1, 4, 4)]).bytes  # two maps of 64 numbers
    512
    """
    module, given = getattr(module, "_orig_mod", module), dict(keywords or {})
    tensors = list(tensors_in([list(inputs), given]))
    with left_as_it_was(module, tensors) as originals, torch.no_grad():
        for tensor in (*module.buffers(), *tensors):
            originals.before_writing(tensor)
        with _Alive([*own_tensors(module.modules()), *tensors]) as alive:
            module(*inputs, **given)
    return Memory(bytes=alive.peak, how=OF_TENSORS)


def peak_of_onnx(
    model: "onnx.ModelProto | Path", arrays: Sequence[np.ndarray], *, runtime: Runtime, seconds: float = 60.0
) -> Memory:
    """The memory that a process of its own needs at the worst moment of one run of a model.

    The process loads the model and runs it, so that all that stays is there, and then once more. ONNX Runtime
    keeps no memory from one run to the next meanwhile, so that what it takes ahead is not counted.

    Args:
        model: in memory, or its file.
        arrays: inputs, in order.
        runtime: by which it is run.
        seconds: that the process may take.
    """
    if not Path("/proc/self/clear_refs").exists():
        return Memory(bytes=None, how="this system does not say how much memory a run takes")
    with tempfile.TemporaryDirectory(prefix="upstroke-") as folder, written_for_runtimes(model) as given:
        path, inputs = Path(folder) / "model.onnx", Path(folder) / "inputs.npz"
        np.savez(inputs, *arrays)
        if isinstance(given, bytes):
            path.write_bytes(given)
        # without its folder on the path, where a module of ours is called onnx
        command = [sys.executable, "-P", str(Path(__file__).with_name("memory_of.py")), runtime]
        command += [str(given) if isinstance(given, str) else str(path), str(inputs)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return Memory(bytes=None, how=f"measuring it took more than {seconds:g} s")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        return Memory(bytes=None, how=f"the process that measures it failed: {said[:200]}")
    return Memory(bytes=int(json.loads(done.stdout)), how=OF_A_PROCESS)


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that are made inside and still held, after every operator."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._known = {memory_of(tensor) for tensor in known}
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        # what nothing holds any more went before this operator began
        for place in [place for place, (ref, _) in self._held.items() if ref.expired()]:  # type: ignore[no-untyped-call]
            del self._held[place]
        for tensor in tensors_in(result):
            place = memory_of(tensor)
            if place not in self._known and place not in self._held:
                storage = tensor.untyped_storage()
                self._held[place] = (StorageWeakRef(storage), storage.nbytes())  # type: ignore[no-untyped-call]
        self.peak = max(self.peak, sum(size for _, size in self._held.values()))
        return result
