"""Hold feature networks from ONNX files against what PyTorch gives on pictures made ready by hand."""

import pickle
import re

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

from upstroke.apps.generate import given_features as module
from upstroke.apps.generate.distances import feature_distances
from upstroke.apps.generate.given_features import given_features
from upstroke.errors import FileError, MissingExtraError, OptionError, ShapeError

WEIGHT = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def network(path, shape, *, weight=WEIGHT, kind=TensorProto.FLOAT):
    """A convolution whose outputs are its maps, their means, as maps and flat, and how many there are."""
    nodes = [
        helper.make_node("Cast", ["x"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["values", "w"], ["maps"], strides=[2] * (len(shape) - 2)),
        helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
        helper.make_node("Flatten", ["means"], ["rows"]),
        helper.make_node("Shape", ["rows"], ["counts"]),
        helper.make_node("Flatten", ["rows"], ["one row"], axis=0),
    ]
    outputs = [
        helper.make_tensor_value_info("maps", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("counts", TensorProto.INT64, None),
        helper.make_tensor_value_info("one row", TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("x", kind, shape)],
        outputs,
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def wanted(values):
    return F.conv2d(values, torch.from_numpy(WEIGHT), stride=2).mean(dim=(2, 3))


@pytest.fixture
def open_network(tmp_path):
    return network(tmp_path / "net.onnx", ["n", 3, "y", "x"])


@pytest.mark.parametrize(
    ("scale", "ready"),
    [
        ("signed", lambda levels: levels / 127.5 - 1),
        ("unit", lambda levels: levels / 255),
        ("bytes", lambda levels: levels),
        ("imagenet", lambda levels: (levels / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]),
    ],
)  # fmt: skip
def test_the_network_reads_values_of_the_scale(open_network, scale, ready):
    pictures = noise(5, 3, 9, 14)
    found = given_features(open_network, (3, 9, 14), scale=scale)
    torch.testing.assert_close(
        found(pictures), wanted(ready(torch.from_numpy(pictures).float())), rtol=1e-4, atol=1e-4
    )
    assert found.features == 5
    assert found(pictures[:0]).shape == (0, 5)


def test_maps_are_averaged_and_an_output_is_chosen(open_network):
    pictures = noise(70, 3, 9, 14)
    maps, rows = (given_features(open_network, (3, 9, 14), output=output) for output in (None, "rows"))
    torch.testing.assert_close(maps(pictures), rows(pictures))
    record = maps.as_json()
    assert record["output"] == "maps"
    assert (record["network"], record["features"], record["size"], record["feed"]) == ("net.onnx", 5, [3, 9, 14], [3, 9, 14])  # fmt: skip
    assert (record["scale"], len(record["fingerprint"])) == ("signed", 16)
    assert feature_distances(maps(pictures[:35]), maps(pictures[35:])).features == 5


def test_grey_pictures_are_repeated_resized_and_filled_up_for_a_network_of_fixed_size(tmp_path):
    path = network(tmp_path / "fixed.onnx", [4, 3, 12, 10])
    pictures = noise(6, 1, 24, 15)
    levels = torch.from_numpy(pictures).float().repeat(1, 3, 1, 1)
    small = F.interpolate(levels, size=(12, 10), mode="bilinear", antialias=True)
    found = given_features(path, (1, 24, 15))
    torch.testing.assert_close(found(pictures), wanted(small / 127.5 - 1), rtol=1e-4, atol=1e-4)
    assert found.as_json()["feed"] == [3, 12, 10]


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT16])
def test_a_network_may_read_other_numbers(tmp_path, kind):
    path = network(tmp_path / "net.onnx", ["n", 3, "y", "x"], kind=kind)
    pictures = noise(3, 3, 9, 14)
    found = given_features(path, (3, 9, 14), scale="bytes")(pictures)
    torch.testing.assert_close(found, wanted(torch.from_numpy(pictures).float()), rtol=1e-4, atol=1e-3)


def test_pictures_are_run_a_few_at_a_time(open_network, monkeypatch):
    pictures = noise(10, 3, 9, 14)
    found = given_features(open_network, (3, 9, 14))
    whole = found(pictures)
    monkeypatch.setattr(module, "AT_ONCE", 3)
    torch.testing.assert_close(found(pictures), whole)


def test_what_is_no_network_is_refused_and_nothing_is_unpickled(tmp_path):
    class Harm:
        def __reduce__(self):
            return open, (str(tmp_path / "harm"), "w")

    for name in ("net.pt", "net.onnx"):
        (tmp_path / name).write_bytes(pickle.dumps(Harm()))
    message = f"a feature network is an ONNX file, whose name ends in .onnx; got {tmp_path / 'net.pt'}; export it to one"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        given_features(tmp_path / "net.pt", (3, 9, 14))
    with pytest.raises(FileError, match=f"^ONNX Runtime cannot run {re.escape(str(tmp_path / 'net.onnx'))}: .*; export it again, as one file$"):  # fmt: skip
        given_features(tmp_path / "net.onnx", (3, 9, 14))
    assert not (tmp_path / "harm").exists()
    with pytest.raises(FileError, match=r"none\.onnx cannot be read: .*; give the path of an ONNX file$"):
        given_features(tmp_path / "none.onnx", (3, 9, 14))


def test_weights_in_other_files_are_not_read(tmp_path, open_network):
    model = onnx.load(open_network)
    (tmp_path / "apart").mkdir()
    path = tmp_path / "apart" / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(FileError, match=r"export it again, as one file$"):
        given_features(path, (3, 9, 14))


@pytest.mark.parametrize(
    ("shape", "size", "options", "error", "message"),
    [
        (["n", 3, "y", "x"], (3, 9, 14), {"scale": "levels"}, OptionError, "scale must be one of signed, unit, bytes, imagenet; got levels"),
        (["n", 3, "y", "x"], (3, 9, 14), {"output": "logits"}, OptionError, "{path} has no output 'logits'; it has maps, rows, counts and more"),
        (["n", 3, "y", "x"], (3, 9, 14), {"output": "counts"}, FileError, "a feature network must give rows of numbers, or maps, for each of 1 pictures; 'counts' of net.onnx is int64 of 2; name another output"),
        ([2, 3, "y", "x"], (3, 9, 14), {"output": "one row"}, FileError, "a feature network must give rows of numbers, or maps, for each of 2 pictures; 'one row' of net.onnx is float32 of 1x10; name another output"),
        (["n", 3, "y"], (3, 9, 14), {}, FileError, "a feature network must have one input of pictures, channels, y and x, of tensor(float), tensor(float16), tensor(uint8); {path} has tensor(float) of 3 axes; export it again"),
        (["n", 3, "y", "x"], (4, 9, 14), {}, FileError, "{path} reads 3 channels, and pictures of 4 are turned into 3 from 1 only; give a network for 4"),
        (["n", "c", "y", "x"], (1, 9, 14), {"scale": "imagenet"}, OptionError, "scale imagenet is of red, green and blue; {path} reads 1 channels; take another scale"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("_unchecked")
def test_networks_that_do_not_fit_are_refused(tmp_path, shape, size, options, error, message):
    path = tmp_path / "net.onnx"
    network(path, shape, weight=WEIGHT[..., 0] if len(shape) == 3 else WEIGHT)
    with pytest.raises(error, match=f"^{re.escape(message.format(path=path))}$"):
        given_features(path, size, **options)


def test_bytes_are_read_as_bytes_and_sizes_that_fail_are_said(tmp_path, open_network):
    path = network(tmp_path / "bytes.onnx", ["n", 3, "y", "x"], kind=TensorProto.UINT8)
    message = f"{path} reads bytes, so that scale must be bytes; got signed"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        given_features(path, (3, 9, 14))
    with pytest.raises(FileError, match=r"^ONNX Runtime cannot run net\.onnx on 1x3x2x14: .*; give a network for pictures of this size$"):  # fmt: skip
        given_features(open_network, (3, 2, 14))
    found = given_features(open_network, (3, 9, 14))
    message = "net.onnx was opened for pictures of 3x9x14; got 3x9x15; resize them"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        found(noise(2, 3, 9, 15))


def test_without_onnxruntime_the_extra_is_named(open_network, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    message = "a feature network is run by the package onnxruntime; pip install 'upstroke[onnx]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(message)}$"):
        given_features(open_network, (3, 9, 14))
