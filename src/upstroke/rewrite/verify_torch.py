"""Turn a PyTorch module and its rewritten copy into what was compared of them, in double precision too."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from upstroke.errors import first_line
from upstroke.graph.torch import tensors_in
from upstroke.graph.torch_state import left_as_it_was
from upstroke.rewrite.variants import Variant
from upstroke.rewrite.verify import Verified, named_tensors, verified

__all__ = ["TOLERANCE", "VerifiedModules", "runner", "verified_modules"]

# Places that PyTorch computes in float32 put a resize off by up to 2e-4 of its largest value; a model that is
# off by more in double precision draws other random numbers there.
MOST_OF_ITS_OWN = 1e-3
# Relative to the largest value: some 4500 roundings in double precision, some 80 in float32, 4 in the short
# types, of whose rounding a network of any depth leaves more; what the old model is off by itself is added.
TOLERANCE: Mapping[torch.dtype, float] = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}


@dataclass(frozen=True, kw_only=True)
class VerifiedModules:
    """Two modules compared in double precision, where they run in it, and in their own.

    Attributes:
        double: in float64; None where the model does not run so.
        own: in the model's own precision.
        without_double: why there is nothing in float64, in a sentence without a full stop.
    """

    double: Verified | None
    own: Verified
    without_double: str = ""

    @property
    def words(self) -> str:
        """What is wrong, in a sentence without a full stop; empty where nothing is."""
        return (self.double.words if self.double is not None else "") or self.own.words

    @property
    def ok(self) -> bool:
        """Whether all is within the tolerances."""
        return not self.words


def verified_modules(
    old: nn.Module,
    new: nn.Module,
    variants: Sequence[Variant],
    *,
    remake: Callable[[nn.Module], nn.Module] | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    seconds: float = 120.0,
    progress: Callable[[str, float], object] | None = None,
) -> VerifiedModules:
    """Compare a module with what was made of it, on copies in double precision first and then as they are.

    Both run in evaluation mode, without gradients, and are left as they were. In double precision 1e-12 of
    the largest value is allowed; in the model's own precision `tolerance`, and what the old model is off from
    itself in double precision, because PyTorch computes places in a map in float32. A model that turns
    numbers to a shorter type by itself, so that double precision shows no more, is compared in its own only.

    Args:
        old: the model.
        new: what was made of it.
        variants: the inputs, as the models take them.
        remake: makes of a copy of the old model in double precision what was made of it, so that weights
            that were multiplied together are not compared as they were rounded; by default the new model is
            copied.
        tolerance: in the model's own precision; by default `TOLERANCE` of it.
        seed: of torch's random numbers before each call.
        seconds: for each precision, after which no further size is begun.
        progress: told what is being done, and which share of it.

    >>> from upstroke.rewrite.variants import variants
    >>> net = nn.Conv1d(2, 3, 3)
    >>> found = verified_modules(net, copy.deepcopy(net), variants([torch.rand(1, 2, 7)]))
    >>> found.ok, found.double.dtype, found.own.dtype, found.own.largest
    (True, 'float64', 'float32', 0.0)
    """
    dtype = _dtype_of(old, variants)
    allowed = TOLERANCE.get(dtype, TOLERANCE[torch.float32]) if tolerance is None else tolerance
    doubles, without = (None, "") if dtype == torch.float64 else _doubled(old, new, variants, seed, remake)
    double = None
    if doubles is not None:
        wide = [variant.to(torch.float64) for variant in variants]
        double = _compared(
            *doubles, wide, TOLERANCE[torch.float64], torch.float64, [], seed, seconds, progress
        )
        lowered = "" if double.ok else _lowered(doubles[0], wide[0], seed)
        if lowered:
            double, without = None, lowered
    exact = [] if doubles is None or double is None else [_in_double(doubles[0])]
    own = _compared(old, new, variants, allowed, dtype, exact, seed, seconds, progress)
    return VerifiedModules(double=double, own=own, without_double=without)


def runner(module: nn.Module) -> Callable[..., dict[str, Tensor]]:
    """A function that runs a module in evaluation mode and gives its tensors by name.

    It works on copies of its inputs. After each call the module's flags and buffers and torch's random
    numbers are as they were, so that one call does not depend on another.

    >>> list(runner(nn.ReLU())(torch.ones(2)))
    ['output']
    """
    module = getattr(module, "_orig_mod", module)

    def run(*inputs: Any, **keywords: Any) -> dict[str, Tensor]:  # noqa: ANN401 - whatever models take
        given = [*tensors_in(list(inputs)), *tensors_in(keywords)]
        with left_as_it_was(module, given) as originals, torch.no_grad():
            for tensor in (*module.buffers(), *given):
                originals.before_writing(tensor)
            # an output may be one of the buffers that are put back
            return {name: each.clone() for name, each in named_tensors(module(*inputs, **keywords)).items()}

    return run


def _compared(
    old: nn.Module,
    new: nn.Module,
    variants: Sequence[Variant],
    tolerance: float,
    dtype: torch.dtype,
    references: Sequence[Callable[[Variant], object]],
    seed: int,
    seconds: float,
    progress: Callable[[str, float], object] | None,
) -> Verified:
    return verified(
        runner(old),
        runner(new),
        variants,
        tolerance=tolerance,
        dtype=_name(dtype),
        seed=seed,
        references=references,
        most_own=MOST_OF_ITS_OWN,
        seconds=seconds,
        progress=progress,
    )


def _in_double(module: nn.Module) -> Callable[[Variant], object]:
    """What a model in double precision gives for the inputs of another."""

    def run(variant: Variant) -> object:
        wide = variant.to(torch.float64)
        return runner(module)(*wide.inputs, **wide.keywords)

    return run


def _dtype_of(module: nn.Module, variants: Sequence[Variant]) -> torch.dtype:
    """The type of most of the model's numbers that are shorter than double precision, where there are any.

    Of the first floating input where the model has no numbers.
    """
    count: dict[torch.dtype, int] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            count[tensor.dtype] = count.get(tensor.dtype, 0) + tensor.numel()
    # what is in double precision but for one layer is as exact as that layer
    if len(count) > 1:
        count.pop(torch.float64, None)
    if count:
        return max(count, key=lambda dtype: count[dtype])
    given = tensors_in([variants[0].inputs, dict(variants[0].keywords)]) if variants else iter(())
    return next((tensor.dtype for tensor in given if tensor.is_floating_point()), torch.float32)


def _doubled(
    old: nn.Module,
    new: nn.Module,
    variants: Sequence[Variant],
    seed: int,
    remake: Callable[[nn.Module], nn.Module] | None,
) -> tuple[tuple[nn.Module, nn.Module] | None, str]:
    """Both in double precision; where there can be none, why."""
    try:
        wide = _copied(old).double()
    except Exception as error:
        return None, f"the model cannot be copied in double precision: {first_line(error)}"
    if variants:
        example = variants[0].to(torch.float64)
        try:
            with _seeded(seed):
                runner(wide)(*example.inputs, **example.keywords)
        except Exception as error:
            return None, f"the model does not run in double precision: {first_line(error)}"
    try:
        return (wide, _copied(new).double() if remake is None else remake(wide)), ""
    except Exception as error:
        return None, f"the rewritten model cannot be had in double precision: {first_line(error)}"


def _copied(module: nn.Module) -> nn.Module:
    return copy.deepcopy(getattr(module, "_orig_mod", module))


class _ShorterTypes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees whether maps of a shorter type than double are made of ones in double precision."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: torch.dtype | None = None

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        given = kwargs or {}
        result = func(*args, **given)
        if any(each.dtype == torch.float64 and each.ndim > 1 for each in tensors_in([args, given])):
            shorter = (
                each.dtype
                for each in tensors_in(result)
                if each.is_floating_point() and each.dtype != torch.float64
            )
            self.found = self.found or next(shorter, None)
        return result


def _lowered(module: nn.Module, variant: Variant, seed: int) -> str:
    """What is to be said of a model that turns double precision into a shorter type; nothing of others."""
    with _ShorterTypes() as seen, _seeded(seed):
        try:
            runner(module)(*variant.inputs, **variant.keywords)
        except Exception:
            return ""
    return "" if seen.found is None else f"the model itself turns numbers to {_name(seen.found)}"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        yield


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
