"""Turn what a contender computes into a verdict: right, or wrong by how much; only what is right is timed."""

import copy
import functools
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.cases import Case, Fixed, Generator, Transposed, Work
from benchmarks.contender import Computed, Contender, has_layout, random_map
from benchmarks.layers import pytorchs

# relative to the largest value: float32 sums of up to some 100,000 products, in any order and by Winograd's
# method; bfloat16 rounds the result to 8 bits, and libraries differ in what they round on the way
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-5, torch.bfloat16: 3e-2}
# A net's layers multiply the error of those before. Backward, a ReLU whose input is zero to rounding opens
# for one and not for the other, which moves some gradients by a hundredth of the largest: those are compared
# in the mean square. Each layer is also a case of its own.
IN_A_NET, GRADIENTS_OF_A_NET = 1e-3, 1e-2


@dataclass(frozen=True, kw_only=True)
class Expected:
    """PyTorch's results in float64; where channels stand alone, of the first, a middle and the last one."""

    values: Computed
    channels: list[int] | None
    tolerance: float
    squared: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate found.

    Attributes:
        error: the largest difference from what is expected, relative to the largest value, or both in the
            mean square.
        right: whether that is rounding.
        keeps_layout: whether the map came out in the layout in which the map was given.
        seconds: that the one run took.
    """

    error: float
    right: bool
    keeps_layout: bool
    seconds: float


def verdict(contender: Contender, expected: Expected) -> Verdict:
    """Run a contender once and look at what it computed."""
    start = time.perf_counter()
    computed = contender.computed()
    seconds = time.perf_counter() - start
    worst = 0.0
    for name, actual in computed.items():
        picked = _picked(name, actual.detach(), expected.channels)
        off = _error(picked, expected.values[name], squared=expected.squared)
        # the other way round a NaN would pass as no error
        worst = off if not off <= worst else worst
    kept = all(has_layout(value, contender.layout) for name, value in computed.items() if name == "y")
    return Verdict(error=worst, right=worst <= expected.tolerance, keeps_layout=kept, seconds=seconds)


def _error(actual: Tensor, wanted: Tensor, *, squared: bool) -> float:
    if actual.shape != wanted.shape:
        return float("inf")
    difference = actual.double() - wanted
    if squared:
        return float(difference.norm() / wanted.norm())
    return float(difference.abs().max() / wanted.abs().max())


def expected(case: Case, dtype: torch.dtype, work: Work) -> Expected:
    """What everybody has to compute."""
    both = "forward" if work == "forward" else "forward+backward"
    is_net, backward = isinstance(case.layer, Generator), both != "forward"
    of_net = GRADIENTS_OF_A_NET if backward else IN_A_NET
    return Expected(
        values=_computed(case, dtype, both),
        channels=_channels(case),
        tolerance=of_net if is_net else TOLERANCE[dtype],
        squared=is_net and backward,
    )


@functools.lru_cache(maxsize=2)
def _computed(case: Case, dtype: torch.dtype, work: Work) -> Computed:
    picked = _channels(case)
    whole = pytorchs(case).to(dtype).double()
    module = whole if picked is None else pytorchs(case, channels=len(picked)).double()
    if picked is not None:
        state = whole.state_dict()
        # a fixed kernel is one for all channels
        if isinstance(case.layer, Transposed):
            state = {name: _picked(name, value, picked) for name, value in state.items()}
        module.load_state_dict(state)
    module = copy.deepcopy(module)
    x = _picked("x", random_map(case.shape, dtype, "contiguous"), picked).double()
    if work == "forward":
        with torch.no_grad():
            return {"y": module.eval()(x)}
    y = module.train()(x.requires_grad_())
    # the random gradient of the whole map, before channels are picked from it
    shape = (y.shape[0], case.shape[1] if picked is not None else y.shape[1], *y.shape[2:])
    g = _picked("x", random_map(shape, dtype, "contiguous", seed=2), picked).double()
    sources = {"x": x} | dict(module.named_parameters())
    return dict(zip(sources, torch.autograd.grad(y, list(sources.values()), g), strict=True))


def _channels(case: Case) -> list[int] | None:
    alone = isinstance(case.layer, Fixed) or (isinstance(case.layer, Transposed) and case.layer.out is None)
    last = case.shape[1] - 1
    return sorted({0, last // 2, last}) if alone else None


def _picked(name: str, value: Tensor, channels: list[int] | None) -> Tensor:
    """These channels of a map, or of the parameters."""
    if channels is None:
        return value
    return value[:, channels] if name in ("x", "y") else value[channels]
