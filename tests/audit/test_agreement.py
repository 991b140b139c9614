"""Where grids say that real architectures join their maps, and where positions sent through them arrive."""

import importlib.util
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

import zoo
from upstroke.audit.geometry import TOLERANCE, geometry_record
from upstroke.graph import joins, sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_shadow import measured_onnx
from upstroke.graph.torch import record

# Why branches cannot be compared: attention mixes all positions, a map from elsewhere is counted on itself, and
# resizes whose corners are aligned leave branches at distances from sample to sample that are not the same.
ATTENTION, ELSEWHERE, SPACINGS = "attention", "different origins", "different spacings"
RECURRENT, TOKEN, CELL = (
    "a recurrent layer",
    "a token that stands beside the map",
    "aligned corners need at least 2",
)
UNPOOLED = "max_unpool2d grows"
REASONS = (ATTENTION, ELSEWHERE, SPACINGS, RECURRENT, TOKEN, CELL, UNPOOLED)

# Joins whose branches both sides place, and those with nothing to compare, by the reason.
WANTED = {
    "autoencoder_kl": (13, {ATTENTION: 2}),
    "unet2d": (17, {ATTENTION: 4}),
    "monai_basic_unet": (4, {}),
    "monai_basic_unet_3d_nontrainable": (0, {CELL: 1, SPACINGS: 3}),
    "monai_unet": (7, {}),
    "monai_dynunet": (3, {}),
    "monai_attention_unet": (6, {}),
    "monai_segresnet": (7, {}),
    "monai_vnet": (13, {}),
    "monai_quicknat": (18, {UNPOOLED: 4}),
    "speech_t5_hifi_gan": (4, {}),
    "sam_mask_decoder": (0, {ELSEWHERE: 4, ATTENTION: 8}),
    "swin2sr": (9, {ATTENTION: 2}),
    "vit_pose": (1, {ATTENTION: 1}),
    "depth_anything": (11, {ATTENTION: 4, SPACINGS: 3}),
    "encodec_decoder": (2, {RECURRENT: 1}),
    "dac": (55, {}),
    "univnet": (9, {ATTENTION: 4, ELSEWHERE: 1}),
    "segformer": (5, {ATTENTION: 4}),
    "upernet": (9, {}),
    "dpt": (11, {ATTENTION: 4, TOKEN: 4, SPACINGS: 3}),
    "dit_unpatchify": (1, {ATTENTION: 1}),
}  # fmt: skip


def compared(graph, measured):
    return geometry_record(graph, joins(graph, sites(graph)), measured)


def found_in(found):
    """How many joins were compared, and how many were not, by the reason."""
    reasons = [join["reason"] for join in found["joins"] if join["difference"] is None]
    kinds = Counter(next((each for each in REASONS if each in reason), reason) for reason in reasons)
    return sum(join["difference"] is not None for join in found["joins"]), dict(kinds)


def agree(found):
    """Every join and every output that can be compared sits where it was found."""
    for each in (*found["joins"], *found["outputs"]):
        assert each["agrees"] is not False, each
        assert "is not followed" not in (each["reason"] or ""), each
    for join in found["joins"]:
        if join["difference"] is not None:
            wide = zip(join["nominal"], join["measured"], strict=True)
            assert max(abs(said - seen) for said, seen in wide) <= TOLERANCE


def built(name):
    """The model, or a skip where something that it needs is not installed."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # what these packages say of themselves and each other while they are loaded
        warnings.simplefilter("ignore")
        try:
            return zoo.MODELS[name]()
        except ImportError as error:
            pytest.skip(str(error).splitlines()[0])


@pytest.mark.parametrize("name", WANTED)
def test_every_join_of_a_real_architecture_sits_where_positions_arrive(name):
    model = built(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = record(model.module, model.inputs, kwargs=model.keywords, geometry=True)
    found = compared(graph, graph.measured)
    agree(found)
    assert found_in(found) == WANTED[name]


def test_a_text_detector_joins_where_positions_arrive():
    package = importlib.util.find_spec("rapidocr_onnxruntime")
    if package is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    path = Path(package.submodule_search_locations[0]) / "models" / "ch_PP-OCRv4_det_infer.onnx"
    sizes = (1, 3, 96, 160)
    found = compared(read_onnx(path, sizes=sizes), measured_onnx(path, sizes=sizes))
    agree(found)
    assert found_in(found) == (36, {})
    assert found["outputs"][0]["difference"] <= TOLERANCE


def test_a_super_resolution_model_sits_where_positions_arrive(data_dir):
    path = data_dir / "models/espcn/super_resolution.onnx"
    found = compared(read_onnx(path), measured_onnx(path))
    assert [(each["nominal"], each["agrees"]) for each in found["outputs"]] == [([-1 / 3, -1 / 3], True)]


def test_a_generator_sits_where_positions_arrive():
    sizes = ((64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2), (64, 1, 4, 2))
    net = nn.Sequential(*(nn.ConvTranspose2d(into, out, k, s) for into, out, k, s in sizes))
    graph = record(net, [torch.rand(1, 64, 1, 1)], geometry=True)
    (output,) = compared(graph, graph.measured)["outputs"]
    # 3x3 cells grow from one, and positions are counted on these
    assert output["nominal"] == [-2.375, -2.375]
    assert output["agrees"]


# the exporter's own advice to use another one, which needs a package that no other test does
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)
@pytest.mark.parametrize("name", ["monai_attention_unet", "monai_basic_unet"])
def test_a_file_of_the_same_model_joins_in_the_same_places(name, tmp_path):
    model, path = built(name), tmp_path / "net.onnx"
    torch.onnx.export(model.module.eval(), model.inputs, path, dynamo=False)
    found = compared(read_onnx(path), measured_onnx(path))
    agree(found)
    assert found_in(found) == WANTED[name]
