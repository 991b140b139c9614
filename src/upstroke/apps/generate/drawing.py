"""Seeds and numbers become latent vectors, and a generator's pictures of them."""

from collections.abc import Iterable

import numpy
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from upstroke.apps.generate.values import as_bytes
from upstroke.nn import Generator
from upstroke.train import derived_seed, seeded

__all__ = ["drawn", "latents", "settled"]

# Pictures that are drawn at a time: maps of as many fit into a processor's caches.
AT_ONCE = 16
# Batches over which the statistics of norms are taken anew.
SETTLED = 32


def latents(numbers: Iterable[int], length: int, *, seed: int) -> Float[Tensor, "n length"]:
    """Latent vectors by number, normal with mean 0 and deviation 1; each follows from seed and number alone.

    >>> few, many = latents([3], 4, seed=7), latents(range(20), 4, seed=7)
    >>> bool((few[0] == many[3]).all())
    True
    """
    rows = [
        torch.randn(length, generator=torch.Generator().manual_seed(derived_seed(seed, "latent", number)))
        for number in numbers
    ]
    return torch.stack(rows) if rows else torch.empty(0, length)


@torch.no_grad()
def drawn(
    network: nn.Module, z: Float[Tensor, "n latent"], *, device: str | torch.device = "cpu"
) -> UInt8[numpy.ndarray, "n channels size size"]:
    """The pictures of latent vectors as levels, some at a time.

    Args:
        network: a generator, in evaluation mode, on the device.
        z: latent vectors.
        device: where it computes.

    Raises:
        OptionError: it draws NaN.
    """
    return numpy.concatenate([as_bytes(network(part.to(device))) for part in torch.split(z, AT_ONCE)])


@torch.no_grad()
def settled(network: Generator) -> Generator:
    """A copy in evaluation mode, with plain weights, whose norms have the statistics of those weights.

    In training the statistics follow from weights of many steps, and averaged weights were never trained
    with. Here they are means over 512 pictures, the same ones every time.
    """
    copied = network.released()
    norms = [each for each in copied.modules() if isinstance(each, nn.BatchNorm2d)]
    if norms:
        momenta = [each.momentum for each in norms]
        for each in norms:
            each.reset_running_stats()
            # a plain mean over all batches
            each.momentum = None
        copied.train()
        device = network.sketch.weight.device
        with seeded("norms"):
            for _ in range(SETTLED):
                copied(torch.randn(AT_ONCE, network.latent).to(device))
        for each, momentum in zip(norms, momenta, strict=True):
            each.momentum = momentum
    return copied.eval()
