"""A trained network keeps block means, wherever it is applied, and comes from one file that says all of it."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from fine_fields import a_field
from upstroke.apps.downscale.cells import CellAxis, Cells
from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.evaluate import evaluate
from upstroke.apps.downscale.learned.apply import load_learned
from upstroke.apps.downscale.learned.samples import Patches
from upstroke.apps.downscale.learned.training import train
from upstroke.errors import FileError, OptionError, ShapeError
from upstroke.files.fields import open_fields
from upstroke.files.safetensors import read_safetensors, write_safetensors

FACTOR = (4, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    a_field(steps=2).to_netcdf(folder / "fine.nc")
    a_field(seed=5, land=False).to_netcdf(folder / "fixed.nc")
    return folder


def a_run(folder, name, *, files=("fine.nc",), **settings):
    chosen = {"variables": ["sst"], "steps": 4, "width": 4, "depth": 1, "progress": False} | settings
    return train([folder / file for file in files], folder / name, factor=FACTOR, **chosen)


@pytest.fixture(scope="module")
def run(folder):
    """A residual network of two variables and a static field, after a few steps."""
    return a_run(folder, "run", variables=["sst", "ice"], statics=[f"{folder / 'fixed.nc'}:sst"])


@pytest.fixture(scope="module")
def learned(run):
    learned = load_learned(run.out)
    # as much as if it had learnt a lot
    torch.manual_seed(0)
    for weight in learned.network.parameters():
        weight.copy_(0.3 * torch.randn_like(weight))
    learned.network.gate.fill_(1.0)
    return learned


def globe(rows=18, columns=48):
    y = CellAxis(name="lat", kind="latitude", edges=np.linspace(-90, 90, rows + 1), is_periodic=False)
    x = CellAxis(name="lon", kind="longitude", edges=np.linspace(0, 360, columns + 1), is_periodic=True)
    return Cells(y=y, x=x)


def fields(cells, *leading, dtype=np.float64):
    values = np.random.default_rng(1).standard_normal((*leading, *cells.shape)).astype(dtype) + 5
    values[..., 7, 9:12] = np.nan
    return values


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("quantity", ["mean", "total"])
@pytest.mark.parametrize("has_mask", [False, True])
def test_block_means_and_totals_come_back(learned, dtype, bound, quantity, has_mask):
    coarse = globe()
    fraction = None
    if has_mask:
        fraction = np.random.default_rng(2).choice([0.0, 0.4, 1.0], coarse.refined(FACTOR)[0].shape)
    refine = learned.downscaler(coarse, variable="ice", quantity=quantity, fraction=fraction)
    x = fields(coarse, 2, dtype=dtype)
    fine = refine(x)
    assert fine.dtype == dtype
    assert fine.shape == (2, 72, 96)
    back = refine.block_means(fine)
    known = np.isfinite(back)
    assert np.array_equal(known, np.isfinite(x) & (refine._totals > 0))
    assert np.abs(back - x)[known].max() <= bound * max(np.abs(x[known]).max(), np.nanmax(np.abs(fine)))
    assert np.isnan(fine[:, 28:32, 18:24]).all()


def test_it_is_no_cubic(learned):
    refine = learned.downscaler(globe(), variable="sst")
    x = fields(globe())
    assert np.nanmean(np.abs(refine(x) - refine.fixed(x))) > 0.1


def test_tiles_are_the_whole(learned):
    x = fields(globe())
    refine = learned.downscaler(globe(), variable="sst")
    np.testing.assert_allclose(replace(refine, tile=7)(x), refine(x), rtol=1e-5, atol=1e-5)


def test_another_region_gives_what_the_whole_gives_within_it(folder):
    run = a_run(folder, "plain")
    learned = load_learned(run.out)
    torch.manual_seed(0)
    for weight in learned.network.parameters():
        weight.copy_(0.3 * torch.randn_like(weight))
    cells = globe()
    part = Cells(
        y=CellAxis(name="lat", kind="latitude", edges=cells.y.edges[:18], is_periodic=False),
        x=CellAxis(name="lon", kind="longitude", edges=cells.x.edges[4:47], is_periodic=False),
    )
    x = np.random.default_rng(1).standard_normal(cells.shape)
    whole = learned.downscaler(cells, variable="sst")(x)
    other = learned.downscaler(part, variable="sst")(x[:17, 4:46])
    # what is left is how far the prefilter reaches
    np.testing.assert_allclose(other[16:-36, 34:-34], whole[16:-40, 42:-38], atol=1e-3)


def test_together_and_one_by_one(learned):
    x = fields(globe(), 3, 2)
    together = learned.downscaler(globe())(x)
    assert together.shape == (3, 2, 72, 96)
    alone = learned.downscaler(globe(), variable="ice")(x[:, 1])
    # the other variable is not known then
    assert not np.allclose(together[:, 1], alone, equal_nan=True)
    with pytest.raises(ShapeError) as raised:
        learned.downscaler(globe())(x[:, :1])
    assert str(raised.value) == (
        "fields that are refined together must be sst, ice along the axis before y and x; got shape (3, 1, 18, 48); "
        "name one variable to refine it alone"
    )


def test_pickled_it_gives_the_same(learned):
    refine = load_learned(learned.source).downscaler(globe(), variable="sst")
    x = fields(globe())
    assert np.array_equal(pickle.loads(pickle.dumps(refine))(x), refine(x), equal_nan=True)


def test_static_fields_are_those_of_the_file_unless_given(learned):
    fixed = a_field(seed=5, land=False).sst.values[0].astype(np.float64)
    x = fields(globe())
    answer = learned.downscaler(globe(), variable="sst")(x)
    same = learned.downscaler(globe(), variable="sst", statics={"sst": fixed})
    np.testing.assert_allclose(same(x), answer, atol=1e-4)
    other = learned.downscaler(globe(), variable="sst", statics={"sst": fixed[::-1]})
    assert not np.allclose(other(x), answer, atol=1e-2, equal_nan=True)


def test_the_gate_is_cut_to_what_helps_and_held_out_errors_are_said(run):
    tensors, metadata = read_safetensors(run.weights)
    errors = metadata["held_out"]["errors"]
    assert [each["variable"] for each in errors] == ["sst", "ice"]
    for each, held in zip(errors, run.held_out, strict=True):
        assert each == vars(held)
        assert 0 <= held.gate <= 1
        assert held.learned <= held.cubic * (1 + 1e-6)
        assert held.cubic < held.nearest
    assert torch.allclose(tensors["network.gate"], torch.tensor([each["gate"] for each in errors]))
    assert metadata["trained_on"]["files"] == ["fine.nc"]


def test_a_run_that_is_gone_on_with_ends_as_the_unbroken_one(folder, monkeypatch):
    unbroken = a_run(folder, "unbroken", steps=10)
    batch = Patches.batch

    def killed(self, step):
        if step == 7:
            raise RuntimeError
        return batch(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Patches, "batch", killed)
        with pytest.raises(RuntimeError):
            a_run(folder, "broken", steps=10)
    broken = a_run(folder, "broken", steps=10, resume=True)
    one, other = (read_safetensors(each.weights)[0] for each in (broken, unbroken))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert broken.held_out == unbroken.held_out


@pytest.mark.parametrize("mass", [1.0, 1.1])
def test_one_transposed_convolution_makes_its_mass_of_what_is_there(folder, mass):
    run = a_run(folder, f"mass {mass}", network="transposed", mass=mass)
    learned = load_learned(run.out)
    assert run.held_out[0].gate is None
    assert learned.network.layer.weight.sum().item() == pytest.approx(mass, rel=1e-5)
    coarse = globe()
    x = np.random.default_rng(1).standard_normal(coarse.shape) + 5
    bare = learned.downscaler(coarse, variable="sst", conserve=False)
    total = (bare(x) * bare.fine.areas()).sum() / (x * coarse.areas()).sum()
    assert total == pytest.approx(mass, rel=1e-5)
    kept = learned.downscaler(coarse, variable="sst")
    back = kept.block_means(kept(x))
    assert np.allclose(back, x, rtol=1e-12) == (mass == 1)


def test_refusals(learned, run, folder, tmp_path):
    with pytest.raises(OptionError) as raised:
        learned.downscaler(globe(), variable="salt")
    assert str(raised.value) == (
        "the variable must be one that was learnt, sst, ice; got salt; rename it, or train on it"
    )
    with pytest.raises(OptionError) as raised:
        learned.downscaler(globe(36, 48), variable="sst")
    assert str(raised.value) == (
        "the coarse cells must be as long as those that were learnt from, 10 x 7.5 along latitude and the other axis; "
        "got 5 x 7.5 of latitude; train on fields of this size"
    )
    with pytest.raises(ShapeError):
        learned.downscaler(globe(), variable="sst", statics={"sst": np.zeros((5, 7))})
    with pytest.raises(FileError) as raised:
        load_learned(tmp_path)
    assert str(raised.value) == (
        f"there must be a trained network at {tmp_path}/model.safetensors; there is none; train one by upstroke "
        "downscale train"
    )
    write_safetensors(tmp_path / "model.safetensors", {"a": torch.zeros(2)})
    with pytest.raises(FileError) as raised:
        load_learned(tmp_path)
    assert str(raised.value) == (
        "a learned downscaling must have the schema upstroke.downscale-learned/1; "
        f"{tmp_path}/model.safetensors has none; name the folder that upstroke downscale train wrote"
    )
    with pytest.raises(OptionError) as raised:
        a_run(folder, "both", minutes=1.0)
    assert str(raised.value) == "give steps or minutes, not both; got 4 and 1"


def test_cells_of_a_file_are_those_that_were_learnt(folder):
    assert cells_of(a_field()).coarsened(FACTOR).shape == globe().shape


def test_a_run_is_judged_beside_the_fixed_methods(folder, run):
    with open_fields(folder / "fine.nc") as fine:
        found = evaluate(fine, FACTOR, variable="sst", methods=(run.out,))
        assert found.rmse("run", "interior") < found.rmse("nearest", "interior")
        with pytest.raises(OptionError, match=r"^\S+ was trained for a factor of 4x2; got 2x2; take that$"):
            evaluate(fine, 2, variable="sst", methods=(run.out,))


def test_the_settings_of_a_run_name_its_fields(folder, run):
    settings = json.loads((run.out / "config.json").read_text(encoding="utf-8"))["settings"]
    assert settings["variables"] == ["sst", "ice"]
    assert settings["statics"] == [f"{folder / 'fixed.nc'}:sst"]
