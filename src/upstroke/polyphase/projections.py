"""Move an operator's taps as little as possible until a law holds: equal gains, a given mass, symmetry."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.polyphase.kernel_form import KernelForm, kernel_form, trimmed, with_kernel
from upstroke.polyphase.operator import Polyphase

__all__ = ["balanced", "symmetric", "with_mass"]


def balanced(operator: Polyphase, *, mass: float | Tensor | Literal["free", "kept"] = "free") -> Polyphase:
    """Give all phases of every channel pair the same gain, by the least change in the taps.

    With n_r taps and gain G_r in phase r, every tap of it gains (g - G_r) / n_r, where
    g = sum(G_r / n_r) / sum(1 / n_r) for mass="free", the least change of all, which moves the mass;
    g = mean G_r for mass="kept"; g = mass / phases for a given mass (a number or one per channel pair), which
    is the joint projection onto both laws. Derivation: docs/idea.md#projections.

    Raises:
        NotRepresentableError: a phase has no tap, so nothing can give it a gain.

    >>> import torch
    >>> from upstroke.polyphase import transposed
    >>> odd = transposed(torch.ones(1, 1, 3), stride=2, padding=1, output_padding=1)
    >>> balanced(odd, mass="kept").taps.squeeze().tolist()
    [[1.5, 0.0], [0.75, 0.75]]
    """
    counts = _taps_per_phase(operator)
    gains = _gains(operator)
    if isinstance(mass, str):
        if mass not in ("free", "kept"):
            msg = f"mass must be 'free', 'kept' or a number; got {mass!r}"
            raise OptionError(msg)
        weights = 1 / counts if mass == "free" else torch.ones_like(counts)
        weights = weights[:, None, None]
        goal = (gains * weights).sum(dim=0) / weights.sum()
    else:
        goal = _mass_per_pair(mass, gains) / operator.phases
    return _add(operator, (goal - gains) / counts[:, None, None])


def with_mass(operator: Polyphase, mass: float | Float[Tensor, "out in_group"]) -> Polyphase:
    """Give every channel pair this mass (sum over all taps) by the least change: the same on every tap.

    The mass is a number or one per channel pair. Together with equal gains use `balanced(mass=...)`, because
    the two projections do not commute where the coverage is uneven.

    >>> from upstroke.polyphase import nearest
    >>> with_mass(nearest(2), 1.0).taps.flatten().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    gains = _gains(operator)
    if not bool(operator.mask.any()):
        msg = "an operator without taps has no mass to change; give it a kernel first"
        raise NotRepresentableError(msg)
    change = (_mass_per_pair(mass, gains) - gains.sum(dim=0)) / operator.mask.sum()
    return _add(operator, change.expand_as(gains))


def symmetric(operator: Polyphase, *, axes: Sequence[int] | None = None) -> Polyphase:
    """Make the kernel equal to its mirror image along these axes (default: all), by the least change.

    The kernel becomes the mean of itself and its mirror images about the middle of its extent; a tap whose
    mirror image does not exist can only be zero, and is absent from then on.

    >>> from upstroke.polyphase import transposed
    >>> import torch
    >>> lopsided = transposed(torch.tensor([[[1.0, 2.0, 5.0, 0.0]]]), stride=2, padding=1)
    >>> kernel_form(symmetric(lopsided)).kernel.flatten().tolist()[1:5]
    [0.5, 3.5, 3.5, 0.5]
    """
    form = trimmed(kernel_form(operator))
    kernel, support = form.kernel, form.support
    for axis in range(operator.ndim) if axes is None else axes:
        if not 0 <= axis < operator.ndim:
            msg = f"axes must be among 0 to {operator.ndim - 1}; got {axis}"
            raise OptionError(msg)
        support = support & support.flip(axis)
        kernel = (kernel + kernel.flip(2 + axis)) / 2 * support
    return with_kernel(operator, KernelForm(kernel=kernel, support=support, crop=form.crop))


def _gains(operator: Polyphase) -> Tensor:
    return operator.taps.double().flatten(3).sum(dim=-1)


def _mass_per_pair(mass: float | Tensor, gains: Tensor) -> Tensor:
    """The mass as a number, or one per channel pair."""
    wanted = torch.as_tensor(mass, dtype=gains.dtype, device=gains.device)
    if wanted.ndim and wanted.shape != gains.shape[1:]:
        msg = (
            f"mass must be one number, or have shape (out, in) = {tuple(gains.shape[1:])}; "
            f"got shape {tuple(wanted.shape)}"
        )
        raise ShapeError(msg)
    return wanted


def _taps_per_phase(operator: Polyphase) -> Tensor:
    """How many taps each phase has, none of them without any."""
    counts = operator.mask.flatten(1).sum(dim=1)
    if not bool(counts.all()):
        empty = (counts == 0).nonzero().flatten().tolist()
        msg = (
            f"an operator can only be balanced if every phase has a tap; phases {empty} of scale "
            f"{operator.scale} have none, so use a kernel at least as long as the stride, and no dilation "
            "that shares a factor with it"
        )
        raise NotRepresentableError(msg)
    return counts.double()


def _add(operator: Polyphase, change: Tensor) -> Polyphase:
    """Add a number per phase and channel pair to every tap that exists."""
    spread = change.reshape(*change.shape, *(1,) * operator.ndim) * operator.mask[:, None, None]
    return replace(operator, taps=(operator.taps.double() + spread).to(operator.taps.dtype))
