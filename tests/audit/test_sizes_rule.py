"""Hold what UP203 says of models: which sizes work, examples, and why nothing could be tried."""

import pytest
import torch
from onnx import save
from torch import nn

from upstroke.audit import check
from upstroke.audit.sizes import sizes_that_break
from upstroke.audit.subjects import ModelReading
from upstroke.graph import Graph, sites
from upstroke.graph.sizes import Along, Failed, Sizes
from upstroke.graph.torch import record


class Sum(nn.Module):
    """Shrinks and grows a map, and adds the map to it."""

    def __init__(self, stride, *, margin=0):
        super().__init__()
        self.down = nn.MaxPool2d(stride)
        self.up = nn.Upsample(scale_factor=stride)
        self.margin = margin

    def forward(self, x):
        inner = x[..., self.margin :, :]
        return self.up(self.down(inner)) + inner


def judged(module, *size):
    report = check(module, torch.rand(1, 1, *size), select=["UP203"])
    return report.model.verdicts["UP203"], report


def test_the_period_is_the_measure_and_the_words_say_which_sizes_work():
    verdict, report = judged(Sum((4, 2)), 16, 10)
    assert (verdict.kind, verdict.measure) == ("finding", 4.0)
    assert verdict.words == (
        "the only sizes that work are multiples of 4 on axis 0, multiples of 2 on axis 1: 17x10 fails: The size of "
        "tensor a (16) must match the size of tensor b (17) at non-singleton dimension 2 (33 sizes tried on real inputs, "
        "from 16x10 up)"
    )
    (finding,) = report.findings
    assert (finding.site, finding.severity) == ("Sum", "error")
    assert report.as_json()["findings"][0]["measure"] == 4.0


def test_a_margin_shifts_the_multiples():
    verdict, _ = judged(Sum(4, margin=2), 18, 16)
    assert verdict.words.startswith(
        "the only sizes that work are 4k + 2 on axis 0, multiples of 4 on axis 1: "
    )


def test_sizes_that_come_out_as_others_are_examples():
    net = nn.Sequential(nn.MaxPool1d(4), nn.Upsample(scale_factor=8.0))
    report = check(net, torch.rand(1, 1, 16), select=["UP203"])
    verdict = report.model.verdicts["UP203"]
    assert verdict.words == (
        "the only sizes that come out right are multiples of 4: 17 comes out as 32 instead of 34 "
        "(17 sizes tried on real inputs, from 16 up)"
    )
    (along,) = report.as_json()["sizes"]["along"]
    assert along["changed"][0] == {"size": [17], "output": 0, "axis": 0, "came": 32, "due": 34.0}
    assert (along["period"], along["remainders"], along["right"]) == (4, [0], [16, 20, 24, 28, 32])


def test_models_that_take_every_size_are_ok():
    verdict, _ = judged(nn.Upsample(scale_factor=2.0), 5, 7)
    assert (verdict.kind, verdict.measure) == ("ok", 1.0)
    assert verdict.words == "every size works and comes out right: 20 sizes tried on real inputs, from 5x7 up"


def test_one_size_alone():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            if tuple(x.shape[2:]) != (6, 8):
                msg = "give 6x8;\nnothing else"
                raise ValueError(msg)
            return nn.functional.interpolate(self.down(x), scale_factor=2.0)

    verdict, report = judged(Fixed(), 6, 8)
    assert (verdict.kind, verdict.measure) == ("finding", None)
    assert verdict.words.startswith("no other size than 6x8 works: 7x8 fails: give 6x8 (")
    assert report.as_json()["sizes"]["along"][0]["period"] is None


def test_without_upsampling_nothing_is_tried():
    verdict, report = judged(nn.Conv2d(1, 1, 3, stride=2), 6, 8)
    assert (verdict.kind, verdict.words) == ("ok", "the model has no upsampling, so nothing was tried")
    assert report.as_json()["sizes"] is None


def test_nothing_is_tried_unless_the_rule_is_asked():
    report = check(nn.Upsample(scale_factor=2), torch.rand(1, 1, 4, 4), ignore=["UP203"])
    assert report.model.reading.sizes is None


def test_a_graph_by_itself_is_skipped():
    graph = record(nn.Upsample(scale_factor=2), [torch.rand(1, 1, 4, 4)])
    verdict = check(graph, select=["UP203"]).model.verdicts["UP203"]
    assert (verdict.kind, verdict.words) == (
        "skipped",
        "a graph by itself cannot be run at other sizes; give the module or the file",
    )


def test_what_could_not_be_tried_is_skipped_with_the_reason():
    verdict, report = judged(nn.Upsample(scale_factor=2), 1, 1)
    assert (verdict.kind, verdict.words) == ("skipped", "the input has one sample on every axis")
    assert report.as_json()["sizes"]["reason"] == verdict.words


def test_files_are_tried_by_shape_inference(tmp_path):
    from onnx import parser

    def model(height, width):
        return parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
            net (float[1, 1, {height}, {width}] x) => (float[1, 1, A, B] y) <float[4] s = {{1, 1, 2, 2}}> {{
                low = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
                up = Resize <coordinate_transformation_mode = "asymmetric", mode = "nearest"> (low, , s)
                [meet] y = Add (up, x)
            }}""")

    save(model("H", "W"), tmp_path / "open.onnx")
    verdict = check(tmp_path / "open.onnx", select=["UP203"]).model.verdicts["UP203"]
    assert verdict.words == (
        "the only sizes that work are multiples of 2 on every axis: 65x64 fails at meet: the maps 1x1x64x64 and 1x1x65x64 "
        "do not meet (21 sizes tried by shape inference, from 64x64 up)"
    )
    save(model(6, 8), tmp_path / "fixed.onnx")
    verdict = check(tmp_path / "fixed.onnx", select=["UP203"]).model.verdicts["UP203"]
    assert (verdict.kind, verdict.words) == (
        "ok",
        "the file fixes the size of its input at 6x8, so no other can come in",
    )


def said(*along, start=(8, 8)):
    net = nn.Upsample(scale_factor=2)
    graph: Graph = record(net, [torch.rand(1, 1, *start)])
    sizes = Sizes(start=start, along=along, how="by hand")
    return sizes_that_break(ModelReading(graph=graph, sites=sites(graph), sizes=sizes)).words


def searched(axes, right, *, period=None, remainders=(), tried=tuple(range(8, 20))):
    failed = tuple(Failed(size=(n, 8), error="no", place="") for n in tried if n not in right)[:3]
    return Along(axes=axes, tried=tried, right=right, period=period, remainders=remainders, failed=failed)


@pytest.mark.parametrize(
    ("along", "words"),
    [
        (
            [searched((0,), (8, 9, 12, 13, 16, 17), period=4, remainders=(0, 1)), searched((1,), tuple(range(8, 20)))],
            "the only sizes that work are those that leave 0 or 1 when divided by 4 on axis 0: ",
        ),
        (
            [searched((0,), (8, 9, 15)), searched((1,), (8,))],
            "the only sizes that work are 3 of 12 tried, without a period, on axis 0, 8 alone on axis 1: ",
        ),
        (
            [searched((0,), (8,)), searched((1,), (8,)), searched((0, 1), tuple(range(8, 16)), period=8, remainders=(0,))],
            "the only sizes that work are 8 alone on every axis, multiples of 8 where all axes grow alike: ",
        ),
        (
            [searched((0,), (8,)), searched((1,), tuple(range(8, 20)))],
            "no other size than 8 on axis 0 works: ",
        ),
    ],
)  # fmt: skip
def test_laws_are_put_into_words(along, words):
    assert said(*along).startswith(words)
