"""Turn pictures into features by a small network that was trained on such pictures themselves.

Nothing is downloaded, so what a distance of features means is limited, and its record says so: the network
knows the pictures of one data set. It has learned to recognise each of them again after another part of it
was cut out and its brightness and contrast were changed a little (instance discrimination: Chen et al., "A
simple framework for contrastive learning of visual representations", ICML 2020). Blur, noise and grids are
no part of those changes, so that features tell them.
"""

import hashlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from upstroke.apps.generate.values import signed
from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError

__all__ = ["FEATURES", "FeatureNetwork", "OwnFeatures", "own_features"]

# Numbers that a picture is turned into, and channels of the first stage, which double until they are as many.
FEATURES, FIRST = 64, 16
# What is told apart is shorter by half: similarity is judged on it, and features are what lies before.
TOLD = 32
# A stage halves the sides; the last leaves about so many pixels, of which the mean is taken.
LEFT = 4
STEPS, BATCH, RATE, DECAY, TEMPERATURE = 200, 32, 1e-3, 1e-4, 0.2
# The least part of a side that is cut out, and changes of contrast (a share) and brightness (of -1 to 1).
SMALLEST, CONTRAST, BRIGHTNESS = 0.6, 0.1, 0.1
FEWEST = 8
AT_ONCE = 256


@runtime_checkable
class FeatureNetwork(Protocol):
    """What turns pictures into features."""

    def __call__(self, pictures: NDArray[np.uint8]) -> Float[Tensor, "pictures features"]:
        """Features of pictures (pictures, channels, y, x)."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Which network it is, so that numbers are compared under one alone."""
        ...


class OwnFeatures:
    """Features by the built-in network, as it was trained on some pictures.

    Args:
        network: trained, in evaluation mode.
        trained_on: how many pictures it has seen.
        size: their channels and size.
        steps: of the training.
        seed: of the training.
    """

    def __init__(
        self, network: nn.Module, *, trained_on: int, size: tuple[int, int, int], steps: int, seed: int
    ) -> None:
        self.network, self.trained_on, self.size = network, trained_on, size
        self.steps, self.seed = steps, seed

    def __call__(self, pictures: NDArray[np.uint8]) -> Float[Tensor, "pictures features"]:
        """Features of pictures (pictures, channels, y, x) of the size of those it was trained on.

        Raises:
            ShapeError: they are of another.
        """
        if pictures.shape[1:] != self.size:
            msg = (
                f"this feature network was trained on pictures of {times(self.size)}; got "
                f"{times(pictures.shape[1:])}; resize them"
            )
            raise ShapeError(msg)
        with torch.no_grad():
            return torch.cat(
                [
                    self.network(signed(pictures[start : start + AT_ONCE]))
                    for start in range(0, max(1, len(pictures)), AT_ONCE)
                ]
            )

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "network": "built-in",
            "scope": "trained on these pictures alone: compare numbers of one fingerprint only",
            "features": FEATURES,
            "trained_on": self.trained_on,
            "size": list(self.size),
            "steps": self.steps,
            "seed": self.seed,
            "fingerprint": _fingerprint(self.network),
        }


def own_features(pictures: NDArray[np.uint8], *, steps: int = STEPS, seed: int = 0) -> OwnFeatures:
    """Train the built-in feature network on pictures; seconds on a processor, the same for the same seed.

    Two parts of each picture of a batch are cut out, enlarged, and changed in contrast and brightness. The
    loss is the cross-entropy of telling, among all others of the batch, which is the other part of the same
    picture, by the cosine of what the network says of them over a temperature of 0.2. The features are the
    means over what the last convolution leaves. On another machine, or with another number of threads, sums
    are rounded otherwise.

    Args:
        pictures: (pictures, channels, y, x): real ones.
        steps: batches of 32 pictures that are learned from.
        seed: of the first weights and of all draws.

    Raises:
        OptionError: fewer than 8 pictures.
        ShapeError: pictures of less than 8 pixels on a side.

    >>> pictures = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 12), dtype=np.uint8)
    >>> own_features(pictures, steps=2)(pictures[:5]).shape
    torch.Size([5, 64])
    """
    count, channels, *space = pictures.shape
    if count < FEWEST or steps < 0:
        msg = (
            f"a feature network is trained on at least {FEWEST} pictures in 0 or more steps; got {count} "
            f"pictures and {steps} steps"
        )
        raise OptionError(msg)
    if min(space) < 2 * LEFT:
        msg = f"pictures must be at least {2 * LEFT} pixels on a side to have features; got {times(space)}"
        raise ShapeError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(channels, min(space))
        head = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, TOLD))
    _train(nn.Sequential(network, head), pictures, steps, Generator().manual_seed(seed))
    network.eval().requires_grad_(False)
    return OwnFeatures(network, trained_on=count, size=(channels, space[0], space[1]), steps=steps, seed=seed)


def _network(channels: int, side: int) -> nn.Sequential:
    """Convolutions that halve the sides until few pixels are left, and the mean of those."""
    stages: list[nn.Module] = []
    width = FIRST
    while side > LEFT:
        side = (side + 1) // 2
        # the last stage has as many channels as there are features, however small the pictures are
        width = FEATURES if side <= LEFT else width
        stages += [
            nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels, width = width, min(2 * width, FEATURES)
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _train(network: nn.Module, pictures: NDArray[np.uint8], steps: int, generator: Generator) -> None:
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(steps):
        drawn = torch.randperm(len(pictures), generator=generator)[:BATCH].numpy()
        batch = signed(pictures[drawn])
        told = network(torch.cat([_changed(batch, generator) for _ in range(2)]))
        loss = _telling_apart(told)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _telling_apart(told: Float[Tensor, "both numbers"]) -> Float[Tensor, ""]:
    """Cross-entropy of finding each one's partner, which is half of all rows away, by the cosine."""
    rows = F.normalize(told, dim=1)
    count = len(rows)
    alike = (rows @ rows.T / TEMPERATURE).masked_fill(torch.eye(count, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(alike, (torch.arange(count) + count // 2) % count)


def _changed(
    pictures: Float[Tensor, "pictures channels y x"], generator: Generator
) -> Float[Tensor, "pictures channels y x"]:
    """A part of each picture at its size, with other contrast and brightness."""
    count = len(pictures)
    size = 1 - (1 - SMALLEST) * torch.rand(count, generator=generator)
    place = torch.zeros(count, 2, 3)
    for axis in range(2):
        place[:, axis, axis] = size
        place[:, axis, 2] = (1 - size) * _around(count, 1.0, generator)
    grid = F.affine_grid(place, list(pictures.shape), align_corners=False)
    part = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    contrast, brightness = (
        _around(count, most, generator)[:, None, None, None] for most in (CONTRAST, BRIGHTNESS)
    )
    return part * (1 + contrast) + brightness


def _around(count: int, most: float, generator: Generator) -> Tensor:
    return most * (2 * torch.rand(count, generator=generator) - 1)


def _fingerprint(network: nn.Module) -> str:
    """The first digits of a hash of all weights."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
