"""Interleaving is the pixel shuffle of any axes and scales, deinterleaving its inverse; layouts are moved by it."""

import importlib
import math
import re
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import seeded
from upstroke.errors import ShapeError
from upstroke.ops import deinterleave, interleave
from upstroke.ops.interleave import deinterleave_into, interleave_into
from upstroke.ops.kernels import native
from upstroke.ops.layout import in_layout
from upstroke.ops.relayout import relaid

# the package's attribute of this name is the function
MODULE = importlib.import_module("upstroke.ops.interleave")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
WIDTHS = (1, 2, 5, 8, 15, 16, 17, 31, 32, 33, 70)


@st.composite
def shuffles(draw):
    """Scale and cells of 1 to 3 axes, each with its own, and channels."""
    ndim = draw(st.integers(1, 3))
    scale = [draw(st.integers(1, 3)) for _ in range(ndim - 1)]
    scale.append(draw(st.sampled_from((1, 2, 3, 4, 5, 8, 9, 17))))
    cells = [draw(st.integers(1, 3)) for _ in range(ndim - 1)] + [draw(st.sampled_from(WIDTHS))]
    return tuple(scale), tuple(cells), draw(st.integers(1, 3))


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def as_reference(maps, scale):
    """Sample scale * m + p of channel o is cell m of channel o * phases + p, number by number."""
    ndim, (batch, channels, *cells) = len(scale), maps.shape
    samples = maps.new_empty(
        batch, channels // math.prod(scale), *(s * n for s, n in zip(scale, cells, strict=True))
    )
    for p in range(math.prod(scale)):
        phase, rest = [], p
        for s in reversed(scale):
            phase.insert(0, rest % s)
            rest //= s
        places = tuple(slice(phase[axis], None, scale[axis]) for axis in range(ndim))
        samples[:, :, *places] = maps[:, p :: math.prod(scale)]
    return samples


@pytest.fixture(autouse=True)
def _however_small(monkeypatch):
    """Small maps too take the compiled kernels."""
    monkeypatch.setattr(MODULE, "_WORTH_A_CALL", 1)


@given(shuffle=shuffles(), dtype=st.sampled_from(DTYPES), batch=st.integers(1, 2))
def test_every_sample_is_its_phases_number_and_back(shuffle, dtype, batch):
    scale, cells, channels = shuffle
    maps = drawn(batch, channels * math.prod(scale), *cells, dtype=dtype)
    wanted = as_reference(maps, scale)
    for way in (interleave, torch.ops.upstroke.interleave, MODULE._interleaved):
        samples = way(maps, list(scale))
        assert torch.equal(samples, wanted)
    for way in (deinterleave, torch.ops.upstroke.deinterleave, MODULE._deinterleaved):
        assert torch.equal(way(wanted, list(scale)), maps)


@given(shuffle=shuffles(), dtype=st.sampled_from(DTYPES), data=st.data())
def test_strips_make_the_whole_and_touch_nothing_else(shuffle, dtype, data):
    """Cut along any axis: phases then have gaps, or do not; samples always have."""
    scale, cells, channels = shuffle
    phases = math.prod(scale)
    maps = drawn(channels * phases, *cells, dtype=dtype)
    wanted = as_reference(maps[None], scale)[0]
    axis = data.draw(st.integers(0, len(scale) - 1))
    cut = data.draw(st.integers(0, cells[axis]))
    room = [s * n + 3 for s, n in zip(scale, cells, strict=True)]
    whole = torch.full((channels, *room), math.nan, dtype=dtype)
    inner = (slice(None), *(slice(1, 1 + s * n) for s, n in zip(scale, cells, strict=True)))
    samples, back = whole[inner], torch.full_like(maps, math.nan)
    for first, last in ((0, cut), (cut, cells[axis])):
        if first < last:
            strip = samples.narrow(1 + axis, first * scale[axis], (last - first) * scale[axis])
            interleave_into(maps.narrow(1 + axis, first, last - first), strip, scale)
            deinterleave_into(strip, back.narrow(1 + axis, first, last - first), scale)
    assert torch.equal(samples, wanted)
    assert torch.equal(back, maps)
    assert whole.isnan().sum() == whole.numel() - samples.numel()


@pytest.mark.parametrize(
    "lie",
    [
        lambda maps: maps.contiguous(),
        lambda maps: torch.stack([maps, maps], -1)[..., 0],
        lambda maps: maps.mT.contiguous().mT,
        lambda maps: maps.transpose(0, 1).contiguous().transpose(0, 1),
        lambda maps: torch.nn.functional.pad(maps, (1, 2))[..., 1:-2],
        lambda maps: torch.nn.functional.pad(maps, (0, 0, 1, 2))[..., 1:-2, :],
    ],
)
def test_maps_may_lie_as_they_like(lie):
    maps = drawn(12, 5, 70)
    wanted = as_reference(maps[None], (2, 3))[0]
    for one, other in ((lie, torch.clone), (torch.clone, lie)):
        samples, back = other(torch.zeros_like(wanted)), one(torch.zeros_like(maps))
        interleave_into(one(maps), samples, (2, 3))
        assert torch.equal(samples, wanted)
        deinterleave_into(other(wanted), back, (2, 3))
        assert torch.equal(back, maps)


def test_the_bits_arrive_whatever_they_mean():
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype, numbers in (
        (torch.bfloat16, patterns),
        (torch.float32, (patterns.int() << 16) | 0x1234),
        (torch.float64, (patterns.long() << 48) | 0x1234567),
    ):
        bits = numbers.view(1, 4, 2**14)
        samples = interleave(bits.view(dtype), (4,))
        assert torch.equal(samples.view(bits.dtype), as_reference(bits, (4,)))


@pytest.mark.skipif(native() is None, reason="upstroke._native was not built")
@given(shuffle=shuffles(), name=st.sampled_from(("avx512", "avx2", "baseline")))
def test_every_set_of_instructions_and_number_of_threads_gives_the_same(shuffle, name):
    scale, cells, channels = shuffle
    kernels = native()
    if name not in kernels.available_instructions():
        return
    maps = drawn(1, channels * math.prod(scale), *cells)
    before = torch.get_num_threads()
    kernels.use_instructions(name)
    torch.set_num_threads(3)
    try:
        assert torch.equal(interleave(maps, scale), as_reference(maps, scale))
    finally:
        torch.set_num_threads(before)
        kernels.use_instructions(kernels.available_instructions()[0])


@pytest.mark.skipif(native() is None, reason="upstroke._native was not built")
def test_contiguous_maps_that_nobody_reads_run_in_the_kernels():
    x = drawn(2, 12, 3, 5)

    def runs_ours(maps):
        with mock.patch.object(MODULE, "_run", side_effect=MODULE._run) as run:
            interleave(maps, (2, 3))
        return run.called

    assert runs_ours(x)
    assert runs_ours(x.requires_grad_())
    assert not runs_ours(in_layout(x.detach(), channels_last=True))
    assert not runs_ours(x[:0])
    assert not runs_ours(x.detach().to("meta"))
    with torch.autograd.forward_ad.dual_level():
        assert not runs_ours(x)
    seen = []
    torch.vmap(lambda one: seen.append(runs_ours(one)) or one)(x[None])
    assert seen == [False]
    with mock.patch.object(MODULE, "_WORTH_A_CALL", x.numel() + 1):
        assert not runs_ours(x)


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("scale", [(3,), (2, 3), (2, 1, 2)])
def test_the_gradient_of_the_one_is_the_other(scale, kernels):
    cells = (2, 3, 2)[: len(scale)]
    maps = drawn(2, 2 * math.prod(scale), *cells, dtype=torch.float64).requires_grad_()
    with mock.patch.object(MODULE, "native", native if kernels else lambda: None):
        for run in (lambda x: interleave(x, scale), lambda x: torch.ops.upstroke.interleave(x, scale)):
            assert torch.autograd.gradcheck(run, maps)
            assert torch.autograd.gradgradcheck(run, maps)
            samples = run(maps)
            g = drawn(*samples.shape, seed=1, dtype=torch.float64)
            (back,) = torch.autograd.grad(samples, maps, g)
            assert torch.equal(back, deinterleave(g, scale))
        samples = interleave(maps, scale).detach().requires_grad_()
        for run in (lambda x: deinterleave(x, scale), lambda x: torch.ops.upstroke.deinterleave(x, scale)):
            assert torch.autograd.gradcheck(run, samples)
            assert torch.autograd.gradgradcheck(run, samples)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("scale", [(3,), (2, 3), (2, 1, 2)])
def test_pytorchs_own_check_of_an_operator(scale):
    maps = drawn(2, 2 * math.prod(scale), *(2, 3, 2)[: len(scale)]).requires_grad_()
    samples = interleave(maps, scale).detach().requires_grad_()
    torch.library.opcheck(torch.ops.upstroke.interleave.default, (maps, list(scale)))
    torch.library.opcheck(torch.ops.upstroke.deinterleave.default, (samples, list(scale)))


@pytest.mark.parametrize("dim", [0, 1, 3])
def test_many_at_once(dim):
    maps = drawn(2, 3, 12, 4, 5)
    for operator, one in (
        (torch.ops.upstroke.interleave, maps),
        (torch.ops.upstroke.deinterleave, drawn(2, 3, 2, 8, 15)),
    ):
        every = one.movedim(0, dim)
        wanted = torch.stack([operator(each, [2, 3]) for each in one])
        assert torch.equal(
            torch.vmap(lambda x, operator=operator: operator(x, [2, 3]), in_dims=dim)(every), wanted
        )


OF_SCALE = "scale must have a number of at least 1 for each of 1 to 3 spatial axes of a map (batch, channels, *size); got "
OF_CHANNELS = (
    "maps must have a channel for each of the 6 phases of scale (2, 3), or a multiple of so many; got "
)
OF_SIZE = "samples must have a multiple of scale (2, 3) as size; got "


@pytest.mark.parametrize(
    ("name", "shape", "scale", "message"),
    [
        ("interleave", (1, 7, 4, 5), (2, 3), OF_CHANNELS + "shape (1, 7, 4, 5)"),
        ("deinterleave", (1, 2, 4, 5), (2, 3), OF_SIZE + "shape (1, 2, 4, 5)"),
        ("interleave", (1, 6, 5), (2, 3), OF_SCALE + "(2, 3) for shape (1, 6, 5)"),
        ("deinterleave", (1, 6, 5), (0,), OF_SCALE + "(0,) for shape (1, 6, 5)"),
    ],
)
def test_wrong_sizes_are_refused(name, shape, scale, message):
    for device in ("cpu", "meta"):
        with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
            getattr(torch.ops.upstroke, name)(torch.zeros(shape, device=device), list(scale))


def test_no_maps_and_no_cells():
    assert torch.ops.upstroke.interleave(torch.zeros(0, 6, 2, 3), [2, 3]).shape == (0, 1, 4, 9)
    assert torch.ops.upstroke.deinterleave(torch.zeros(2, 0, 4, 9), [2, 3]).shape == (2, 0, 2, 3)
    assert interleave(torch.zeros(0, 6, 2), (3,)).shape == (0, 2, 6)


@given(
    size=st.lists(st.sampled_from((1, 2, 3, 16, 17, 64, 65)), min_size=1, max_size=3).filter(
        lambda size: math.prod(size) < 5000
    ),
    channels=st.sampled_from((1, 2, 3, 8, 17, 33)),
    batch=st.integers(1, 3),
    dtype=st.sampled_from(DTYPES),
    from_last=st.booleans(),
    to_last=st.booleans(),
)
def test_a_map_in_its_other_layout_is_the_same_map(size, channels, batch, dtype, from_last, to_last):
    x = in_layout(drawn(batch, channels, *size, dtype=dtype), channels_last=from_last)
    moved, wanted = relaid(x, channels_last=to_last), in_layout(x, channels_last=to_last)
    assert torch.equal(moved, wanted)
    # it lies as wanted, so that it need not be moved again
    assert in_layout(moved, channels_last=to_last).data_ptr() == moved.data_ptr()


@pytest.mark.parametrize("size", [(7, 65), (65, 7), (2, 3, 64), (3, 64, 5), (130,)])
def test_long_lines_and_short_ones_are_moved(size):
    x = drawn(2, 18, *size)
    last = relaid(x, channels_last=True)
    assert torch.equal(last, x)
    assert torch.equal(relaid(last, channels_last=False), x)


def test_a_map_that_lies_in_neither_layout_is_moved_too():
    x = drawn(2, 3, 8, 10)[..., ::2]
    for last in (False, True):
        moved = relaid(x, channels_last=last)
        assert torch.equal(moved, x)
        assert moved.stride() == in_layout(x, channels_last=last).stride()
