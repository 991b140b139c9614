"""Turn two models and inputs of several sizes into how far what they give is apart."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from upstroke.errors import first_line
from upstroke.graph.torch import tensors_in
from upstroke.rewrite.variants import Variant

__all__ = [
    "Case",
    "Difference",
    "Verified",
    "differences",
    "named_tensors",
    "relative_difference",
    "verified",
]

OUTPUT = "output"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one output of the new model is from that of the old one.

    Attributes:
        name: of the output.
        relative: largest |new - old| over largest |old|, without a unit; infinite where they cannot be
            compared, because shapes, types or infinite values differ.
        own: how far the old one is, likewise, from itself computed otherwise, where that was asked for.
        words: what is different where the number alone does not say it.
    """

    name: str
    relative: float
    own: float = 0.0
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What came of inputs of one size.

    Attributes:
        words: which inputs.
        sizes: shapes of the tensors among them.
        outputs: one difference for each output; none where a model refused the size.
        refused: why neither model takes this size; None where they do.
        fault: what is wrong where one of them takes the size and the other does not; empty where nothing is.
    """

    words: str
    sizes: tuple[tuple[int, ...], ...]
    outputs: tuple[Difference, ...] = ()
    refused: str | None = None
    fault: str = ""

    @property
    def largest(self) -> float:
        """The largest relative difference of all outputs; infinite where one model alone takes the size."""
        return math.inf if self.fault else max((each.relative for each in self.outputs), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Two models compared in one precision.

    Attributes:
        tolerance: the relative difference that is allowed, besides that of the old model from itself.
        dtype: the precision, such as float32.
        cases: one for each size that was tried.
        untried: in words, the inputs for which no time was left.
    """

    tolerance: float
    dtype: str
    cases: tuple[Case, ...]
    untried: tuple[str, ...] = field(default=())

    @property
    def largest(self) -> float:
        """The largest relative difference of all outputs at all sizes."""
        return max((case.largest for case in self.cases), default=0.0)

    @property
    def ok(self) -> bool:
        """Whether all is within the tolerance, and something was compared at all."""
        return not self.words

    @property
    def words(self) -> str:
        """What is wrong, in a sentence without a full stop; empty where nothing is."""
        for case in self.cases:
            at = f"for inputs of {_sizes(case.sizes)} ({case.words}) in {self.dtype}"
            if case.fault:
                return f"{at} {case.fault}"
            for each in case.outputs:
                if not each.relative <= self.tolerance + each.own:
                    off = each.words or f"differs by {each.relative:.1e} of its largest value"
                    own = f", and of {each.own:.1e} that it is off by itself" if each.own else ""
                    return f"{at} {each.name!r} {off}; allowed are {self.tolerance:.0e}{own}"
        if not any(case.outputs for case in self.cases):
            reasons = [case.refused for case in self.cases if case.refused]
            said = f": {reasons[0]}" if reasons else ""
            return f"nothing could be compared in {self.dtype}{said}"
        return ""


def verified(
    old: Callable[..., object],
    new: Callable[..., object],
    variants: Iterable[Variant],
    *,
    tolerance: float,
    dtype: str,
    seed: int = 0,
    references: Sequence[Callable[[Variant], object]] = (),
    most_own: float = 1e-3,
    seconds: float = math.inf,
    progress: Callable[[str, float], object] | None = None,
) -> Verified:
    """Run both models on the same inputs, each under the same seed, and compare all that they give.

    Floating outputs are compared by largest |new - old| over largest |old|, where 0 over 0 is 0, a NaN in the
    same place is equal and an infinity too; whole numbers and truth values must be equal, and so must names,
    shapes and types. A size that one of them refuses and the other takes is a fault.

    Args:
        old: called with the inputs of a variant; gives tensors, in any structure.
        new: likewise.
        variants: the inputs, the most telling ones first.
        tolerance: relative difference that is allowed.
        dtype: name of the precision, for the result.
        seed: of torch's random numbers before each call, for models that draw some themselves.
        references: the old one computed otherwise, in double precision for instance, to tell how far it is
            off by itself where the tolerance alone does not suffice.
        most_own: what it may be off by itself; what is off by more says nothing and allows nothing, because
            it draws other random numbers, or chooses otherwise.
        seconds: after which no further size is begun; the first two are tried in any case.
        progress: told what is being done, and which share of it all is done.

    >>> from upstroke.rewrite.variants import variants
    >>> found = verified(lambda x: x / 3, lambda x: x * (1 / 3), variants([torch.ones(4)]),
    ...                  tolerance=1e-6, dtype="float32")
    >>> found.ok, len(found.cases)
    (True, 2)
    >>> verified(lambda x: x, lambda x: x[:3], variants([torch.ones(4)]),
    ...          tolerance=1e-6, dtype="float32").words
    "for inputs of 4 (as given) in float32 'output' has the shape 3 and not 4; allowed are 1e-06"
    """
    tried, cases, untried = tuple(variants), [], []
    began = time.monotonic()
    for place, variant in enumerate(tried):
        if place > 1 and time.monotonic() - began > seconds:
            untried.append(variant.words)
            continue
        if progress is not None:
            progress(f"comparing in {dtype}: {variant.words}", place / len(tried))
        case, before = _case(old, new, variant, seed)
        if references and tolerance < case.largest < math.inf:
            outputs = _with_own(case.outputs, before, references, variant, seed, most_own)
            case = replace(case, outputs=outputs)
        cases.append(case)
    return Verified(tolerance=tolerance, dtype=dtype, cases=tuple(cases), untried=tuple(untried))


def named_tensors(value: object) -> dict[str, Tensor]:
    """The tensors in what a model gives, by their place in it.

    >>> list(named_tensors(torch.ones(1))), list(named_tensors({"a": torch.ones(1), "b": [torch.ones(1)]}))
    (['output'], ['a', 'b.0'])
    """
    return {name or OUTPUT: tensor for name, tensor in _named(value, "")}


def differences(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> tuple[Difference, ...]:
    """How far each output is apart; one that only one of them has is infinitely far.

    >>> a, b = {"y": torch.tensor([4.0, 2.0])}, {"y": torch.tensor([4.0, 2.5])}
    >>> differences(a, b)[0].relative
    0.125
    """
    found = [
        _difference(name, old[name], new[name])
        if name in new
        else Difference(name=name, relative=math.inf, words="is missing")
        for name in old
    ]
    more = [name for name in new if name not in old]
    return (*found, *(Difference(name=name, relative=math.inf, words="is one more") for name in more))


def relative_difference(old: Tensor, new: Tensor) -> float:
    """Largest |new - old| over largest |old|; what is not finite has to be the same in the same places.

    Infinite where it has not, where shapes differ, and where zeros alone became something else.

    >>> relative_difference(torch.tensor([4.0, 2.0]), torch.tensor([4.0, 2.5]))
    0.125
    """
    if old.shape != new.shape:
        return math.inf
    wide = torch.complex128 if old.is_complex() else torch.float64
    old, new = old.detach().to(wide), new.detach().to(wide)
    finite = torch.isfinite(old)
    same = (old == new) | (torch.isnan(old) & torch.isnan(new))
    if bool((~finite & ~same).any()) or bool((finite & ~torch.isfinite(new)).any()):
        return math.inf
    off, largest = _largest((new - old)[finite]), _largest(old[finite])
    return off / largest if off and largest else (math.inf if off else 0.0)


def _case(
    old: Callable[..., object], new: Callable[..., object], variant: Variant, seed: int
) -> tuple[Case, dict[str, Tensor]]:
    """What came of one variant, and what the old model gave."""
    before, refused_before = _ran(partial(old, *variant.inputs, **variant.keywords), seed)
    after, refused_after = _ran(partial(new, *variant.inputs, **variant.keywords), seed)
    words, sizes = variant.words, variant.sizes
    if refused_before and refused_after:
        return Case(words=words, sizes=sizes, refused=refused_before), before
    if refused_after:
        return Case(words=words, sizes=sizes, fault=f"only the new model fails: {refused_after}"), before
    if refused_before:
        return Case(words=words, sizes=sizes, fault=f"only the old model fails: {refused_before}"), before
    return Case(words=words, sizes=sizes, outputs=differences(before, after)), before


def _with_own(
    outputs: Sequence[Difference],
    before: Mapping[str, Tensor],
    references: Sequence[Callable[[Variant], object]],
    variant: Variant,
    seed: int,
    most_own: float,
) -> tuple[Difference, ...]:
    """The differences, and beside them how far the old model is off by itself."""
    own = dict.fromkeys(before, 0.0)
    for reference in references:
        other, refused = _ran(partial(reference, variant), seed)
        for name in set() if refused else set(before) & set(other):
            one = before[name]
            if one.shape == other[name].shape and one.is_floating_point():
                own[name] = max(own[name], relative_difference(other[name], one.to(other[name].dtype)))
    return tuple(
        replace(each, own=own[each.name]) if own.get(each.name, math.inf) <= most_own else each
        for each in outputs
    )


def _ran(call: Callable[[], object], seed: int) -> tuple[dict[str, Tensor], str]:
    """What a model gives, or why it gives nothing."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        try:
            return named_tensors(call()), ""
        except Exception as error:
            return {}, first_line(error)


def _difference(name: str, old: Tensor, new: Tensor) -> Difference:
    if old.shape != new.shape:
        words = f"has the shape {_size(new.shape)} and not {_size(old.shape)}"
        return Difference(name=name, relative=math.inf, words=words)
    if old.dtype != new.dtype:
        words = f"is {_type(new.dtype)} and not {_type(old.dtype)}"
        return Difference(name=name, relative=math.inf, words=words)
    if not (old.is_floating_point() or old.is_complex()):
        unequal = int((old != new).sum())
        words = f"differs in {unequal} of {old.numel()} numbers" if unequal else ""
        return Difference(name=name, relative=math.inf if unequal else 0.0, words=words)
    relative = relative_difference(old, new)
    words = "" if math.isfinite(relative) else "is not finite where the old one is, or differs from zero"
    return Difference(name=name, relative=relative, words=words)


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _named(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in a structure, under the names and numbers that lead to it."""
    if isinstance(value, Tensor):
        yield name, value
        return
    if isinstance(value, Mapping):
        inside: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    else:
        # an object of a type of its own holds its tensors as attributes
        inside = enumerate(tensors_in(value))
    for key, each in inside:
        yield from _named(each, f"{name}.{key}" if name else str(key))


def _sizes(sizes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(_size(size) for size in sizes) or "nothing"


def _size(size: Sequence[int]) -> str:
    return "x".join(map(str, size)) or "a single number"


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
