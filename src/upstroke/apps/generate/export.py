"""A trained generator becomes an ONNX or safetensors file, compared with the run before it is written."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from upstroke._version import __version__
from upstroke.apps.generate.model import Model, load_model
from upstroke.errors import BackendError, FileError
from upstroke.files.onnx_session import onnx_session
from upstroke.files.onnx_written import OPSET, difference_of, onnx_bytes
from upstroke.files.place import check_target, write_atomically
from upstroke.files.safetensors import safetensors_bytes
from upstroke.nn import Generator

__all__ = ["Compared", "Exported", "export"]

SCHEMA = "upstroke.generate-export/1"
INPUT, OUTPUT = "latent", "pictures"
# float32 has 24 bits; sums of thousands of products in another order, through five layers, differ by some
# hundred units in the last place.
BOUND = 1e-4
# Latent vectors that both are given at a time: one alone, and numbers that no batch of a training has.
BATCHES = (1, 3, 10)

Kind = Literal["onnx", "safetensors"]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """So many latent vectors that the file and the run were given.

    Attributes:
        batch: how many.
        difference: largest of a value, over the largest value.
    """

    batch: int
    difference: float


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        run: the training run.
        target: the file.
        kind: of the file.
        opset: version of ONNX's operators; None for another kind.
        bytes: of the file.
        parameters: of the generator.
        latent: numbers in a latent vector.
        picture: channels, rows and columns of a picture.
        compared: how the two were compared.
    """

    run: Path
    target: Path
    kind: Kind
    opset: int | None
    bytes: int
    parameters: int
    latent: int
    picture: tuple[int, int, int]
    compared: tuple[Compared, ...]

    @property
    def difference(self) -> float:
        """The largest of all, over the largest value."""
        return max(each.difference for each in self.compared)

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.generate-export/1`."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "run": str(self.run),
            "target": str(self.target),
            "kind": self.kind,
            "opset": self.opset,
            "bytes": self.bytes,
            "parameters": self.parameters,
            "latent": self.latent,
            "picture": list(self.picture),
            "compared": [{"batch": each.batch, "difference": each.difference} for each in self.compared],
        }


def export(run: str | Path, target: str | Path, *, overwrite: bool = False) -> Exported:
    """Write a trained generator as one file, with plain weights that nothing holds.

    As ONNX, it takes any number of vectors as "latent" and gives "pictures" with values from -1 to 1, in
    standard operators. As safetensors, it has the weights by name, and `load_model` reads it. Either has in
    its metadata, under "upstroke", what the run's own file has; of the pictures it was trained on, their name
    alone and not where they lie.

    Before it is written the file is given the same latent vectors as the run, in three numbers; an ONNX
    file has been passed by onnx's checker, and ONNX Runtime computes it.

    Args:
        run: the folder of a training run, or its model.safetensors.
        target: the file to write, which ends in .onnx or .safetensors.
        overwrite: whether a file that is there may be replaced.

    Raises:
        FileError: the run cannot be read, or the file cannot be written.
        BackendError: the generator cannot be recorded, or the two draw differently.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    run, target = Path(run), Path(target)
    kind = _kind(target)
    check_target(target, overwrite=overwrite)
    _refuse_itself(run, target)
    model = load_model(run)
    network = model.network
    words = _handed_on(model.record)
    if kind == "onnx":
        data = _as_onnx(network, words)
        answer = onnx_session(data, source=str(target), ranks=(2, 4))
    else:
        data = safetensors_bytes(network.state_dict(), words)
        answer = _read_back(data)
    compared = _compared(model, answer, by="ONNX Runtime" if kind == "onnx" else "the file")
    write_atomically(target, data, overwrite=overwrite)
    return Exported(
        run=run,
        target=target,
        kind=kind,
        opset=OPSET if kind == "onnx" else None,
        bytes=len(data),
        parameters=sum(each.numel() for each in network.parameters()),
        latent=network.latent,
        picture=(network.channels, network.size, network.size),
        compared=compared,
    )


def _kind(target: Path) -> Kind:
    match target.suffix.lower():
        case ".onnx":
            return "onnx"
        case ".safetensors":
            return "safetensors"
    msg = (
        f"the name of an exported generator must end in .onnx or .safetensors; got {target}; "
        f"name it {target.stem}.onnx"
    )
    raise FileError(msg)


def _refuse_itself(run: Path, target: Path) -> None:
    source = run / "model.safetensors" if run.is_dir() else run
    if source.exists() and target.exists() and source.samefile(target):
        msg = f"a result must not be what is read; got {target} for both; name another file"
        raise FileError(msg)


def _handed_on(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the generator, without where on this machine its pictures lie."""
    data = record.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("path"), str):
        return dict(record)
    return {**record, "data": {**data, "path": Path(data["path"]).name}}


def _as_onnx(network: Generator, words: Mapping[str, Any]) -> bytes:
    return onnx_bytes(
        # a copy, with channels outermost as ONNX has them
        network.released().eval(),
        torch.zeros(2, network.latent),
        ends=(INPUT, OUTPUT),
        free=({0: "batch"}, {0: "batch"}),
        name="generator",
        words=words,
        remedy="train one with another --method",
    )


def _read_back(data: bytes) -> Callable[[Tensor], Tensor]:
    """The generator in a file that is not yet written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(data)
        return load_model(path).network


@torch.no_grad()
def _compared(model: Model, answer: Callable[[Tensor], Tensor], *, by: str) -> tuple[Compared, ...]:
    """Give both the same latent vectors, in several numbers."""
    found = []
    for batch in BATCHES:
        z = model.latents(range(batch), seed=0)
        difference = difference_of(model.network(z), answer(z))
        if not difference <= BOUND:
            msg = (
                f"{by} must draw as the run does, to {BOUND:g} of the largest value; of {batch} latent "
                f"vectors it differs by {difference:.2g}; nothing was written"
            )
            raise BackendError(msg)
        found.append(Compared(batch=batch, difference=difference))
    return tuple(found)
