"""Move the operator and the biases of a layer as little as possible until the laws that are asked hold."""

from collections.abc import Mapping

import torch
from torch import Tensor

from upstroke.polyphase import Polyphase, balanced, with_mass
from upstroke.rewrite.block_means import with_blocks

__all__ = ["projected", "projected_bias"]


def projected(operator: Polyphase, *, evenly: bool, mass: bool, blocks: bool) -> tuple[Polyphase, str]:
    """The nearest operator that keeps the laws, and which these are, in words."""
    alike = "every phase answers a constant alike" if evenly else ""
    if blocks:
        choices = {
            what: with_blocks(operator, kept, balanced=evenly) for what, kept in _kept(operator).items()
        }
        what, chosen = _nearest(operator, choices)
        return chosen, " and ".join(filter(None, [alike, f"every block keeps the {what} of its cell"]))
    if mass:
        choices = {}
        for what, kept in _kept(operator).items():
            wanted = _mass_for(operator, kept)
            choices[what] = balanced(operator, mass=wanted) if evenly else with_mass(operator, wanted)
        what, chosen = _nearest(operator, choices)
        return chosen, " and ".join(filter(None, [alike, f"the {what} is kept"]))
    return balanced(operator), alike


def _kept(operator: Polyphase) -> dict[str, float]:
    return {"total": 1.0, "mean": float(operator.phases)}


def _nearest(operator: Polyphase, choices: Mapping[str, Polyphase]) -> tuple[str, Polyphase]:
    """The choice that moves the taps least."""

    def moved(what: str) -> float:
        return float((choices[what].taps - _like(operator, choices[what]).taps).norm())

    nearest = min(choices, key=moved)
    return nearest, choices[nearest]


def _like(operator: Polyphase, other: Polyphase) -> Polyphase:
    """The operator with the room that the other has."""
    before = [b - a for a, b in zip(operator.origin, other.origin, strict=True)]
    after = [m - k - b for k, m, b in zip(operator.kernel, other.kernel, before, strict=True)]
    return operator.padded(before, after) if any((*before, *after)) else operator


def _mass_for(operator: Polyphase, kept: float) -> Tensor:
    """The nearest masses, (out, in of one group), that keep so much of what comes in.

    With as many channels out as in each keeps its own and gives nothing to the others; otherwise what one
    channel gives to all together is kept.
    """
    mass = operator.taps.double().flatten(3).sum(dim=(0, -1))
    if operator.in_channels == operator.out_channels:
        wanted = torch.zeros_like(mass)
        channels = torch.arange(operator.out_channels)
        wanted[channels, channels % mass.shape[1]] = kept
        return wanted
    of_group = mass.reshape(operator.groups, -1, mass.shape[1])
    missing = (kept - of_group.sum(dim=1, keepdim=True)) / of_group.shape[1]
    return (of_group + missing).reshape(mass.shape)


def projected_bias(bias: Tensor | None, *, evenly: bool, kept: bool) -> Tensor | None:
    """The nearest rows, (phases, out): equal where phases are to be, without a mean where that adds."""
    if bias is None:
        return None
    mean = bias.mean(dim=0, keepdim=True).expand_as(bias)
    # what is equal stays as it is, to the last bit
    even = bias if bool((bias == bias[:1]).all()) else mean
    if kept:
        return torch.zeros_like(bias) if evenly else bias - mean
    return even if evenly else bias
