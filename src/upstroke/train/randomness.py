"""Turn a seed and the place in a run into the states of all random generators."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch

__all__ = ["derived_seed", "seed_all", "seeded"]


def derived_seed(*parts: int | str) -> int:
    """A seed of 63 bits that follows from all parts; one that differs gives quite another seed.

    >>> derived_seed(0, "step", 7), derived_seed(0, "step", 8)
    (2131887408479480457, 7255776043780687121)
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_all(*parts: int | str) -> None:
    """Set the generators of Python, NumPy and PyTorch, on devices in use, from `derived_seed`."""
    seed = derived_seed(*parts)
    random.seed(seed)
    numpy.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    # not torch.manual_seed: for devices not in use it keeps a call for later, with a traceback, every time
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Run a block with all generators set from the parts; afterwards they are as if it had not run.

    >>> with seeded(7, "weights"):
    ...     first = torch.rand(1)
    >>> with seeded(7, "weights"):
    ...     again = torch.rand(1)
    >>> bool(first == again)
    True
    """
    python, legacy, cpu = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        seed_all(*parts)
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)
        torch.set_rng_state(cpu)
        if devices:
            torch.cuda.set_rng_state_all(devices)
