"""A file that is no model, or half of one, is refused in one sentence; nothing else is."""

import contextlib
import importlib.util
import io
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from onnx_models import model, node, normal
from upstroke.errors import FileError, MissingExtraError
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import Other, Unread

WANTED = "a model must be an ONNX file"
NO_GRAPH = "which have no graph; give package.module:factory with --weights FILE"


def small_model(**settings):
    weights = {"w": normal(0, 2, 2, 3, 4).numpy()}
    return model([node("Conv", ["x", "w"], "y")], {"x": (1, 2, 5, 7)}, weights=weights, **settings)


def refused(source, message):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read_onnx(source)


def saved_weights(path):
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    path.write_bytes(buffer.getvalue())


def test_what_is_no_file_is_said(tmp_path):
    refused(tmp_path / "no.onnx", f"{WANTED}; there is no file {tmp_path / 'no.onnx'}")
    refused("x" * 5000, f"{WANTED}; there is no file {'x' * 5000}")
    refused(str(tmp_path), f"{WANTED}; {tmp_path} is a folder; name the file in it")
    refused("/dev/null", f"{WANTED}; /dev/null is a device or a pipe, not a file")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (
            b"PK\x03\x04 and so on",
            f"is a zip archive, as PyTorch's .pt and .pth files of weights are, {NO_GRAPH}",
        ),
        (pickle.dumps([1]), f"is a pickle, as PyTorch's older files of weights are, {NO_GRAPH}"),
        (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file of weights, {NO_GRAPH}"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is something else; export the model with torch.onnx.export"),
        (b"# a readme\n\nabout models", "is something else; export the model with torch.onnx.export"),
        (bytes(range(200, 256)) * 9, "is something else; export the model with torch.onnx.export"),
    ],
)
def test_what_is_no_model_is_said(tmp_path, content, said):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    refused(path, f"{WANTED}; {path} {said}")


def test_weights_are_no_model(tmp_path):
    path = tmp_path / "m.onnx"
    saved_weights(path)
    refused(
        path, f"{WANTED}; {path} is a zip archive, as PyTorch's .pt and .pth files of weights are, {NO_GRAPH}"
    )
    save_file({"w": torch.ones(2)}, path)
    refused(path, f"{WANTED}; {path} holds weights as safetensors, {NO_GRAPH}")


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_are_refused(tmp_path, seed):
    path = tmp_path / "m.onnx"
    path.write_bytes(np.random.default_rng(seed).bytes(8 + 40 * seed))
    with pytest.raises(FileError, match=r"^[^\n]*$"):
        read_onnx(path)


def test_no_cut_of_a_small_model_gets_through(tmp_path):
    path, whole = tmp_path / "m.onnx", small_model().SerializeToString()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"^[^\n]*$"):
            read_onnx(path)


def test_a_changed_byte_is_read_or_refused(tmp_path):
    path, whole = tmp_path / "m.onnx", small_model().SerializeToString()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        with contextlib.suppress(FileError):
            read_onnx(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.99999])
def test_cut_files_are_said(tmp_path, data_dir, share):
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    files = [data_dir / "models" / "espcn" / "super_resolution.onnx"]
    files += [*Path(found.submodule_search_locations[0]).glob("models/*det*.onnx")] if found else []
    for file in files:
        path, whole = tmp_path / file.name, file.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        refused(
            path, f"{path} starts like an ONNX file, but is cut short or damaged; export or download it again"
        )


def test_a_model_without_versions_is_incomplete(tmp_path):
    built, path = small_model(), tmp_path / "m.onnx"
    del built.opset_import[:]
    onnx.save(built, path)
    with pytest.raises(
        FileError, match=rf"^{re.escape(str(path))} is no complete ONNX model: [^\n]+; export or"
    ):
        read_onnx(path)


def test_a_node_before_its_input_is_refused():
    built = model([node("Relu", ["a"], "y"), node("Relu", ["x"], "a")], {"x": (1, 2, 5, 7)})
    with pytest.raises(FileError, match=r"^the model is no complete ONNX model: [^\n]+$"):
        read_onnx(built)


def test_weights_in_another_file_are_found_beside_it(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(small_model(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (conv,) = read_onnx(path).nodes
    assert torch.equal(conv.step.weight, normal(0, 2, 2, 3, 4))
    (tmp_path / "w.bin").unlink()
    with pytest.raises(
        FileError, match=rf"^{re.escape(str(path))} keeps weights in other files, of which one"
    ):
        read_onnx(path)
    bare = onnx.load(path, load_external_data=False)
    refused(
        bare, "a model in memory must hold its weights; this one keeps them in other files; give its path"
    )


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname"])
def test_weights_outside_the_folder_are_not_read(tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(bytes(192))
    (tmp_path / "models").mkdir()
    path, built = tmp_path / "models" / "m.onnx", small_model()
    (weight,) = built.graph.initializer
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    path.write_bytes(built.SerializeToString())
    with pytest.raises(
        FileError, match=r"^[^\n]*keeps weights in other files, of which one cannot be read: [^\n]*$"
    ):
        read_onnx(path)


def test_a_weight_that_lies_about_its_shape_is_refused():
    built = small_model()
    built.graph.initializer[0].dims[0] = 10**12
    with pytest.raises(
        FileError, match=r"^the model is no complete ONNX model: [^\n]+; export or download it again$"
    ):
        read_onnx(built)


def test_unknown_operators_are_read_around():
    nodes = [
        helper.make_node("Twirl", ["x"], ["a"], domain="com.example"),
        helper.make_node("Twist", ["a"], ["b"]),
        node("Conv", ["b", "w"], "y"),
    ]
    weights = {"w": normal(0, 2, 2, 3, 4).numpy()}
    for domains in [("com.example",), ()]:
        graph = read_onnx(model(nodes, {"x": (1, 2, 5, 7)}, weights=weights, domains=domains))
        twirl, twist, conv = graph.nodes
        assert (twirl.operator, twirl.name) == ("com.example::Twirl", "Twirl:a")
        assert isinstance(twirl.step, Unread)
        assert twirl.step.reason == "com.example::Twirl is no operator of ONNX"
        assert twist.step.reason == "ai.onnx::Twist is no operator of ONNX"
        assert conv.inputs == ("b",)


def test_a_known_operator_of_another_domain_is_other():
    scaled = helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[2.0])
    (only,) = read_onnx(model([scaled], {"x": (1, 2, 5, 7)}, domains=("ai.onnx.ml",))).nodes
    assert isinstance(only.step, Other)


def test_attributes_that_make_no_sense_are_unread():
    built = model([node("DepthToSpace", ["x"], "y", mode="CRD")], {"x": (1, 4, 5, 7)})
    (only,) = read_onnx(built).nodes
    assert only.step.reason == "its inputs and attributes are not those of a DepthToSpace"


def test_the_model_given_stays_as_it_is():
    built = model([helper.make_node("Twirl", ["x"], ["y"], domain="d")], {"x": ("N", 2, 5, 7)})
    before = built.SerializeToString(deterministic=True)
    read_onnx(built, sizes=(3, 2, 5, 7))
    assert built.SerializeToString(deterministic=True) == before


def test_a_function_that_calls_itself_is_refused():
    body = [helper.make_node("Twirl", ["p"], ["r"], domain="own")]
    twirl = helper.make_function("own", "Twirl", ["p"], ["r"], body, [helper.make_opsetid("own", 1)])
    call = helper.make_node("Twirl", ["x"], ["y"], domain="own")
    message = (
        "its functions cannot be put in the place of their calls: Cycle detected in model-local function "
        "references: own::Twirl -> own::Twirl. Model-local functions must not be recursive; export or "
        "download the model again"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read_onnx(model([call], {"x": (1, 2, 5, 7)}, domains=("own",), functions=[twirl]))


def test_functions_of_the_model_are_looked_into():
    body = [node("Relu", ["p"], "q"), node("Neg", ["q"], "r")]
    twirl = helper.make_function("own", "Twirl", ["p"], ["r"], body, [helper.make_opsetid("", 18)])
    call = helper.make_node("Twirl", ["x"], ["y"], domain="own")
    graph = read_onnx(model([call], {"x": (1, 2, 5, 7)}, domains=("own",), functions=[twirl]))
    assert [each.operator for each in graph.nodes] == ["Relu", "Neg"]
    assert graph.nodes[-1].output == "y"


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = "reading ONNX files needs the package onnx; pip install 'upstroke[onnx]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(message)}$"):
        read_onnx("m.onnx")


def test_the_package_is_loaded_when_a_file_is_read_and_not_before():
    program = "import sys, upstroke.graph.onnx; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_node_of_another_form_is_read_if_the_rest_is_in_order():
    # a Resize of version 11 may not leave out roi
    resize = node("Resize", ["a", "", "s"], "y")
    settings = {"weights": {"s": np.array([1, 1, 2, 3], dtype=np.float32)}, "opset": 11}
    graph = read_onnx(model([node("Relu", ["x"], "a"), resize], {"x": (1, 2, 5, 7)}, **settings))
    assert graph.nodes[1].step.scale == (2.0, 3.0)
    disordered = [node("Resize", ["x", "", "s"], "b"), node("Relu", ["c"], "y"), node("Neg", ["b"], "c")]
    with pytest.raises(
        FileError, match=r"^the model is no complete ONNX model: [^\n]+; export or download it again$"
    ):
        read_onnx(model(disordered, {"x": (1, 2, 5, 7)}, **settings))
