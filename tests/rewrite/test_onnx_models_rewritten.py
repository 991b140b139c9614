"""Models that people have come out the same, at several sizes and batches, in every form that serves."""

import importlib.util
import warnings
from pathlib import Path

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onnx_changes import assert_alike
from onnx_models import normal
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_file import model_from_file
from upstroke.graph.onnx_shapes import constants_and_shapes
from upstroke.rewrite.change import Change
from upstroke.rewrite.changes import changes
from upstroke.rewrite.onnx import refusal, rewritten
from upstroke.rewrite.onnx_alone import alone

FORMS = ("transposed", "phases", "shuffle", "commuted", "depth to space")


def all_changes(model, size, others=()):
    elsewhere = [read_onnx(model, sizes=other) for other in others]
    found = changes(read_onnx(model, sizes=size), target="onnx", others=elsewhere)
    return [change for change in found if isinstance(change, Change)]


def assert_every_form(model, found, name, sizes, most=1e-6):
    """Every form does in the model what was there; the operators that the new models have, per form."""
    operators = {}
    for form in FORMS:
        chosen = [(change, form) for change in found if form in change.forms]
        if not chosen:
            continue
        assert [refusal(change, each, model) for change, each in chosen] == [None] * len(chosen)
        new = rewritten(model, chosen)
        onnx.checker.check_model(new, full_check=True)
        for field in ("input", "output"):
            assert getattr(new.graph, field) == getattr(model.graph, field)
        for place, size in enumerate(sizes):
            assert_alike(model, new, most, **{name: normal(place, *size).numpy()})
        operators[form] = {each.op_type for each in new.graph.node}
    return operators


def test_dbnet_before_its_sigmoid():
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    if found is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    folder = Path(found.submodule_search_locations[0]) / "models"
    model = model_from_file(folder / "ch_PP-OCRv4_det_infer.onnx")
    # noise is no text, so that what comes out is below what ONNX Runtime's sigmoid resolves, 1e-7
    last = next(each for each in model.graph.node if each.output[0] == model.graph.output[0].name)
    assert last.op_type == "Sigmoid"
    logits = onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, ["N", 1, None, None])
    model.graph.output[0].CopyFrom(logits)
    sizes = ((1, 3, 64, 96), (2, 3, 96, 32))
    every = all_changes(model, sizes[0])
    assert len(every) >= 2
    assert_every_form(model, every, "x", sizes)


def test_espcn_shuffles_by_one_node(data_dir):
    model = model_from_file(data_dir / "models" / "espcn" / "super_resolution.onnx")
    (change,) = all_changes(model, None)
    operators = assert_every_form(model, [change], "input", [(1, 1, 224, 224)], most=0.0)
    assert operators == {"depth to space": {"Conv", "Relu", "DepthToSpace"}}


class Decoder(nn.Module):
    """An encoder of two levels under every kind of upsampler, sizes taken from what comes in."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1, stride=2)
        self.b = nn.Conv2d(6, 8, 3, padding=1, stride=2)
        self.c = nn.Conv2d(8, 6, 3, padding=1)
        self.d = nn.Conv2d(12, 8, 1)
        self.t = nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.e = nn.Conv2d(4, 12, 3, padding=1)
        self.f = nn.Conv2d(3, 5, 3)
        self.reflect = nn.ReflectionPad2d(1)

    def forward(self, x):
        p = F.relu(self.a(x))
        q = F.relu(self.b(p))
        u = F.relu(self.c(F.interpolate(q, size=p.shape[2:], mode="nearest")))
        v = F.interpolate(torch.cat([u, p], 1), scale_factor=2, mode="bilinear")
        w = F.relu(self.bn(self.t(F.relu(self.d(v)))))
        z = self.e(w)
        n, _, h, k = z.shape
        z = z.view(n, 3, 2, 2, h, k).permute(0, 1, 4, 2, 5, 3).reshape(n, 3, 2 * h, 2 * k)
        return self.f(self.reflect(F.interpolate(torch.tanh(z), scale_factor=2))), z


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """As the exporter that follows a trace writes it."""
    torch.manual_seed(0)
    net = Decoder().eval()
    net.bn.running_mean.normal_()
    net.bn.running_var.uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("exported") / "decoder.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.randn(2, 3, 16, 24),),
            path,
            dynamo=False,
            opset_version=17,
            dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}},
            input_names=["x"],
            output_names=["y", "z"],
        )
    return model_from_file(path)


DECODED = ((2, 3, 16, 24), (1, 3, 20, 28), (3, 3, 8, 12))


def test_an_exported_decoder_keeps_its_open_axes(decoder):
    every = all_changes(decoder, DECODED[0], DECODED[1:])
    assert [change.site for change in every] == [
        "/Resize",
        "/Resize_1",
        "/t/ConvTranspose",
        "/Reshape_1",
        "/Resize_2",
    ]
    operators = assert_every_form(decoder, every, "x", DECODED)
    # computations of shapes that only replaced nodes needed are gone with them
    best = rewritten(decoder, [(change, change.forms[0]) for change in every])
    assert {each.op_type for each in best.graph.node} == {
        "Concat", "Constant", "Conv", "ConvTranspose", "DepthToSpace", "Pad", "Relu", "Resize", "Tanh",
    }  # fmt: skip
    assert "Resize" in operators["transposed"]
    # once more there is nothing to do but what the first round made possible
    again = rewritten(best, [])
    assert again.SerializeToString(deterministic=True) == best.SerializeToString(deterministic=True)


def test_every_change_of_the_decoder_alone(decoder):
    graph = read_onnx(decoder, sizes=DECODED[0])
    values = constants_and_shapes(decoder, DECODED[0])[0]
    for change in all_changes(decoder, DECODED[0], DECODED[1:]):
        size = graph.shapes[change.first]
        now = alone(decoder, change, None, sizes=size, values=values)
        for form in change.forms:
            then = alone(decoder, change, form, sizes=size, values=values)
            assert_alike(now, then, **{change.first: normal(0, *size).numpy()})
