"""Turn a case into the others that compute it: PyTorch, torch.compile, ONNX Runtime, OpenVINO."""

import time
from collections.abc import Callable, Iterator

import onnx
import onnxruntime
import torch
from torch import Tensor

from benchmarks.cases import Case, Work
from benchmarks.contender import Contender, of_module, random_map
from benchmarks.layers import pytorchs
from benchmarks.onnx_models import model


def peers(case: Case, *, dtype: torch.dtype, work: Work, threads: int) -> Iterator[Contender]:
    """Everybody but us; the two inference engines only forward and in float32, which is all they can do."""
    for layout in case.layouts:
        yield of_module("PyTorch", pytorchs(case), case, dtype=dtype, layout=layout, work=work)
    # forward and backward takes longer to compile than all else together, and is done for whole nets only
    if (
        case.compiled
        and dtype == torch.float32
        and threads == 1
        and (work == "forward" or case.suite == "models")
    ):
        torch.compiler.reset()
        for layout in case.layouts:
            yield _compiled(case, dtype=dtype, layout=layout, work=work)
    if work == "forward" and dtype == torch.float32:
        made = model(case)
        if made is not None:
            yield _onnx_runtime(made, case, threads)
            yield _openvino(made, case, threads)


def _compiled(case: Case, *, dtype: torch.dtype, layout: str, work: Work) -> Contender:
    module = torch.compile(pytorchs(case), fullgraph=True, dynamic=False)
    contender = of_module("torch.compile", module, case, dtype=dtype, layout=layout, work=work)
    start = time.perf_counter()
    contender.call()
    return Contender(
        who=contender.who,
        layout=layout,
        computed=contender.computed,
        call=contender.call,
        seconds_to_compile=time.perf_counter() - start,
    )


def _onnx_runtime(made: onnx.ModelProto, case: Case, threads: int) -> Contender:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # a pool that spins takes the processor from whoever comes next
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = random_map(case.shape, torch.float32, "contiguous")

    def run_into(y: Tensor) -> Tensor:
        binding = session.io_binding()
        for bind, name, value in ((binding.bind_input, "x", x), (binding.bind_output, "y", y)):
            bind(name, "cpu", 0, 1, tuple(value.shape), value.data_ptr())  # 1: float32 in ONNX
        session.run_with_iobinding(binding)
        return y

    return _engine("ONNX Runtime", run_into, made)


def _openvino(made: onnx.ModelProto, case: Case, threads: int) -> Contender:
    # here and not above, so that the tests of the gate need no more than the package itself does
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(made.SerializeToString()),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # a processor that has bfloat16 would use it by itself
            "INFERENCE_PRECISION_HINT": "f32",
        },
    )
    request = compiled.create_infer_request()
    x = random_map(case.shape, torch.float32, "contiguous")

    def run_into(y: Tensor) -> Tensor:
        request.set_input_tensor(openvino.Tensor(x.numpy(), shared_memory=True))
        request.set_output_tensor(openvino.Tensor(y.numpy(), shared_memory=True))
        request.infer()
        return y

    return _engine("OpenVINO", run_into, made)


def _engine(who: str, run_into: Callable[[Tensor], Tensor], made: onnx.ModelProto) -> Contender:
    """The output is bound: the same memory each time, or fresh memory of PyTorch's allocator."""
    shape = [size.dim_value for size in made.graph.output[0].type.tensor_type.shape.dim]
    y = torch.empty(shape)
    return Contender(
        who=who,
        layout="contiguous",
        computed=lambda: {"y": run_into(torch.full(shape, float("nan")))},
        call=lambda: run_into(y),
        fresh=lambda: run_into(torch.empty(shape)),
    )
