"""Turn an ONNX model into a graph."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.grown_by_products import with_products
from upstroke.graph.onnx_call import Call
from upstroke.graph.onnx_constants import Constants
from upstroke.graph.onnx_file import has_schema, model_from_file, model_from_memory, need_onnx, opset_versions
from upstroke.graph.onnx_loose import REASONS, Loose, is_fixed, loose_constants
from upstroke.graph.onnx_positions import others_of
from upstroke.graph.onnx_shapes import constants_and_shapes, inputs_of
from upstroke.graph.onnx_spellings import with_spelled
from upstroke.graph.onnx_steps import step_of
from upstroke.graph.phase_convolutions import with_phase_convolutions
from upstroke.graph.rearrange import with_shuffles
from upstroke.graph.steps import Concatenation, Join, Other, Product, Step, Unread

if TYPE_CHECKING:
    import onnx

__all__ = ["read_onnx"]

BODIES = {"If", "Loop", "Scan", "SequenceMap"}
# None of these makes a map larger along space; what a body has beside them might.
HARMLESS = """
    Abs Add And Cast CastLike Ceil Clip Constant Conv Div Dropout Elu Equal Erf Exp Floor GRU Gelu Gemm
    Greater GreaterOrEqual Identity LSTM LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max Min Mul
    Neg Not Or Pow RNN Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Shape Sigmoid Size
    Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Unsqueeze Where Xor
"""
UPSAMPLERS = ("ConvTranspose", "DepthToSpace", "Resize", "Upsample")


def read_onnx(
    source: "str | Path | onnx.ModelProto",
    *,
    sizes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
) -> Graph:
    """Read a model.

    Whatever depends on weights and sizes alone is computed while reading and is no node of the graph. Axes
    whose size is not known stay None, and what needs them is left unread, with the reason.

    Args:
        source: a path, or a model that onnx has loaded, which stays as it is.
        sizes: shapes of the inputs by name, or the shape of the only input.

    Raises:
        FileError: there is no such file, or it is no complete ONNX model.
        OptionError: sizes name no input of the model.
        ShapeError: the model cannot take these sizes.
        MissingExtraError: the package onnx is not installed.

    >>> from onnx import parser
    >>> text = '''<ir_version: 8, opset_import: ["" : 18]>
    ... twice (float[1, 3, 5, 7] x) => (float[1, 3, 10, 14] y) <float[4] s = {1, 1, 2, 2}>
    ... { y = Resize <coordinate_transformation_mode = "asymmetric"> (x, , s) }'''
    >>> graph = read_onnx(parser.parse_model(text))
    >>> [(node.operator, node.step.scale, graph.size(node.output)) for node in graph.nodes]
    [('Resize', (2.0, 2.0), (10, 14))]
    """
    need_onnx()
    if isinstance(source, str | Path):
        model, name = model_from_file(Path(source)), Path(source).name
    else:
        model, name = model_from_memory(source), source.graph.name
    constants, shapes = constants_and_shapes(model, sizes)
    entries = inputs_of(model.graph)
    inputs = tuple(entry.name for entry in entries)
    loose = loose_constants(model, constants)
    graph = Graph(
        model=name,
        source=f"ONNX, opset {opset_versions(model)['']}",
        nodes=tuple(_nodes(model, inputs, constants, shapes, loose)),
        inputs=inputs,
        outputs=tuple(entry.name for entry in model.graph.output),
        shapes=shapes,
        loose=_loose_nodes(model, loose),
        is_fixed=is_fixed(entries),
    )
    graph = with_shuffles(with_spelled(graph, model.graph.node, constants))
    return with_products(with_phase_convolutions(graph))


def _loose_nodes(model: "onnx.ModelProto", loose: Mapping[str, Loose]) -> dict[str, str]:
    """By what they give, the nodes whose weights are no plain numbers, each with the reason."""
    return {
        name: REASONS[loose[given]]
        for node in model.graph.node
        for given in node.input
        if loose.get(given) in REASONS
        for name in node.output
    }


def _nodes(
    model: "onnx.ModelProto",
    inputs: Sequence[str],
    constants: Constants,
    shapes: Mapping[str, Shape],
    loose: Mapping[str, Loose],
) -> Iterator[Node]:
    """The operations on what goes into the model; those on weights and sizes alone are left out."""
    versions = opset_versions(model)
    computed = set(inputs)
    taken: set[str] = set()
    laid = {node.output[0]: tuple(node.input) for node in _concatenations(model)}
    for proto in model.graph.node:
        reads = tuple(dict.fromkeys((*proto.input, *_captured(proto))))
        outputs = [name for name in proto.output if name]
        if proto.op_type in ("Shape", "Size") or not outputs or not computed & set(reads):
            continue
        computed |= set(outputs)
        call = Call(
            operator=proto.op_type,
            version=versions.get("", 1),
            attributes=_attributes(proto),
            inputs=tuple(proto.input),
            outputs=tuple(outputs),
            constants=constants,
            computed=computed,
            shapes=shapes,
            sized={name for name, why in loose.items() if why == "a size"},
            laid=laid,
        )
        step = _step(proto, call, versions)
        name = _unique(proto.name or f"{proto.op_type}:{outputs[0]}", outputs[0], taken)
        yield Node(
            name=name,
            operator=_operator(proto),
            inputs=_taken(step, call, reads),
            output=outputs[0],
            step=step,
        )
        for place, other in enumerate(outputs[1:], start=1) if proto.op_type == "Split" else ():
            name = _unique(f"{name}:{other}", other, taken)
            rest = others_of(call, place)
            yield Node(
                name=name,
                operator=_operator(proto),
                inputs=_taken(rest, call, reads),
                output=other,
                step=rest,
            )


def _concatenations(model: "onnx.ModelProto") -> "Iterator[onnx.NodeProto]":
    return (node for node in model.graph.node if node.op_type == "Concat" and node.output)


def _taken(step: Step, call: Call, reads: Sequence[str]) -> tuple[str, ...]:
    """The maps that a step takes: one, unless it is of several."""
    if isinstance(step, Join | Concatenation | Product):
        return call.maps
    if isinstance(step, Other | Unread):
        return tuple(each for each in reads if each in call.computed)
    return call.maps[:1]


def _step(proto: "onnx.NodeProto", call: Call, versions: dict[str, int]) -> Step:
    if not has_schema(proto, versions):
        return Unread(reason=f"{proto.domain or 'ai.onnx'}::{proto.op_type} is no operator of ONNX")
    if proto.domain not in ("", "ai.onnx"):
        return Other()
    if proto.op_type in BODIES:
        return _body(proto)
    return step_of(call)


def _body(proto: "onnx.NodeProto") -> Step:
    """What a node with bodies of its own is: not read, unless nothing in them could make a map larger."""
    inside, harmless = list(_inside(proto)), BODIES | set(HARMLESS.split())
    if all(node.op_type in harmless for node in inside):
        return Other()
    found = [f"{node.op_type} {node.name or node.output[0]}" for node in inside if node.op_type in UPSAMPLERS]
    named = f"; in it: {', '.join(found)}" if found else ""
    return Unread(reason=f"{proto.op_type} runs a body of its own, which is not looked into{named}")


def _inside(proto: "onnx.NodeProto") -> "Iterator[onnx.NodeProto]":
    """All nodes in the bodies of a node."""
    for attribute in proto.attribute:
        # 5 is a graph, 10 a list of them
        for body in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
            for node in body.node:
                yield node
                yield from _inside(node)


def _attributes(proto: "onnx.NodeProto") -> dict[str, Any]:
    """The attributes as Python values, with texts decoded."""
    from onnx import helper

    values = {
        each.name: helper.get_attribute_value(each) for each in proto.attribute if not each.ref_attr_name
    }
    return {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def _captured(proto: "onnx.NodeProto") -> Iterator[str]:
    """Names that the bodies of a node take from around it, among names of their own."""
    for attribute in proto.attribute:
        # 5 is a graph, 10 a list of them
        for body in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
            for node in body.node:
                yield from node.input
                yield from _captured(node)
            yield from (output.name for output in body.output)


def _operator(proto: "onnx.NodeProto") -> str:
    standard = proto.domain in ("", "ai.onnx")
    return proto.op_type if standard else f"{proto.domain}::{proto.op_type}"


def _unique(name: str, output: str, taken: set[str]) -> str:
    """The name, with that of the output behind it as often as it takes."""
    while name in taken:
        name = f"{name}:{output}"
    taken.add(name)
    return name
