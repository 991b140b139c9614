"""Hold that a trained network answers whole volumes on their own voxels, and refuses what it cannot read."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.model import load_model
from upstroke.apps.segment.normalise import Normalisation, normalised
from upstroke.apps.segment.recipe import Recipe
from upstroke.errors import BackendError, FileError
from upstroke.files.safetensors import write_safetensors
from upstroke.files.volumes import Volume
from upstroke.nn import UNet


@pytest.fixture
def run(tmp_path):
    def make(*, spacing=None, unit=None, tensors=None, **settings):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            net = UNet(2, 3, widths=(2, 3), **settings).eval()
        recipe = Recipe(
            classes=Classes(values=(0, 5, 9), names=("background", "left", "right")),
            channels=2,
            ndim=2,
            unet=net.settings,
            normalisation=Normalisation(),
            spacing=spacing,
            patch=(8, 8),
            unit=unit,
        )
        metadata = recipe.as_json() | {"trained_on": {"cases": 2}}
        write_safetensors(
            tmp_path / "model.safetensors", net.state_dict() if tensors is None else tensors, metadata
        )
        return net, recipe

    return make


def volume(values, spacing=(1.0, 1.0)):
    return Volume(
        path=Path("scan.png"),
        values=values,
        spacing=spacing,
        unit="pixel",
        affine=None,
        kind="png",
        header=None,
    )


def drawn(*shape):
    return np.random.default_rng(4).normal(50, 9, shape).astype(np.float32)


@pytest.mark.parametrize("settings", [{}, {"conv": "valid", "norm": "batch"}])
def test_a_run_answers_every_voxel(run, tmp_path, settings):
    net, recipe = run(**settings)
    model = load_model(tmp_path)
    assert model.recipe == recipe
    values = drawn(2, 17, 22)
    shares = model.probabilities(volume(values))
    assert shares.shape == (3, 17, 22)
    assert shares.dtype == np.float32
    assert np.allclose(shares.sum(0), 1, atol=1e-6)
    assert np.array_equal(model.labels(volume(values)), shares.argmax(0))
    ready = normalised(values, recipe.normalisation)
    if not settings:
        with torch.no_grad():
            logits = net(torch.from_numpy(ready)[None])[0].numpy()
        assert np.allclose(model.logits(ready), logits, atol=1e-6)
    else:
        tiled = model.logits(ready, tile=28)
        assert model.plan((17, 22), tile=28).kind == "exact"
        assert np.abs(tiled - model.logits(ready)).max() <= 1e-6 * np.abs(tiled).max()


def test_the_file_itself_may_be_named(run, tmp_path):
    run()
    assert load_model(tmp_path / "model.safetensors").recipe == load_model(tmp_path).recipe


def test_another_spacing_is_met_and_left_again(run, tmp_path):
    run(spacing=(2.0, 0.5))
    model = load_model(tmp_path)
    seen = []
    inner = model._network
    object.__setattr__(model, "_network", lambda x: seen.append(tuple(x.shape)) or inner(x))
    shares = model.probabilities(volume(drawn(2, 20, 11), spacing=(1.0, 1.0)))
    assert seen == [(1, 2, 10, 22)]
    assert shares.shape == (3, 20, 11)
    assert np.allclose(shares.sum(0), 1, atol=1e-6)


def test_answers_at_another_spacing_come_back_to_where_they_were(run, tmp_path):
    run(spacing=(2.0, 0.5))
    model = load_model(tmp_path)
    # scores that rise along both axes of what the network reads, for one class against the others
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(22.0), indexing="ij")
    rising = torch.stack((0.3 * rows + 0.05 * columns, *[torch.zeros(10, 22)] * 2))
    object.__setattr__(model, "_network", lambda x: rising[None])
    shares = torch.from_numpy(model.probabilities(volume(drawn(2, 20, 11))))
    wanted = torch.nn.functional.interpolate(
        rising.softmax(0)[None], size=(20, 11), mode="bilinear", antialias=True
    )[0]
    torch.testing.assert_close(shares, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            drawn(1, 9, 9),
            "scan.png must have the channels of the images of the training, 2; it has 1; convert it",
        ),
        (
            drawn(2, 9, 9, 4),
            "scan.png must have 2 axes of space, as the images of the training had; it has 3, 9x9x4; use a model of such images",
        ),
        (
            np.full((2, 9, 9), np.nan),
            "scan.png must hold finite numbers; 162 of its values are not; replace these",
        ),
    ],
)
def test_volumes_that_it_cannot_read_are_refused(run, tmp_path, values, message):
    run()
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path).probabilities(volume(values, spacing=(1.0,) * (values.ndim - 1)))


def test_voxels_whose_length_says_nothing_are_refused_where_it_matters(run, tmp_path):
    values = drawn(2, 9, 11)
    run(unit="mm")
    assert load_model(tmp_path).probabilities(volume(values)).shape == (3, 9, 11)
    (tmp_path / "model.safetensors").unlink()
    run(spacing=(1.0, 0.5), unit="mm")
    message = (
        "scan.png must say how long its voxels are in mm, because the network reads voxels of 1x0.5 mm; its unit "
        "is pixel; correct its header, or convert it"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path).probabilities(volume(values))
    (tmp_path / "model.safetensors").unlink()
    run(spacing=(1.0, 0.5), unit="pixel")
    message = (
        "scan.png must have 2,147,483,648 voxels at most when it is brought to the 1x0.5 pixel that the network "
        "reads; it would have 90000x440000; correct the spacing in its header"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path).probabilities(volume(values, spacing=(10000.0, 20000.0)))


def test_files_of_something_else_are_refused(run, tmp_path):
    path = tmp_path / "model.safetensors"
    start = "a segmentation model must be a training run, its model.safetensors or an ONNX file"
    message = f"{start}; there is no {path}; train one by upstroke segment train"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path)
    run(tensors={"heads.0.weight": torch.zeros(3, 2, 1, 1)})
    message = f"the network in {path} does not fit what the file says of it; fetch it again, or train anew"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path)
    write_safetensors(path, {"weight": torch.zeros(2)}, {"scale": 2}, overwrite=True)
    with pytest.raises(FileError, match=r"^a segmentation model must say how it is applied, with the schema"):
        load_model(path)
    with pytest.raises(BackendError, match=r"^a device must be auto, cpu, cuda or cuda:0; got 'gpu'$"):
        load_model(path, device="gpu")


def test_what_is_no_onnx_file_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    path.write_bytes(b"# a readme")
    with pytest.raises(FileError, match=f"^{re.escape(str(path))} is no complete ONNX model: "):
        load_model(path)
    entry = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, "h", "w"])
    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, "h", "w"])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["x", "w"], ["y"])], "g", [entry], [other], [weight]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=r"has none; write it by upstroke segment export$"):
        load_model(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    path.write_bytes(model.SerializeToString())
    message = f"an ONNX model must hold its weights; {path} keeps w in another file; export it again"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(path)


def test_a_network_that_answers_no_numbers_is_refused(run, tmp_path):
    net, _ = run()
    (tmp_path / "model.safetensors").unlink()
    run(tensors={name: tensor * float("nan") for name, tensor in net.state_dict().items()})
    message = (
        f"the network in {tmp_path} must answer numbers; it answers NaN or infinity; train or export it again"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path).labels(volume(drawn(2, 9, 9)))


def test_the_device_is_left_to_choose(run, tmp_path):
    run()
    assert load_model(tmp_path, device="auto").device == ("cuda" if torch.cuda.is_available() else "cpu")
