"""A training run or its file becomes a generator that draws pictures of latent vectors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from upstroke.apps.generate.drawing import drawn, latents
from upstroke.errors import FileError, first_line
from upstroke.files.safetensors import read_safetensors
from upstroke.nn import Generator

__all__ = ["SCHEMA", "Model", "load_model"]

SCHEMA = "upstroke.generate-model/1"
WANTED = "a model that draws must be a training run or its model.safetensors"
# Numbers that a file may ask for; larger ones would be memory without end for a file of a few bytes.
MOST = {"latent": 2**14, "width": 2**11, "kernel": 63}


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A trained generator with all that is known of it; made by `load_model`.

    Attributes:
        network: with plain weights, in evaluation mode.
        settings: of the network as it was trained; of `network` itself "balanced" is false, since plain
            weights hold nothing, though they are as balanced as those were.
        record: what else stands in the file: recipe, seed, and which pictures it was trained on.
        source: where it was read from.
        device: where it computes.
    """

    network: Generator = field(repr=False)
    settings: Mapping[str, Any]
    record: Mapping[str, Any]
    source: str
    device: str

    def latents(self, numbers: Iterable[int], *, seed: int) -> Float[Tensor, "n latent"]:
        """Latent vectors by number; each follows from seed and number alone."""
        return latents(numbers, self.network.latent, seed=seed)

    def draw(self, z: Float[Tensor, "n latent"]) -> UInt8[ndarray, "n channels size size"]:
        """The pictures of latent vectors, as levels.

        Raises:
            FileError: the network gives NaN.
        """
        pictures: UInt8[ndarray, "n channels size size"] = drawn(self.network, z, device=self.device)
        return pictures


def load_model(path: str | Path, *, device: str = "cpu") -> Model:
    """Read a trained generator; nothing in the file is run or unpickled.

    Args:
        path: the folder that `upstroke generate train` wrote, or the file model.safetensors in it.
        device: where it computes: "cpu", "cuda" or "cuda:1".

    Raises:
        FileError: there is no such file, or it holds something else.
    """
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.exists():
        msg = f"{WANTED}; there is no {file}; train one by upstroke generate train"
        raise FileError(msg)
    tensors, record = read_safetensors(file)
    if record.get("schema") != SCHEMA:
        msg = (
            f"{WANTED}, with the schema {SCHEMA}; {file} has {record.get('schema') or 'none'}; "
            "name what upstroke generate train wrote"
        )
        raise FileError(msg)
    settings = _settings(record, file)
    try:
        # without memory until it is known that the weights are there
        with torch.device("meta"):
            network = Generator(**{**settings, "balanced": False, "icnr": False})
        network.load_state_dict(tensors, strict=True, assign=True)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = (
            f"the weights in {file} do not fit what the file says of them: {first_line(error)}; "
            "fetch it again, or train anew"
        )
        raise FileError(msg) from error
    if not all(bool(each.isfinite().all()) for each in tensors.values()):
        msg = f"weights must be numbers; {file} holds NaN or infinity; train anew"
        raise FileError(msg)
    network = network.eval().requires_grad_(requires_grad=False).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(network=network, settings=settings, record=record, source=str(path), device=device)


def _settings(record: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The settings of the network, as far as they cannot ask for memory without end."""
    settings = record.get("generator")
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        msg = f"{WANTED}; {file} does not say how its generator is made; fetch it again, or train anew"
        raise FileError(msg)
    for name, most in MOST.items():
        value = settings.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            msg = f"{name} of a generator must be a whole number from 1 to {most}; {file} says {value!r}"
            raise FileError(msg)
    return settings
