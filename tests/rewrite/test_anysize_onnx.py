"""Hold ONNX models of any size to onnxruntime, at sizes that worked and at all others."""

import functools
import importlib.util
from fractions import Fraction
from pathlib import Path

import onnx
import pytest
import torch
from onnx import checker, parser

from onnx_models import run
from upstroke.audit import check
from upstroke.graph import onnx_file
from upstroke.graph.onnx import read_onnx
from upstroke.rewrite.anysize import AxisSizes, Cut, Padding
from upstroke.rewrite.anysize_onnx import any_size_onnx, write_padding
from upstroke.rewrite.verify_onnx import runner

ROOM = "<float[4] s = {1, 1, 2, 2}, float[8] roi = {0, 0, 0, 0, 1, 1, 1, 1}>"
LADDER = """<ir_version: 8, opset_import: ["" : %d]>
net (float[N, 2, H, W] x, float[N, 2, H, W] z) => (float[N, 2, H, W] y, float[N, 2, P, Q] low) %s
{ a = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
  low = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)
  b = Resize <coordinate_transformation_mode = "asymmetric"> (low, roi, s)
  c = Add (b, a)
  d = Resize <coordinate_transformation_mode = "asymmetric"> (c, roi, s)
  y = Add (d, z) }"""


def ladder(version=18):
    return parser.parse_model(LADDER % (version, ROOM))


@functools.cache
def padded_ladder():
    """Trying its sizes takes longer than each law that is held of what comes out."""
    return any_size_onnx(ladder()).model


@pytest.mark.parametrize("version", [11, 12, 13, 18])
def test_a_ladder_takes_any_size(version):
    built = ladder(version)
    before = built.SerializeToString()
    found = any_size_onnx(built)
    assert found.words == (
        "inputs are padded to multiples of 4 and outputs cut to what their true size promises"
    )
    assert built.SerializeToString() == before
    checker.check_model(found.model)
    for size in ((4, 8), (12, 4)):
        x, z = torch.rand(2, 2, *size), torch.rand(2, 2, *size)
        for name, y in runner(found.model)(x, z).items():
            assert torch.equal(y, runner(built)(x, z)[name])
    for height, width in ((1, 1), (7, 12), (9, 13)):
        x, z = torch.rand(1, 2, height, width), torch.rand(1, 2, height, width)
        y, low = runner(found.model)(x, z).values()
        padded = [
            torch.nn.functional.pad(each, (0, -width % 4, 0, -height % 4), mode="replicate")
            for each in (x, z)
        ]
        wanted, lower = runner(built)(*padded).values()
        assert torch.equal(y, wanted[..., :height, :width])
        assert torch.equal(low, lower[..., : -(-height // 4), : -(-width // 4)])


def test_names_and_operators_are_those_of_onnx():
    model = padded_ladder()
    assert [entry.name for entry in model.graph.input] == ["x", "z"]
    assert [entry.name for entry in model.graph.output] == ["y", "low"]
    assert {node.domain for node in model.graph.node} == {""}
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Pad") == 2
    assert kinds.count("Slice") == 2
    names = [node.name for node in model.graph.node if node.name]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("size", [None, (1, 2, 16, 20), (1, 2, 17, 21)])
def test_a_check_reads_it_at_any_size(tmp_path, size):
    old, new = tmp_path / "old.onnx", tmp_path / "any.onnx"
    onnx.save(ladder(), old)
    onnx.save(padded_ladder(), new)
    # the old one takes no other sizes
    whole = None if size is None else (1, 2, 16, 20)
    before = check(old, whole and dict.fromkeys("xz", whole), ignore=["UP203"])
    after = check(new, size and dict.fromkeys("xz", size))
    assert after.model.verdicts["UP203"].kind == "ok"
    assert [judged.reading.reason for judged in after.sites] == ["", ""]
    found = [[(each.rule.code, each.site) for each in report.findings] for report in (before, after)]
    assert found[0] == found[1] != []


def test_what_takes_all_sizes_is_left():
    assert any_size_onnx(padded_ladder()).words == "every size that was tried works as it is"


def test_sizes_between_and_too_small_ones_are_padded():
    built = parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
    net (float[1, 2, L] x) => (float[1, 2, M] y) <float[3] s = {1, 1, 2}, int64[6] p = {0, 0, 3, 0, 0, 3}>
    { a = AveragePool <kernel_shape = [3]> (x)
      b = MaxPool <kernel_shape = [2], strides = [2]> (a)
      b2 = AveragePool <kernel_shape = [3]> (b)
      c = Resize <coordinate_transformation_mode = "asymmetric"> (b2, , s)
      q = Constant <value = int64[6] {0, 0, -2, 0, 0, -2}> ()
      d = Pad (a, q)
      y = Add (c, d) }""")
    found = any_size_onnx(built)
    assert found.words.startswith("inputs are padded to multiples of 2 from 8 and outputs")
    for n in (7, 8, 9, 20):
        assert run(found.model, x=torch.rand(1, 2, n)).shape[-1] == n - 6
    x = torch.rand(1, 2, 8)
    assert torch.equal(run(found.model, x=x), run(built, x=x))
    # of so few samples nothing is due
    assert run(found.model, x=torch.rand(1, 2, 3)).shape[-1] == 0


@pytest.mark.parametrize(("version", "least"), [(11, 9), (18, 9), (18, 2)])
def test_several_remainders_and_a_least_size_are_computed(version, least):
    one, two = (
        AxisSizes(period=4, remainders=(1, 2), least=least),
        AxisSizes(period=3, remainders=(0,), least=3),
    )
    cuts = (
        Cut(output=0, dim=-2, axis=0, slope=Fraction(1, 2), offset=Fraction(1, 2)),
        Cut(output=0, dim=-1, axis=1, slope=Fraction(3), offset=Fraction(-4)),
    )
    identity = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {version}]> net (float[1, 1, H, W] x) =>
        (float[1, 1, P, Q] y, float[1, 1, R, S] whole) {{ whole = Identity (x)  y = Concat <axis = 3> (x, x, x) }}"""
    )
    write_padding(identity, Padding(axes=(one, two), cuts=cuts, outputs=2), "x", ["x"], free=(0, 1))
    model = runner(identity)
    for height, width in ((1, 2), (9, 3), (10, 4), (11, 1), (14, 6)):
        y, whole = model(torch.rand(1, 1, height, width)).values()
        assert tuple(whole.shape[2:]) == (one.right(height), two.right(width))
        assert tuple(y.shape[2:]) == (-(-(height + 1) // 2), max(0, 3 * width - 4))


def test_bodies_take_the_padded_map():
    built = parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
    net (float[1, 1, L] x, bool k) => (float[1, 1, M] y) <float[3] s = {1, 1, 2}>
    { a = MaxPool <kernel_shape = [2], strides = [2]> (x)
      b = Resize <coordinate_transformation_mode = "asymmetric"> (a, , s)
      c = If (k) <then_branch = one () => (float[1, 1, L] t) { t = Neg (x) },
                  else_branch = two () => (float[1, 1, L] u) { u = Identity (x) }>
      y = Add (b, c) }""")
    found = any_size_onnx(built)
    assert found.model is not None, found.words
    y = runner(found.model)(torch.rand(1, 1, 7), torch.tensor(True))["y"]
    assert y.shape == (1, 1, 7)


def test_files_that_cannot_be_padded_are_left_with_the_reason(data_dir):
    assert any_size_onnx(onnx.load(data_dir / "models/espcn/super_resolution.onnx")).words == (
        "the file fixes the size of its input at 224x224, so no other can come in"
    )
    old = parser.parse_model("""<ir_version: 8, opset_import: ["" : 10]>
    net (float[1, 2, L] x) => (float[1, 2, M] y) <float[3] s = {1, 1, 2}>
    { a = MaxPool <kernel_shape = [2], strides = [2]> (x)
      b = Resize (a, s)
      y = Add (b, x) }""")
    assert any_size_onnx(old).words == (
        "its operators are of version 10, in which no pad can be computed from a size; convert it to version "
        "11 or later"
    )


def test_the_text_detector_takes_any_size():
    place = importlib.util.find_spec("rapidocr_onnxruntime")
    assert place is not None
    old = onnx.load(Path(str(place.origin)).parent / "models" / "ch_PP-OCRv4_det_infer.onnx")
    found = any_size_onnx(old)
    assert str(found.words).startswith("inputs are padded to multiples of 32")
    new = runner(found.model)
    assert next(iter(new(torch.rand(1, 3, 101, 77)).values())).shape == (1, 1, 101, 77)
    x = torch.rand(1, 3, 64, 96)
    (before,), (after,) = runner(old)(x).values(), new(x).values()
    assert torch.equal(before, after)
    graph = read_onnx(found.model)
    assert len(graph.outputs) == 1


def test_a_model_that_is_too_large_for_bytes_stays_as_it_is(monkeypatch):
    built = ladder()
    built.graph.initializer.append(onnx.helper.make_tensor("unused", onnx.TensorProto.FLOAT, [4], [0.0] * 4))
    before = built.SerializeToString()
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 10)
    assert any_size_onnx(built).model is not None
    assert built.SerializeToString() == before
