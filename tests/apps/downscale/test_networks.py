"""The networks keep what they say they keep, whatever their weights are."""

import numpy as np
import pytest
import torch

from upstroke.apps.downscale.cells import CellAxis, Cells
from upstroke.apps.downscale.downscaler import downscaler
from upstroke.apps.downscale.fill import land_fill
from upstroke.apps.downscale.learned.maps import Ground, Maps, maps_of
from upstroke.apps.downscale.learned.networks import Residual, TransposedMass
from upstroke.errors import OptionError
from upstroke.ops import block_means

FACTORS = [(2, 2), (3, 3), (4, 4), (4, 2), (1, 3)]
KINDS = {"residual": lambda: Residual((2, 3), width=5, depth=2), "transposed": lambda: TransposedMass((2, 3))}


def globe(rows=9, columns=12):
    y = CellAxis(name="lat", kind="latitude", edges=np.linspace(-90, 90, rows + 1), is_periodic=False)
    x = CellAxis(name="lon", kind="longitude", edges=np.linspace(0, 360, columns + 1), is_periodic=True)
    return Cells(y=y, x=x)


def plain(rows=9, columns=12):
    y = CellAxis(name="y", kind="projected", edges=np.arange(rows + 1.0), is_periodic=False)
    x = CellAxis(name="x", kind="projected", edges=np.arange(columns + 1.0), is_periodic=False)
    return Cells(y=y, x=x)


def a_map(cells, factor, *, variables=1, statics=0, dtype=np.float32, land=True):
    draw = np.random.default_rng(0)
    fixed = draw.standard_normal((statics, *cells.refined(factor)[0].shape)).astype(np.float32)
    ground = Ground.of(cells, factor, fixed)
    means = draw.standard_normal((variables, *cells.shape)).astype(dtype) + 3
    fractions = np.ones((variables, *ground.part_areas.shape))
    if land:
        means[:, 3, 4:6] = np.nan
        fractions[:, : factor[0], : 2 * factor[1] - 1] = 0.5
    return maps_of(
        ground,
        means,
        fractions=fractions,
        refine=[downscaler(cells, factor, fraction=each if land else None) for each in fractions],
        fill=lambda mask: land_fill(mask, is_periodic=ground.is_periodic),
    )


def whole(maps, network):
    rows, columns = maps.ground.cells.shape
    return maps.cut(range(rows), range(columns), halo=network.halo)


def drawn(network, size=0.3):
    """The network with weights that were never trained."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(size * torch.randn_like(weight))
    return network.eval()


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_block_means_are_exact_for_any_weights(factor, dtype, bound):
    maps = a_map(globe(), factor, variables=2, statics=1, dtype=dtype)
    network = drawn(Residual(factor, variables=2, statics=1, width=5, depth=1), size=0.5)
    inputs = whole(maps, network)
    with torch.no_grad():
        y = network(inputs)
    assert y.dtype == inputs.means.dtype
    means = block_means(y.double(), factor, weights=inputs.weights.double())
    known = inputs.means.isfinite()
    assert (means - inputs.means)[known].abs().max() <= bound * y[y.isfinite()].abs().max()
    assert means[~known].isnan().all()
    # and the network had something to say
    assert (y - inputs.baseline)[..., : 3 * factor[0], :].abs().max() > 0.1


def test_a_bf16_network_is_corrected_in_fp32():
    maps = a_map(globe(), (4, 4))
    network = drawn(Residual((4, 4), width=5, depth=1)).to(torch.bfloat16)
    inputs = whole(maps, network)
    with torch.no_grad():
        y = network(inputs)
    means = block_means(y.double(), (4, 4), weights=inputs.weights.double())
    known = inputs.means.isfinite()
    assert y.dtype == torch.float32
    assert (means - inputs.means)[known].abs().max() <= 1e-6 * y[y.isfinite()].abs().max()


def test_untrained_it_is_the_cubic_and_so_it_is_at_a_gate_of_zero():
    maps = a_map(globe(), (2, 3))
    network = Residual((2, 3), width=5, depth=1)
    inputs = whole(maps, network)
    known = inputs.means.isfinite().repeat_interleave(2, -2).repeat_interleave(3, -1)
    assert torch.allclose(network(inputs)[known], inputs.baseline[known], atol=1e-5)
    drawn(network)
    assert not torch.allclose(network(inputs)[known], inputs.baseline[known], atol=1e-2)
    network.gate.zero_()
    assert torch.allclose(network(inputs)[known], inputs.baseline[known], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_that_of_the_whole_map(kind):
    maps = a_map(globe(20, 24), (2, 3), dtype=np.float64)
    network = drawn(KINDS[kind]())
    with torch.no_grad():
        everywhere = network(whole(maps, network))
        part = network(maps.cut(range(5, 11), range(21, 27), halo=network.halo))
    here = torch.cat([everywhere[..., 10:22, 63:], everywhere[..., 10:22, :9]], -1)
    assert torch.allclose(part, here, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_rolling_round_the_globe_rolls_the_answer(kind):
    maps = a_map(globe(), (2, 3), dtype=np.float64)
    network = drawn(KINDS[kind]())
    parts = {"fraction", "baseline", "weights"}
    names = ("x", "valid", "fraction", "baseline", "means", "weights")
    rolled = {name: np.roll(getattr(maps, name), 15 if name in parts else 5, -1) for name in names}
    with torch.no_grad():
        one = network(whole(maps, network))
        other = network(whole(Maps(ground=maps.ground, **rolled), network))
    assert torch.allclose(one.roll(15, -1), other, atol=1e-5, equal_nan=True)


def test_neither_units_nor_the_level_matter():
    maps = a_map(plain(), (2, 2), land=False, dtype=np.float64)
    network = drawn(Residual((2, 2), width=5, depth=1))
    inputs = whole(maps, network)
    moved = {name: 8 * getattr(inputs, name) + 9 for name in ("x", "baseline", "means")}
    with torch.no_grad():
        y = network(inputs)
        network.roughness.mul_(8)
        other = network(inputs._replace(**moved))
    assert torch.allclose(other, 8 * y + 9, atol=1e-4)


def test_of_a_static_field_what_the_cubic_sees_is_no_detail():
    cells = globe(20, 24)
    seen = downscaler(cells, (2, 3))(np.random.default_rng(0).standard_normal(cells.shape))
    ground = Ground.of(cells, (2, 3), seen.astype(np.float32)[None])
    assert np.abs(ground.statics).max() < 1e-3
    unseen = np.random.default_rng(0).standard_normal(seen.shape).astype(np.float32)
    assert np.abs(Ground.of(cells, (2, 3), unseen[None]).statics).mean() > 0.5


@pytest.mark.parametrize(("cells", "factor"), [(globe() if f[0] > f[1] else plain(), f) for f in FACTORS])
@pytest.mark.parametrize("mass", [1.0, 1.1, 0.9])
def test_the_total_is_the_mass_times_what_was_there_for_any_weights(cells, factor, mass):
    maps = a_map(cells, factor, variables=2, land=False, dtype=np.float64)
    network = drawn(TransposedMass(factor, variables=2, mass=mass))
    y = network(whole(maps, network)).detach().numpy()[0]
    before = (maps.x * maps.ground.areas).sum(axis=(1, 2))
    after = (y * maps.ground.part_areas).sum(axis=(1, 2))
    assert after == pytest.approx(mass * before, rel=1e-5)


def test_of_means_the_plain_mean_is_kept():
    maps = a_map(globe(), (4, 2), land=False, dtype=np.float64)
    network = drawn(TransposedMass((4, 2), quantity="mean"))
    assert network.layer.weight.sum().item() == pytest.approx(8)
    assert network(whole(maps, network)).mean().item() == pytest.approx(maps.x.mean(), rel=1e-5)


@pytest.mark.parametrize("mass", [1.0, 1.1, 0.9])
def test_the_mass_is_kept_by_every_step_of_an_optimiser(mass):
    maps = a_map(plain(), (4, 4), land=False)
    network = TransposedMass((4, 4), mass=mass)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    inputs = whole(maps, network)
    first = network.layer.weight.detach().clone()
    for _ in range(5):
        optimiser.zero_grad()
        (network(inputs) - inputs.baseline).square().mean().backward()
        optimiser.step()
        assert network.layer.weight.sum().item() == pytest.approx(mass, rel=1e-5)
    assert (network.layer.weight - first).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Residual((1, 1)), "the factor must be above 1 on one axis at least; got 1x1"),
        (lambda: Residual((2, 2), width=0), "width must be at least 1; got 0"),
        (lambda: Residual((2, 2), statics=-1), "statics must be at least 0; got -1"),
        (lambda: TransposedMass((2, 2), variables=0), "variables must be at least 1; got 0"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(OptionError) as raised:
        make()
    assert str(raised.value) == message
