"""Build small ONNX models and run them by outsiders: ONNX Runtime, or ONNX's own reference."""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], name=f"the_{output}", **attributes)


def model(
    nodes,
    inputs,
    outputs=("y",),
    *,
    weights=None,
    opset=18,
    dtype=TensorProto.FLOAT,
    domains=(),
    functions=(),
):
    """A model whose inputs are given as name -> shape, its weights as name -> array."""
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=functions)


def run(built, **inputs):
    """The first output, by ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        built.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return torch.from_numpy(session.run(None, {name: x.numpy() for name, x in inputs.items()})[0])


def run_reference(built, **inputs):
    """The first output, by the reference that ONNX ships."""
    y = ReferenceEvaluator(built).run(None, {name: x.numpy() for name, x in inputs.items()})[0]
    return torch.from_numpy(np.ascontiguousarray(y))


def normal(seed, *shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
