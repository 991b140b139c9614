"""A trained network in a file becomes what answers images and volumes of any size."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from upstroke.apps.segment.prepare import check_fits, prepared
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.resample import resampled
from upstroke.apps.segment.tiles import TilePlan, geometry, plan_tiles, predict_tiles
from upstroke.axes import times
from upstroke.errors import BackendError, FileError, MissingExtraError, first_line
from upstroke.files.onnx_session import NO_ONNX, onnx_session
from upstroke.files.onnx_written import KEY
from upstroke.files.safetensors import read_safetensors
from upstroke.files.volumes import Volume
from upstroke.nn import UNet

if TYPE_CHECKING:
    import onnx

__all__ = ["Model", "load_model", "load_network"]

# Bytes of a recipe: that of a network of six levels and 200 classes takes some 10 kB.
MOST_WORDS = 2**20
WANTED = "a segmentation model must be a training run, its model.safetensors or an ONNX file"


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A trained network with all that is needed to apply it; made by `load_model`.

    Attributes:
        recipe: What it reads and answers.
        source: Where it was read from.
        net: Its sizes, without weights.
        device: Where it computes.
    """

    recipe: Recipe
    source: str
    net: UNet = field(repr=False)
    device: str
    _network: Callable[[Tensor], Tensor] = field(repr=False)

    def plan(self, size: Sequence[int], *, tile: int | Sequence[int] | None = None) -> TilePlan:
        """How an image of this size is given to the network, as `plan_tiles` says."""
        return plan_tiles(self.net, size, tile=tile, trained=self.recipe.patch)

    def logits(
        self, x: Float[NDArray[np.float32], "channels *space"], *, tile: int | Sequence[int] | None = None
    ) -> Float[NDArray[np.float32], "classes *space"]:
        """What the network answers for an image as it takes them, at every pixel.

        Args:
            x: a normalised image.
            tile: largest size of what the network is given at once; None: what fits.

        Raises:
            ShapeError: the image, or the tile, is too small for the network.
            FileError: an ONNX file answers something else than its recipe says, or the network no numbers.
        """
        plan = self.plan(x.shape[1:], tile=tile)
        image = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        with torch.no_grad():
            answer = predict_tiles(lambda batch: self._answer(batch, plan), image, plan)
        if not answer.isfinite().all():
            msg = (
                f"the network in {self.source} must answer numbers; it answers NaN or infinity; "
                "train or export it again"
            )
            raise FileError(msg)
        return answer.float().cpu().numpy()

    def probabilities(
        self, volume: Volume, *, tile: int | Sequence[int] | None = None
    ) -> Float[NDArray[np.float32], "classes *space"]:
        """The probability of each class at every voxel of a volume, as it is stored.

        1. Bring the values to one scale, and the voxels to the recipe's spacing, if it has one.
        2. Let the network answer; softmax in float32.
        3. Bring the probabilities back to the volume's own voxels, linearly, so that they add up to 1.

        Raises:
            FileError: the volume has other axes or channels, or values that are no numbers.
            ShapeError: it is too small for the network.
        """
        check_fits(volume, self.recipe)
        values = prepared(volume, normalisation=self.recipe.normalisation, spacing=self.recipe.spacing)
        own = volume.size
        shares = torch.from_numpy(self.logits(values, tile=tile)).softmax(0).numpy()
        return shares if shares.shape[1:] == own else resampled(shares, size=own, order=1)

    def labels(
        self, volume: Volume, *, tile: int | Sequence[int] | None = None
    ) -> Int[NDArray[np.int64], "*space"]:
        """The number of the most probable class at every voxel of a volume.

        Raises: as `probabilities`.
        """
        numbers: NDArray[np.int64] = self.probabilities(volume, tile=tile).argmax(0).astype(np.int64)
        return numbers

    def _answer(self, batch: Tensor, plan: TilePlan) -> Tensor:
        logits = self._network(batch)
        wanted = (len(batch), self.recipe.classes.count, *plan.output)
        if tuple(logits.shape) != wanted:
            msg = (
                f"the network in {self.source} must answer {times(batch.shape)} by {times(wanted)}, as its "
                f"recipe says; got {times(logits.shape)}; export it again"
            )
            raise FileError(msg)
        return logits


def load_model(path: str | Path, *, device: str = "cpu") -> Model:
    """Read a trained network; nothing in the file is run or unpickled.

    Args:
        path: the folder that `upstroke segment train` wrote, the file model.safetensors in it, or what
            `upstroke segment export` wrote.
        device: where it computes: "cpu", "cuda", "cuda:1", or "auto" for a GPU where there is one.

    Raises:
        FileError: there is no such file, or it holds something else.
        BackendError: this machine has no such device.
        MissingExtraError: what reads such a file is not installed.
    """
    path = Path(path)
    device = _device(device)
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        return _onnx_model(path, device=device)
    net, recipe = load_network(path)
    net.to(device)
    return Model(recipe=recipe, source=str(path), net=geometry(recipe.unet), device=device, _network=net)


def load_network(run: Path) -> tuple[UNet, Recipe]:
    """The network of a training run with its weights, on the CPU, ready to be applied.

    Raises:
        FileError: there is no such file, or it holds something else.
    """
    path = run / "model.safetensors" if run.is_dir() else run
    if not path.exists():
        msg = f"{WANTED}; there is no {path}; train one by upstroke segment train"
        raise FileError(msg)
    tensors, metadata = read_safetensors(path)
    recipe = Recipe.from_json(metadata, source=str(path))
    try:
        net = geometry(recipe.unet)
        # on a device without memory until it is known that the weights are there
        net.load_state_dict(tensors, strict=True, assign=True)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"the network in {path} does not fit what the file says of it; fetch it again, or train anew"
        raise FileError(msg) from error
    return net.eval().requires_grad_(requires_grad=False), recipe


def _device(device: str) -> str:
    """The device by its name; refused where this machine does not have it."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        msg = f"a device must be auto, cpu, cuda or cuda:0; got {device!r}"
        raise BackendError(msg) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind.type not in ("cpu", "cuda") or (kind.type == "cuda" and (kind.index or 0) >= count):
        msg = (
            f"the device must be one that this machine has, the CPU or one of {count} for CUDA; got {device}"
        )
        raise BackendError(msg)
    return device


def _onnx_model(path: Path, *, device: str) -> Model:
    model, data = _checked(path)
    recipe = Recipe.from_json(_words(model, path), source=str(path))
    try:
        net = geometry(recipe.unet)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"the network that {path} speaks of cannot be: {first_line(error)}; export it again"
        raise FileError(msg) from error
    return Model(
        recipe=recipe,
        source=str(path),
        net=net,
        device=device,
        _network=onnx_session(data, source=str(path), ranks=(recipe.ndim + 2,) * 2, device=device),
    )


def _checked(path: Path) -> tuple["onnx.ModelProto", bytes]:
    """An ONNX file, as a message and as bytes, once onnx's checker has passed it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(NO_ONNX) from error
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{WANTED}; {path} could not be read: {(error.strerror or str(error)).lower()}"
        raise FileError(msg) from error
    try:
        model = onnx.load_model_from_string(data)
        outside = _outside(model)
        if not outside:
            onnx.checker.check_model(model)
    except Exception as error:  # what protobuf and the checker raise differs between versions
        msg = f"{path} is no complete ONNX model: {first_line(error)}; export or fetch it again"
        raise FileError(msg) from error
    if outside:
        msg = f"an ONNX model must hold its weights; {path} keeps {outside} in another file; export it again"
        raise FileError(msg)
    return model, data


def _outside(model: "onnx.ModelProto") -> str:
    """The name of a tensor that is kept in another file, wherever it stands; "" where there is none."""
    from onnx.external_data_helper import uses_external_data

    return next((each.name or "a tensor" for each in _tensors(model) if uses_external_data(each)), "")


def _tensors(message: Any) -> Iterator["onnx.TensorProto"]:  # noqa: ANN401 - a message of any kind
    """Every tensor in a message, also within graphs of nodes and within functions."""
    from onnx import TensorProto

    for part, held in message.ListFields():
        if part.message_type is None:
            continue
        for each in [held] if hasattr(held, "ListFields") else held:
            if isinstance(each, TensorProto):
                yield each
            else:
                yield from _tensors(each)


def _words(model: "onnx.ModelProto", path: Path) -> dict[str, Any]:
    """What stands under our name in the metadata."""
    every = [prop.value for prop in model.metadata_props if prop.key == KEY]
    if len(every) != 1 or len(every[0]) > MOST_WORDS:
        got = "none" if not every else f"{len(every)} of {max(map(len, every))} characters"
        msg = (
            f"an ONNX model must say in its metadata, under {KEY}, once and in {MOST_WORDS} characters, how "
            f"it is applied; {path} has {got}; write it by upstroke segment export"
        )
        raise FileError(msg)
    try:
        words = json.loads(every[0])
    except (ValueError, RecursionError) as error:
        msg = f"what {path} says of how it is applied is no JSON: {first_line(error)}; export it again"
        raise FileError(msg) from error
    return words if isinstance(words, dict) else {}
