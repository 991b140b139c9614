"""A training run becomes an ONNX file for images of any size, compared with the run before it is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from upstroke._version import __version__
from upstroke.apps.segment.model import load_network
from upstroke.apps.segment.recipe import Recipe
from upstroke.axes import times
from upstroke.errors import BackendError, FileError
from upstroke.files.onnx_session import onnx_session
from upstroke.files.onnx_written import OPSET, difference_of, onnx_bytes
from upstroke.files.place import check_target, write_atomically
from upstroke.nn import UNet

__all__ = ["Compared", "Exported", "export"]

SCHEMA = "upstroke.segment-export/1"
INPUT, OUTPUT = "image", "logits"
# float32 has 24 bits; sums of thousands of products in another order differ by some hundred units in the last
# place, relative to the largest logit.
BOUND = 1e-4
# What is compared goes beyond the least size by so much along each axis: odd and even, and none twice.
BEYOND = ((0, 0, 0), (5, 2, 9), (16, 13, 4))


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One size at which the file and the run were given the same image.

    Attributes:
        size: of the image.
        output: of the answer.
        difference: largest of a logit, over the largest logit.
    """

    size: tuple[int, ...]
    output: tuple[int, ...]
    difference: float


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        run: the training run.
        target: the ONNX file.
        opset: version of ONNX's operators.
        bytes: of the file.
        least: smallest size that the network takes.
        compared: sizes at which the two were compared.
    """

    run: Path
    target: Path
    opset: int
    bytes: int
    least: tuple[int, ...]
    compared: tuple[Compared, ...]

    @property
    def difference(self) -> float:
        """The largest of all sizes, over the largest logit."""
        return max(each.difference for each in self.compared)

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.segment-export/1`."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "run": str(self.run),
            "target": str(self.target),
            "opset": self.opset,
            "bytes": self.bytes,
            "least": list(self.least),
            "compared": [
                {"size": list(each.size), "output": list(each.output), "difference": each.difference}
                for each in self.compared
            ],
        }


def export(run: str | Path, target: str | Path, *, overwrite: bool = False) -> Exported:
    """Write a trained network as ONNX, for batches and images of any size, odd ones included.

    1. The network is recorded as standard operators; sizes stay open.
    2. All that is needed to apply it, the recipe, goes into the file's metadata.
    3. onnx's checker passes it, and ONNX Runtime answers as PyTorch does, at three sizes: the least one, and
       two with every axis of its own, odd and even. Otherwise nothing is written.

    Args:
        run: the folder of a training run, or its model.safetensors.
        target: the file to write, which ends in .onnx.
        overwrite: whether a file that is there may be replaced.

    Raises:
        FileError: the run cannot be read, or the file cannot be written.
        BackendError: the network cannot be recorded, or the two answer differently.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    run, target = Path(run), Path(target)
    if target.suffix.lower() != ".onnx":
        msg = f"the name of an ONNX file must end in .onnx; got {target}; name it {target.stem}.onnx"
        raise FileError(msg)
    check_target(target, overwrite=overwrite)
    network, recipe = load_network(run)
    data = _written(network, recipe)
    compared = _compared(network, data, source=str(target))
    write_atomically(target, data, overwrite=overwrite)
    return Exported(
        run=run,
        target=target,
        opset=OPSET,
        bytes=len(data),
        least=network.least_size,
        compared=compared,
    )


def _written(network: UNet, recipe: Recipe) -> bytes:
    """The network as ONNX, batch and sizes left open, with its recipe in the metadata."""
    space = dict(enumerate(("depth", "height", "width")[-network.ndim :], start=2))
    out = space if network.conv == "same" else {axis: f"{name}_out" for axis, name in space.items()}
    return onnx_bytes(
        network,
        torch.zeros(2, network.in_channels, *(n + 3 for n in network.least_size)),
        ends=(INPUT, OUTPUT),
        free=({0: "batch", **space}, {0: "batch", **out}),
        name="unet",
        words=recipe.as_json(),
        remedy="train one with another --up",
    )


def _compared(network: UNet, data: bytes, *, source: str) -> tuple[Compared, ...]:
    """Give both the same images of several sizes."""
    answer = onnx_session(data, source=source, ranks=(network.ndim + 2,) * 2)
    generator = torch.Generator().manual_seed(0)
    found = []
    for beyond in BEYOND:
        size = tuple(n + more for n, more in zip(network.least_size, beyond, strict=False))
        image = torch.randn((2, network.in_channels, *size), generator=generator)
        with torch.no_grad():
            wanted = network(image)
        difference = difference_of(wanted, answer(image))
        if not difference <= BOUND:
            msg = (
                f"ONNX Runtime must answer as PyTorch does, to {BOUND:g} of the largest logit; at size "
                f"{times(size)} it differs by {difference:.2g}; nothing was written"
            )
            raise BackendError(msg)
        found.append(Compared(size=size, output=tuple(wanted.shape[2:]), difference=difference))
    return tuple(found)
