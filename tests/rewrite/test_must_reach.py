"""Fixed, ten kinds of models compute the same for every target, and a second fix finds nothing to do."""

import io
import warnings

import onnx
import pytest
import torch
from must_reach import MODELS, picture_of_text, text_detector
from torch import nn

from upstroke.rewrite import work_onnx
from upstroke.rewrite.fix import fix
from upstroke.rewrite.measure import session_of
from upstroke.rewrite.memory import Memory
from upstroke.rewrite.verify_onnx import runner

# sites that do not have a form take their first
BY_MODULES = [*((name, "native") for name in MODELS), ("DBNet", "phases"), ("RRDB super-resolution", "shuffle"),
              ("fast style transfer", "phases"), ("upscaler k4 s2 p3", "transposed")]  # fmt: skip
# what is found in a file does not depend on what runs it, so that a few say that for both
BY_FILES = [*((name, "onnxruntime", "phases") for name in MODELS), ("DBNet", "openvino", "shuffle"),
            ("ESPCN", "openvino", "depth to space"), ("fast style transfer", "openvino", "transposed")]  # fmt: skip
SLOW_OR_DOUBLE = ("UP301", "UP302", "UP303")


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch):
    """Memory is measured by processes of their own, and held elsewhere."""
    monkeypatch.setattr(work_onnx, "peak_of_onnx", lambda *_, **__: Memory(bytes=None, how="not asked for"))


def built(name):
    """The model and its inputs."""
    build, inputs, *_ = MODELS[name]
    torch.manual_seed(0)
    return build().eval(), inputs()


def exported(module: nn.Module, inputs) -> onnx.ModelProto:
    """The module as PyTorch's exporter writes it, all axes of maps open but channels."""
    names = [f"x{place}" for place in range(len(inputs))]
    is_map = inputs[0].ndim == 4
    axes = {0: "N", 2: "H", 3: "W"} if is_map else {0: "N", 1: "T"}
    file = io.BytesIO()
    with warnings.catch_warnings():
        # the exporter's advice to use the newer one, and that it follows branches on sizes
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, tuple(inputs), file, dynamo=False, opset_version=18, input_names=names,
            output_names=["y"], dynamic_axes={"x0": axes},
        )  # fmt: skip
    return onnx.load_from_string(file.getvalue())


def assert_done(fixed, again, sites):
    assert fixed.is_verified, [each.words for each in fixed.verified]
    done = [each for each in fixed.outcomes if each.became == "rewritten"]
    assert len(done) == sites
    found = {each.site for each in fixed.after.findings if each.rule.code in SLOW_OR_DOUBLE}
    assert not {each.site for each in done} & found
    assert [(each.site, each.words) for each in again.outcomes if each.became == "rewritten"] == []
    assert not again.changed


@pytest.mark.parametrize(("name", "form"), BY_MODULES)
def test_a_module_computes_the_same(name, form):
    model, inputs = built(name)
    fixed = fix(model, inputs, form=form)
    assert_done(fixed, fix(fixed.model, inputs, form=form), MODELS[name][2])
    double, own = fixed.verified
    assert (double.dtype, own.dtype) == ("float64", "float32")
    assert double.largest <= 1e-12
    assert own.largest <= 1e-5


@pytest.mark.parametrize(("name", "target", "form"), BY_FILES)
def test_a_file_computes_the_same(name, target, form):
    model, inputs = built(name)
    given = exported(model, inputs)
    sizes = {"x0": tuple(inputs[0].shape)}
    fixed = fix(given, sizes, target=target, form=form)
    assert_done(fixed, fix(fixed.model, sizes, target=target, form=form), MODELS[name][3])
    if not MODELS[name][3]:
        assert fixed.verified == ()
        return
    (own,) = fixed.verified
    assert own.largest <= 1e-5
    assert fixed.model.graph.input == given.graph.input
    assert fixed.model.graph.output == given.graph.output
    assert {each.domain for each in fixed.model.graph.node} <= {"", "ai.onnx"}
    arrays = [each.numpy() for each in inputs]
    for runtime in ("onnxruntime", "openvino"):
        before, after = (session_of(each, runtime)(arrays)[0] for each in (given, fixed.model))
        assert abs(after - before).max() <= 1e-5 * abs(before).max()


def test_a_detector_finds_the_same_text():
    path = text_detector()
    if path is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    fixed = fix(path, (1, 3, 64, 96), form="shuffle")
    assert fixed.is_verified
    assert sum(each.became == "rewritten" for each in fixed.outcomes) == 2
    for size in ((96, 320), (160, 224)):
        picture = picture_of_text(*size)
        (before,), (after,) = (runner(each)(picture).values() for each in (path, fixed.model))
        # so that there is something to compare: text is found
        assert before.max() > 0.5
        assert (after - before).abs().max() <= 1e-5 * before.max()
