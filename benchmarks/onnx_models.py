"""Turn the layer of a case into an ONNX model, operator by operator, as an exporter would at its best."""

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from benchmarks.cases import Case, Fixed
from benchmarks.layers import pytorchs

OPSET = 18
RESIZE = {
    "nearest": "nearest",
    "bilinear": "linear",
    "linear": "linear",
    "trilinear": "linear",
    "bicubic": "cubic",
}


def model(case: Case) -> onnx.ModelProto | None:
    """A model from "x" to "y", or None where ONNX has no operator for the layer."""
    if isinstance(case.layer, Fixed) and case.layer.mode == "bspline":
        return None
    module = pytorchs(case).eval()
    with torch.no_grad():
        shape = tuple(module(torch.zeros(case.shape)).shape)
    nodes: list[onnx.NodeProto] = []
    stored: list[onnx.TensorProto] = []
    layers = list(module) if isinstance(module, nn.Sequential) else [module]
    for place, layer in enumerate(layers):
        source = "x" if place == 0 else f"t{place}"
        target = "y" if place == len(layers) - 1 else f"t{place + 1}"
        _append(nodes, stored, layer, source, target, case.ndim)
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, case.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        stored,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def _append(
    nodes: list[onnx.NodeProto],
    stored: list[onnx.TensorProto],
    layer: nn.Module,
    source: str,
    target: str,
    ndim: int,
) -> None:
    def keep(name: str, values: torch.Tensor) -> str:
        stored.append(numpy_helper.from_array(values.detach().float().numpy(), f"{target}.{name}"))
        return f"{target}.{name}"

    def node(operator: str, *parameters: str, **attributes: object) -> None:
        nodes.append(helper.make_node(operator, [source, *parameters], [target], **attributes))

    match layer:
        case nn.Upsample():
            scales = keep("scales", torch.tensor([1.0, 1.0] + [float(layer.scale_factor)] * ndim))
            settings = {"mode": RESIZE[layer.mode], "cubic_coeff_a": -0.75}
            if layer.mode == "nearest":
                settings = {"mode": "nearest", "nearest_mode": "floor"}
            coordinates = "asymmetric" if layer.mode == "nearest" else "half_pixel"
            node("Resize", "", scales, coordinate_transformation_mode=coordinates, **settings)
        case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
            parameters = [keep(name, value) for name, value in layer.named_parameters()]
            node(
                "ConvTranspose",
                *parameters,
                kernel_shape=layer.kernel_size,
                strides=layer.stride,
                pads=[*layer.padding, *layer.padding],
                output_padding=layer.output_padding,
                group=layer.groups,
            )
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            parameters = [keep(name, value) for name, value in layer.named_parameters()]
            pads = [*layer.padding, *layer.padding]
            node("Conv", *parameters, kernel_shape=layer.kernel_size, strides=layer.stride, pads=pads)
        case nn.PixelShuffle():
            node("DepthToSpace", blocksize=layer.upscale_factor, mode="CRD")
        case nn.BatchNorm2d():
            names = ("weight", "bias", "running_mean", "running_var")
            node("BatchNormalization", *(keep(n, getattr(layer, n)) for n in names), epsilon=layer.eps)
        case nn.ReLU():
            node("Relu")
        case nn.Tanh():
            node("Tanh")
        case _:
            msg = f"no ONNX operator is known for {layer}"
            raise TypeError(msg)
