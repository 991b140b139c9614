"""Make changes by hand from what ONNX models hold, and run old and new models side by side."""

from functools import reduce

import numpy as np
import onnx
import onnxruntime
import torch

from upstroke.graph import commuted_pointwise, merged_resize, sites
from upstroke.graph.affine_of import affine_of
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import PixelShuffle
from upstroke.polyphase import Affine, compose_affine
from upstroke.rewrite.change import Change, Commuted, Shuffled, Together


def change_of(nodes, does, site, forms=("transposed",)):
    """A change of nodes in a row."""
    return Change(
        site=site,
        codes=("UP301",),
        nodes=tuple(nodes),
        first=nodes[0].inputs[0],
        last=nodes[-1].output,
        does=does,
        forms=forms,
        words="made by hand",
    )


def together(nodes, ndim, site):
    """Nodes in a row as one affine map, in float64."""
    stages = [affine_of(node.step, ndim=ndim) for node in nodes]
    affine = reduce(
        compose_affine, [Affine(operator=double(each.operator), bias=each.bias) for each in stages]
    )
    assert not any(side for sides in affine.operator.margin for side in sides)
    return change_of(nodes, Together(affine=affine), site)


def double(operator):
    from dataclasses import replace

    return replace(operator, taps=operator.taps.double())


def merged_changes(model, sizes=None):
    """Every nearest resize and the convolution behind it."""
    graph = read_onnx(model, sizes=sizes)
    found = []
    for site in sites(graph):
        merged = merged_resize(site, graph)
        if merged is not None:
            row = (merged.resize, *merged.between, merged.convolution)
            found.append(together(row, site.ndim, site.name))
    return found


def commuted_changes(model, sizes=None):
    """Every resize and the 1x1 convolution behind it."""
    graph = read_onnx(model, sizes=sizes)
    found = []
    for site in sites(graph):
        commuted = commuted_pointwise(site, graph)
        if commuted is not None:
            does = Commuted(convolution=commuted.convolution.step, resize=commuted.resize.step, bias=None)
            row = (commuted.resize, *commuted.between, commuted.convolution)
            found.append(change_of(row, does, site.name, ("commuted",)))
    return found


def shuffled_changes(model, sizes=None):
    """Every pixel shuffle that is spelled."""
    graph = read_onnx(model, sizes=sizes)
    return [
        change_of((node,), Shuffled(shuffle=node.step), node.name, ("depth to space",))
        for node in graph.nodes
        if isinstance(node.step, PixelShuffle) and node.operator != "DepthToSpace"
    ]


def run_all(model, **inputs):
    """Every output by name, by ONNX Runtime; from a path or from memory."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    given = str(model) if not isinstance(model, onnx.ModelProto) else model.SerializeToString()
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    values = session.run(names, {name: np.asarray(x) for name, x in inputs.items()})
    return dict(zip(names, map(torch.from_numpy, values), strict=True))


def assert_in_order(model):
    """What the standard's own checker says of it, inference of all shapes included."""
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    rank = len(checked.graph.input[0].type.tensor_type.shape.dim)
    for entry in checked.graph.output:
        # made without a shape, which the checker takes for a fault
        if not entry.type.tensor_type.HasField("shape"):
            for _ in range(rank):
                entry.type.tensor_type.shape.dim.add()
    onnx.checker.check_model(checked, full_check=True)


def assert_alike(old, new, most=1e-6, **inputs):
    """Both models give the same, relative to the largest value."""
    before, after = run_all(old, **inputs), run_all(new, **inputs)
    assert list(before) == list(after)
    for name, expected in before.items():
        actual = after[name]
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        difference = float((actual.double() - expected.double()).abs().max())
        assert difference <= most * float(expected.double().abs().max()), (name, difference)
