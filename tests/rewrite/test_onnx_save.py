"""Models go into files as a whole or not at all, and what they were made from is never written to."""

import errno
import os
import re

import numpy as np
import onnx
import pytest
from onnx import external_data_helper, numpy_helper

from onnx_changes import assert_alike, merged_changes, run_all
from onnx_models import model, node, normal
from upstroke.errors import FileError
from upstroke.graph import onnx_file
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_file import model_from_file, weight_bytes
from upstroke.rewrite.onnx import rewritten
from upstroke.rewrite.onnx_save import data_files_of, file_for_running, save

SHAPE = {"x": ["N", 8, "H", "W"]}


def built():
    nodes = [
        node(
            "Resize", ["x", "", "s"], "u", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
        node("Conv", ["u", "w", "b"], "a", pads=[1, 1, 1, 1]),
        node("Conv", ["a", "v"], "y"),
    ]
    weights = {
        "s": np.array([1, 1, 2, 2], np.float32),
        "w": normal(1, 8, 8, 3, 3).numpy(),
        "b": normal(2, 8).numpy(),
        "v": normal(3, 33, 8, 1, 1).numpy(),
    }
    old = model(nodes, SHAPE, weights=weights)
    old.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, ["N", 33, None, None]))
    # numbers need not lie in bytes
    stored = onnx.helper.make_tensor("v", 1, [33, 8, 1, 1], weights["v"].flatten().tolist())
    next(each for each in old.graph.initializer if each.name == "v").CopyFrom(stored)
    return old


@pytest.fixture
def beside(tmp_path):
    """A file whose weights lie in another."""
    folder = tmp_path / "old"
    folder.mkdir()
    onnx.save_model(
        built(), folder / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=100
    )
    return folder / "net.onnx"


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def refused(message, *arguments, **options):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        save(*arguments, **options)


def contents(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def changed(path):
    old = model_from_file(path)
    return rewritten(old, [(change, "transposed") for change in merged_changes(old)])


def test_a_small_model_is_one_file(tmp_path):
    path = tmp_path / "new.onnx"
    assert save(built(), path) == (path,)
    assert names(tmp_path) == ["new.onnx"]
    assert onnx.load(path) == built()


def test_weights_that_lay_beside_the_model_do_so_again(beside, tmp_path):
    before = contents(beside.parent)
    assert data_files_of(beside) == (beside.parent / "weights.bin",)
    new, path = changed(beside), tmp_path / "new.onnx"
    assert save(new, path, source=beside) == (tmp_path / "new.onnx.data", path)
    assert names(tmp_path) == ["new.onnx", "new.onnx.data", "old"]
    assert contents(beside.parent) == before
    stored = onnx.load(path, load_external_data=False)
    places = {
        each.name: external_data_helper.ExternalDataInfo(each)
        for each in stored.graph.initializer
        if each.data_location == onnx.TensorProto.EXTERNAL
    }
    # the large ones, at whole pages, in the new file alone
    assert places.keys() == {"v", "the_u/transposed/weight"}
    assert {each.location for each in places.values()} == {"new.onnx.data"}
    assert all(each.offset % 4096 == 0 for each in places.values())
    onnx.checker.check_model(path)
    values = {each.name: numpy_helper.to_array(each) for each in model_from_file(path).graph.initializer}
    for tensor in new.graph.initializer:
        np.testing.assert_array_equal(values[tensor.name], numpy_helper.to_array(tensor))
    x = normal(0, 2, 8, 5, 7).numpy()
    for name, expected in run_all(new, x=x).items():
        assert (run_all(path, x=x)[name] == expected).all()
    assert_alike(beside, path, x=x)
    assert read_onnx(path).source == read_onnx(beside).source


def test_weights_that_are_too_many_for_one_file_lie_beside_it(tmp_path):
    assert weight_bytes(built()) == 4 * (4 + 576 + 8 + 264)
    assert len(save(built(), tmp_path / "one.onnx", most_bytes=3408)) == 1
    assert len(save(built(), tmp_path / "two.onnx", most_bytes=3407)) == 2
    assert names(tmp_path) == ["one.onnx", "two.onnx", "two.onnx.data"]
    assert_alike(tmp_path / "one.onnx", tmp_path / "two.onnx", most=0.0, x=normal(0, 2, 8, 5, 7).numpy())


def test_a_file_for_running_is_written_anew_each_time(tmp_path):
    for most in (10**9, 100, 100):
        path = file_for_running(built(), tmp_path, most_bytes=most)
        assert run_all(path, x=normal(0, 2, 8, 5, 7).numpy())["y"].shape == (2, 33, 10, 14)


def test_files_that_are_there_stay_unless_told(tmp_path):
    path, data = tmp_path / "new.onnx", tmp_path / "new.onnx.data"
    for taken in (path, data):
        taken.write_text("mine")
        message = f"cannot write {taken}: it exists already; choose another name or allow overwriting"
        refused(message, built(), path, most_bytes=100)
        assert names(tmp_path) == [taken.name]
        assert taken.read_text() == "mine"
        taken.unlink()
    path.write_text("mine")
    data.write_text("mine")
    save(built(), path, overwrite=True, most_bytes=100)
    assert data_files_of(path) == (data,)
    assert names(tmp_path) == ["new.onnx", "new.onnx.data"]


def test_the_model_that_was_read_is_never_written_to(beside, tmp_path):
    before = contents(beside.parent)
    link = tmp_path / "link.onnx"
    link.symlink_to(beside)
    hard = tmp_path / "hard.onnx"
    hard.hardlink_to(beside)
    said = "this is the model that was read; choose another name"
    for path in (beside, beside.parent / ".." / "old" / "net.onnx", hard):
        refused(f"cannot write {path}: {said}", built(), path, source=beside, overwrite=True)
    message = f"cannot write {link}: it is a link, and weights lie beside the model itself; name the file"
    refused(message, built(), link, source=beside, overwrite=True)
    weights = beside.parent / "weights.bin"
    message = f"cannot write {weights}: this is the weights of the model that was read; choose another name"
    refused(message, built(), weights, source=beside, overwrite=True)
    assert contents(beside.parent) == before
    single = tmp_path / "single.onnx"
    save(built(), single)
    other = tmp_path / "other.onnx"
    other.symlink_to(single)
    refused(f"cannot write {other}: {said}", built(), other, source=single, overwrite=True)


def test_weights_never_go_where_the_old_ones_are(tmp_path):
    old = tmp_path / "old.onnx"
    onnx.save_model(built(), old, save_as_external_data=True, location="new.onnx.data", size_threshold=100)
    before = contents(tmp_path)
    new = tmp_path / "new.onnx"
    message = (
        f"cannot write {new}: its weights would go to new.onnx.data, and this is the weights of the model that "
        "was read; choose another name"
    )
    refused(message, built(), new, source=old, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_both_files_as_they_were(tmp_path, monkeypatch, place, overwrite):
    path = tmp_path / "new.onnx"
    if overwrite:
        path.write_text("mine")
        (tmp_path / "new.onnx.data").write_text("mine too")
    before, real, calls = contents(tmp_path), os.replace, []

    def full(*arguments):
        calls.append(arguments)
        # what is put back afterwards succeeds
        if len(calls) == place + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)

    monkeypatch.setattr(os, "replace", full)
    if not overwrite and place == 2:
        save(built(), path, most_bytes=100)
        return
    with pytest.raises(
        FileError, match=r"^cannot write .*new.onnx.*: No space left on device; free some space"
    ):
        save(built(), path, overwrite=overwrite, most_bytes=100)
    assert contents(tmp_path) == before


def test_a_source_that_is_gone_is_said(tmp_path):
    old = tmp_path / "old.onnx"
    message = f"the model {old}, which was read before, cannot be read again; put it back"
    refused(message, built(), tmp_path / "new.onnx", source=old)


def test_large_models_are_read_and_rewritten_without_being_put_into_bytes(beside, tmp_path, monkeypatch):
    small = changed(beside)
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 100)
    monkeypatch.setattr(onnx_file, "SMALL", 4)
    # weights are no part of what the checker and the inference of shapes are given
    seen = []
    real = onnx.checker.check_model
    monkeypatch.setattr(onnx.checker, "check_model", lambda given: [seen.append(given), real(given)])
    large = changed(beside)
    assert large == small
    assert {each.name for each in seen[0].graph.initializer} == {"s"}
    in_memory = model_from_file(beside)
    before = in_memory.SerializeToString(deterministic=True)
    assert [change.site for change in merged_changes(in_memory)] == ["the_u"]
    assert in_memory.SerializeToString(deterministic=True) == before


def test_a_large_model_that_is_incomplete_is_refused(beside, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 100)
    given = model_from_file(beside)
    given.graph.node[1].input[0] = "nothing"
    with pytest.raises(FileError, match=r"^the model is no complete ONNX model: "):
        read_onnx(given)


def test_functions_of_a_large_model_are_put_in_place(monkeypatch):
    text = """<ir_version: 8, opset_import: ["" : 18, "own" : 1]>
    net (float[N, 4, H, W] x) => (float[N, 4, H, W] y) { y = own.Twice (x, w) }
    <domain: "own", opset_import: ["" : 18]> Twice (a, w) => (c) { b = Conv (a, w)  c = Conv (b, w) }"""
    given = onnx.parser.parse_model(text)
    given.graph.initializer.append(numpy_helper.from_array(normal(0, 4, 4, 1, 1).numpy(), "w"))
    small = onnx_file.inlined(given)
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 10)
    monkeypatch.setattr(onnx_file, "SMALL", 4)
    large = onnx_file.inlined(given)
    assert large.SerializeToString(deterministic=True) == small.SerializeToString(deterministic=True)
    assert [each.op_type for each in large.graph.node] == ["Conv", "Conv"]
