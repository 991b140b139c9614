"""Hold what is found in three models people really have, against what their layers do when they are run."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import onnx
import onnx.utils
import onnxruntime
import pytest
import torch
from torch import nn

from upstroke.audit import check
from upstroke.graph.onnx import read_onnx
from upstroke.graph.torch import record
from upstroke.probe import measured_bias, measured_phase_gain

LATENT = torch.randn(1, 64, 1, 1, generator=torch.Generator().manual_seed(0))


def text_detector():
    """The DBNet that rapidocr-onnxruntime ships, found without importing the package."""
    place = importlib.util.find_spec("rapidocr_onnxruntime")
    assert place is not None
    assert place.origin is not None
    return Path(place.origin).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"


@pytest.fixture
def digits(data_dir):
    """The MNIST generator with its trained weights."""
    sizes = ((64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2), (64, 1, 4, 2))
    blocks = []
    for place, (into, out, kernel, stride) in enumerate(sizes):
        grow = nn.ConvTranspose2d(into, out, kernel, stride)
        blocks.append(
            nn.Sequential(grow, nn.Tanh())
            if place == 3
            else nn.Sequential(grow, nn.BatchNorm2d(out), nn.ReLU())
        )
    net = nn.Sequential()
    net.add_module("gen", nn.Sequential(*blocks))
    net.load_state_dict(torch.load(data_dir / "models/dcgan_mnist/generator.pth", weights_only=True))
    return net.eval()


def levels(fn, scale, channels, *, cells=None):
    """Loudest image of a constant and of the biases, measured on what a callable makes of constants."""
    gains = measured_phase_gain(fn, scale, channels=channels, cells=cells, dtype=torch.float32)
    bias = measured_bias(fn, scale, channels=channels, cells=cells, dtype=torch.float32)
    axes = tuple(range(len(scale)))
    images = torch.fft.fftn(gains.reshape(*scale, -1).to(torch.complex128), dim=axes).norm(dim=-1).flatten()
    added = torch.fft.fftn(bias.reshape(*scale, -1).to(torch.complex128), dim=axes).norm(dim=-1).flatten()
    # what is left of a flat answer in float32 is no pattern
    floor = 1e-6 * images[0]
    return [
        20 * math.log10(float(each[1:].max() / images[0]))
        if each[1:].numel() and each[1:].max() > floor
        else -math.inf
        for each in (images, added)
    ]


def piece(path, first, last):
    """The part of an ONNX model between two maps, as a callable."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    part = onnx.utils.Extractor(model).extract_model([first], [last])
    for value in (*part.graph.input, *part.graph.output):
        # any batch: the extracted types are those of one example
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].Clear()
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(np.asarray(session.run([last], {first: x.numpy()})[0]))


def assert_heard(found, fn, *, channels, cells=None):
    """What the audit says of a chain is what is heard when constants go through the real layers."""
    scale = found.scale
    for said, heard in zip(
        (found.worst, found.worst_bias), levels(fn, scale, channels, cells=cells), strict=True
    ):
        assert float(said) == pytest.approx(heard, abs=0.02)


def found_by(report, *codes):
    """Codes and sites of the findings of these rules, in order."""
    return [(each.rule.code, each.site) for each in report.findings if each.rule.code in codes]


PATTERNS = ("UP101", "UP102", "UP105")


def test_text_detector_sites():
    report = check(text_detector(), (1, 3, 320, 320))
    found = [(each.reading.site.node.operator, each.reading.site.size_in) for each in report.sites]
    sizes = [10, 20, 40, 10, 20, 40]
    assert found == [("Resize", (n, n)) for n in sizes] + [
        ("ConvTranspose", (80, 80)),
        ("ConvTranspose", (160, 160)),
    ]
    assert found_by(report, *PATTERNS) == [
        ("UP102", "p2o.ConvTranspose.0"),
        ("UP105", "p2o.ConvTranspose.0"),
        ("UP102", "p2o.ConvTranspose.2"),
        ("UP105", "p2o.ConvTranspose.2"),
    ]
    uneven = [name for _, name in found_by(report, "UP103")]
    assert uneven == [f"p2o.Conv.{place}" for place in (0, 3, 7, 11, 21)]
    grown = [join.reading.branching for join in report.joins if any(join.reading.branching.sites)]
    assert [len(branching.branches) for branching in grown] == [2, 2, 2, 4]
    assert all(branching.reason == "" for branching in grown)


@pytest.mark.parametrize("place", range(8))
def test_text_detector_is_heard_as_it_is_said(place):
    reading = check(text_detector(), (1, 3, 320, 320)).sites[place].reading
    site, channels = reading.site, 24 if place > 5 else 96 if place < 3 else 24
    layer = piece(text_detector(), site.layer[0].inputs[0], site.node.output)
    assert_heard(reading.own, layer, channels=channels, cells=5)
    chain = piece(text_detector(), site.chain[0].inputs[0], site.chain[-1].output)
    assert_heard(reading.chain, chain, channels=channels, cells=5)


def test_super_resolution_is_heard_as_it_is_said(data_dir):
    path = data_dir / "models/espcn/super_resolution.onnx"
    report = check(path)
    (judged,) = report.sites
    reading = judged.reading
    assert reading.site.operator == "Conv + Reshape–Transpose–Reshape"
    assert (reading.scale, reading.channels) == ((3, 3), (32, 1))
    assert [code for code, _ in found_by(report, *PATTERNS)] == ["UP102", "UP105"]
    whole = piece(path, reading.site.layer[0].inputs[0], reading.site.node.output)

    def one_by_one(x):
        return torch.cat([whole(each[None]) for each in x])

    assert_heard(reading.own, one_by_one, channels=32, cells=224)


def test_digits_sites(digits):
    report = check(digits, LATENT)
    assert [each.reading.site.name for each in report.sites] == [f"gen.{place}.0" for place in range(4)]
    assert [each.reading.site.size_out for each in report.sites] == [(3, 3), (6, 6), (13, 13), (28, 28)]
    assert found_by(report, *PATTERNS) == [
        ("UP101", "gen.2.0"),
        ("UP102", "gen.2.0"),
        ("UP102", "gen.3.0"),
        ("UP105", "gen.3.0"),
    ]
    first = report.sites[0].verdicts["UP101"]
    assert (first.kind, first.note) == ("ok", True)
    assert "no pattern can form" in first.words
    assert report.sites[2].reading.covered.counts.tolist() == [[4, 2], [2, 1]]


@pytest.mark.parametrize("place", range(4))
def test_digits_are_heard_as_they_are_said(digits, place):
    reading = check(digits, LATENT).sites[place].reading
    block = digits.gen[place]
    assert_heard(reading.own, block[0], channels=block[0].in_channels)
    assert_heard(reading.chain, block[:-1], channels=block[0].in_channels)


def test_the_same_model_reads_alike_from_both_sources(digits):
    """A file written by hand from the module's own weights has the module's findings."""
    tensors, nodes, ahead = [], [], "x"
    for place, block in enumerate(digits.gen):
        grow = block[0]
        for name in ("weight", "bias"):
            tensors.append(
                onnx.numpy_helper.from_array(getattr(grow, name).detach().numpy(), f"{name}{place}")
            )
        nodes.append(
            onnx.helper.make_node(
                "ConvTranspose", [ahead, f"weight{place}", f"bias{place}"], [f"up{place}"], name=f"gen.{place}.0",
                strides=list(grow.stride), kernel_shape=list(grow.kernel_size),
            )
        )  # fmt: skip
        ahead = f"up{place}"
        if len(block) == 3:
            norm = block[1]
            values = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            names = [f"norm{place}.{part}" for part in range(4)]
            tensors += [
                onnx.numpy_helper.from_array(value.detach().numpy(), name)
                for value, name in zip(values, names, strict=True)
            ]
            nodes.append(
                onnx.helper.make_node("BatchNormalization", [ahead, *names], [f"n{place}"], epsilon=norm.eps)
            )
            ahead = f"n{place}"
        kind = "Relu" if len(block) == 3 else "Tanh"
        nodes.append(onnx.helper.make_node(kind, [ahead], [f"y{place}"]))
        ahead = f"y{place}"
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "digits", [value("x", 1, ["n", 64, 1, 1])], [value(ahead, 1, None)], tensors
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    written = check(read_onnx(model)).as_json()["sites"]
    recorded = check(record(digits, (LATENT,))).as_json()["sites"]
    for one, two in zip(written, recorded, strict=True):
        for key in (
            "name",
            "words",
            "coverage",
            "size_in",
            "size_out",
            "strang_fix_order",
            "grid",
            "trained",
        ):
            assert one[key] == two[key]
        assert one["pattern_db"] == pytest.approx(two["pattern_db"], abs=1e-4)
        kinds = [{code: each["verdict"] for code, each in site["verdicts"].items()} for site in (one, two)]
        assert kinds[0] == kinds[1]
