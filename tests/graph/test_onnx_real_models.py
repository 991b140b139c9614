"""Real models are read as what they are known to be."""

import importlib.util
import re
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from onnx_models import normal
from tolerance import assert_same
from upstroke import upsample
from upstroke.errors import OptionError, ShapeError
from upstroke.graph import joins, sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import PixelShuffle, Resize, TransposedConvolution, Unread


@pytest.fixture(scope="module")
def dbnet() -> Path:
    """The text detector in the package rapidocr-onnxruntime, which is found without being imported."""
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    if found is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    return Path(found.submodule_search_locations[0]) / "models" / "ch_PP-OCRv4_det_infer.onnx"


@pytest.fixture
def espcn(data_dir) -> Path:
    return data_dir / "models" / "espcn" / "super_resolution.onnx"


def outputs_of(path, names, x):
    """What ONNX Runtime holds in between."""
    model = onnx.load(path)
    kept = {entry.name for entry in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in kept)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    found = session.run(list(names), {given.name: x.numpy()})
    return dict(zip(names, map(torch.from_numpy, found), strict=True))


def assert_sites_do_what_runs(path, graph, x):
    """Every site's layer, applied to the map that really comes in, gives the map that really goes out."""
    found = sites(graph)
    names = {name for site in found for name in (site.layer[0].inputs[0], site.node.output)}
    values = outputs_of(path, sorted(names), x)
    for site in found:
        y = upsample(values[site.layer[0].inputs[0]], site.affine())
        expected = values[site.node.output]
        assert site.size_out == tuple(expected.shape[2:])
        assert_same(y, expected)


def test_dbnet_has_eight_sites(dbnet):
    graph = read_onnx(str(dbnet))
    found = sites(graph)
    assert (graph.model, graph.inputs, len(found)) == (dbnet.name, ("x",), 8)
    resizes = [site.node.step for site in found if isinstance(site.node.step, Resize)]
    assert [step.scale[0] for step in resizes] == [2, 2, 2, 8, 4, 2]
    assert {(step.mode, step.coordinates, step.rounding) for step in resizes} == {
        ("nearest", "asymmetric", "floor")
    }
    grown = [site.node.step for site in found if isinstance(site.node.step, TransposedConvolution)]
    assert [(step.weight.shape[2:], step.stride) for step in grown] == [((2, 2), (2, 2))] * 2
    assert not [node for node in graph.nodes if isinstance(node.step, Unread)]
    assert {node.operator for node in graph.nodes} & {"Constant", "Shape"} == set()
    assert graph.shapes[graph.outputs[0]] == (None, 1, None, None)
    (merged,) = (join for join in joins(graph, found) if join.node.operator == "Concat")
    assert [site and site.node.step.scale for site in merged.sites] == [
        (8.0, 8.0),
        (4.0, 4.0),
        (2.0, 2.0),
        None,
    ]


def test_dbnet_sites_do_what_runs(dbnet):
    graph = read_onnx(dbnet, sizes=(1, 3, 64, 96))
    assert graph.shapes[graph.outputs[0]] == (1, 1, 64, 96)
    assert_sites_do_what_runs(dbnet, graph, normal(0, 1, 3, 64, 96))


def test_every_shape_is_the_one_that_runs(dbnet):
    graph = read_onnx(dbnet, sizes={"x": (1, 3, 64, 96)})
    names = [node.output for node in graph.nodes]
    for name, value in outputs_of(dbnet, names, normal(0, 1, 3, 64, 96)).items():
        assert graph.shapes[name] == tuple(value.shape)


def test_espcn_spells_a_pixel_shuffle(espcn):
    graph = read_onnx(espcn)
    (site,) = sites(graph)
    assert isinstance(site.node.step, PixelShuffle)
    assert (site.node.step.scale, site.node.step.source) == ((3, 3), None)
    assert site.operator == "Conv + Reshape–Transpose–Reshape"
    assert (site.size_in, site.size_out, site.ends) == ((224, 224), (672, 672), None)
    assert_sites_do_what_runs(espcn, graph, normal(0, 1, 1, 224, 224))


def test_sizes_that_do_not_fit_are_refused(dbnet, espcn):
    message = (
        "the model cannot take x = 1x3x321x321: the maps 1x96x21x21 and 1x96x22x22 do not meet at p2o.Add.248 (Add); "
        "give a size that all its strides divide"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        read_onnx(dbnet, sizes=(1, 3, 321, 321))
    message = "input 'input' takes Nx1x224x224; got 1x3x10x10"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        read_onnx(espcn, sizes={"input": (1, 3, 10, 10)})
    message = "sizes are given for inputs of the model, which are input; got one for 'x'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        read_onnx(espcn, sizes={"x": (1, 1, 224, 224)})


@pytest.mark.parametrize("size", [(3, 64, 96), (1, 64, 96, 3), (1, 3, 64, 96, 1)])
def test_the_rank_and_the_channels_are_held(dbnet, size):
    message = f"input 'x' takes Nx3x?x?; got {'x'.join(map(str, size))}"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        read_onnx(dbnet, sizes=size)
