"""Turn an ONNX file of a feature network into what gives features of pictures.

The file is run by ONNX Runtime, which executes the operators that it names and nothing else, and it is read
as one file: weights beside it are not looked for.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from upstroke.axes import times
from upstroke.errors import FileError, MissingExtraError, OptionError, ShapeError, first_line, listed

__all__ = ["GivenFeatures", "Scale", "given_features"]

Scale: TypeAlias = Literal["signed", "unit", "bytes", "imagenet"]

# Mean and deviation of red, green and blue, of values from 0 to 1, that networks trained on ImageNet expect.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Pictures that are run at a time where the file leaves that open.
AT_ONCE = 64
# Input types and what arrays they are.
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class GivenFeatures:
    """Features by a network that the user gave.

    Args:
        session: of ONNX Runtime.
        name: of the file.
        fingerprint: the first digits of the hash of the file.
        output: which of its outputs, by name.
        scale: of what it reads.
        size: channels and size of the pictures.
        feed: channels and size of what the network reads; they are repeated and resized to that.
        batch: how many it reads at a time.
    """

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - onnxruntime has no types
        *,
        name: str,
        fingerprint: str,
        output: str,
        scale: Scale,
        size: tuple[int, int, int],
        feed: tuple[int, int, int],
        batch: int | None,
    ) -> None:
        self.session, self.name, self.fingerprint, self.output = session, name, fingerprint, output
        self.scale, self.size, self.feed, self.batch = scale, size, feed, batch
        self.features = self(np.zeros((1, *size), dtype=np.uint8)).shape[1]

    def __call__(self, pictures: NDArray[np.uint8]) -> Float[Tensor, "pictures features"]:
        """Features of pictures (pictures, channels, y, x) of the size it was opened for.

        Raises:
            ShapeError: they are of another.
            FileError: the network fails, or gives no row of numbers for each picture.
        """
        if pictures.shape[1:] != self.size:
            msg = (
                f"{self.name} was opened for pictures of {times(self.size)}; got "
                f"{times(pictures.shape[1:])}; resize them"
            )
            raise ShapeError(msg)
        step = self.batch or AT_ONCE
        parts = [self._run(pictures[start : start + step]) for start in range(0, len(pictures), step)]
        return torch.cat(parts) if parts else torch.zeros(0, self.features)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "network": self.name,
            "scope": "given: compare numbers of one fingerprint, output and scale only",
            "features": self.features,
            "output": self.output,
            "scale": self.scale,
            "size": list(self.size),
            "feed": list(self.feed),
            "fingerprint": self.fingerprint,
        }

    def _run(self, pictures: NDArray[np.uint8]) -> Float[Tensor, "pictures features"]:
        (entry,) = self.session.get_inputs()
        values = _scaled(_fitted(pictures, self.feed), self.scale)
        # a file that reads a fixed number of pictures gets the last ones filled up
        missing = (self.batch or len(values)) - len(values)
        given = torch.cat([values, values[-1:].expand(missing, *self.feed)]).numpy()
        try:
            (answer,) = self.session.run([self.output], {entry.name: given.astype(TYPES[entry.type])})
        except Exception as error:  # its exceptions have no common type
            msg = f"ONNX Runtime cannot run {self.name} on {times(given.shape)}: {first_line(error)}; "
            msg += "give a network for pictures of this size"
            raise FileError(msg) from error
        if answer.ndim not in (2, 4) or len(answer) != len(given) or answer.dtype.kind != "f":
            msg = (
                f"a feature network must give rows of numbers, or maps, for each of {len(given)} pictures; "
                f"{self.output!r} of {self.name} is {answer.dtype} of {times(answer.shape)}; name another "
                "output"
            )
            raise FileError(msg)
        rows = torch.from_numpy(answer).float()
        # of maps the mean over places, as networks that classify take it
        return (rows if rows.ndim == 2 else rows.mean(dim=(2, 3)))[: len(pictures)]


def given_features(
    path: str | Path,
    size: Sequence[int],
    *,
    output: str | None = None,
    scale: Scale = "signed",
) -> GivenFeatures:
    """Open an ONNX file as a feature network for pictures of one size.

    Grey pictures are repeated for a network that reads three channels, and pictures are resized, bilinearly
    and without aliasing, for one that reads a fixed size.

    Args:
        path: of the file, of one input (pictures, channels, y, x).
        size: channels and size of the pictures that will be given.
        output: which of its outputs, by name; the first, where it is not given. Of maps the mean is taken.
        scale: what the network expects of values: signed, -1 to 1; unit, 0 to 1; bytes, 0 to 255; imagenet,
            0 to 1, less the mean and over the deviation of ImageNet's colours.

    Raises:
        FileError: no ONNX file that ONNX Runtime can run, or none that turns pictures into features.
        OptionError: a scale or an output that there is none of.
        MissingExtraError: onnxruntime is not installed.
    """
    path = Path(path)
    if scale not in get_args(Scale):
        msg = f"scale must be one of {', '.join(get_args(Scale))}; got {scale}"
        raise OptionError(msg)
    if path.suffix.lower() != ".onnx":
        msg = f"a feature network is an ONNX file, whose name ends in .onnx; got {path}; export it to one"
        raise FileError(msg)
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {first_line(error)}; give the path of an ONNX file"
        raise FileError(msg) from error
    session = _session(data, path)
    names = [each.name for each in session.get_outputs()]
    if output is not None and output not in names:
        msg = f"{path} has no output {output!r}; it has {listed(names)}"
        raise OptionError(msg)
    channels, ny, nx = size
    batch, feed = _read(session, path, (channels, ny, nx), scale)
    return GivenFeatures(
        session,
        name=path.name,
        fingerprint=hashlib.sha256(data).hexdigest()[:16],
        output=names[0] if output is None else output,
        scale=scale,
        size=(channels, ny, nx),
        feed=feed,
        batch=batch,
    )


def _session(data: bytes, path: Path) -> Any:  # noqa: ANN401 - onnxruntime has no types
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        msg = "a feature network is run by the package onnxruntime; pip install 'upstroke[onnx]'"
        raise MissingExtraError(msg) from error
    options = onnxruntime.SessionOptions()
    # only what is fatal: the error itself says the rest
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common type
        msg = f"ONNX Runtime cannot run {path}: {first_line(error)}; export it again, as one file"
        raise FileError(msg) from error


def _read(
    session: Any,  # noqa: ANN401 - onnxruntime has no types
    path: Path,
    size: tuple[int, int, int],
    scale: Scale,
) -> tuple[int | None, tuple[int, int, int]]:
    """How many pictures the network reads at a time, if that is fixed, and their channels and size."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in TYPES:
        got = ", ".join(f"{each.type} of {len(each.shape)} axes" for each in inputs)
        msg = (
            "a feature network must have one input of pictures, channels, y and x, of "
            f"{listed(list(TYPES))}; {path} has {got or 'none'}; export it again"
        )
        raise FileError(msg)
    batch, *fixed = (each if isinstance(each, int) else None for each in inputs[0].shape)
    channels, ny, nx = (own if wanted is None else wanted for own, wanted in zip(size, fixed, strict=True))
    if channels != size[0] and (size[0], channels) != (1, 3):
        msg = (
            f"{path} reads {channels} channels, and pictures of {size[0]} are turned into 3 from 1 only; "
            f"give a network for {size[0]}"
        )
        raise FileError(msg)
    if inputs[0].type == "tensor(uint8)" and scale != "bytes":
        msg = f"{path} reads bytes, so that scale must be bytes; got {scale}"
        raise OptionError(msg)
    if scale == "imagenet" and channels != 3:
        msg = (
            f"scale imagenet is of red, green and blue; {path} reads {channels} channels; take another scale"
        )
        raise OptionError(msg)
    return batch, (channels, ny, nx)


def _fitted(
    pictures: NDArray[np.uint8], feed: tuple[int, int, int]
) -> Float[Tensor, "pictures channels y x"]:
    """Levels of 0 to 255 with as many channels and of the size that the network reads."""
    levels = torch.from_numpy(pictures).float().expand(-1, feed[0], -1, -1)
    if levels.shape[2:] == feed[1:]:
        return levels
    return F.interpolate(levels, size=feed[1:], mode="bilinear", antialias=True, align_corners=False)


def _scaled(levels: Float[Tensor, "pictures channels y x"], scale: Scale) -> Tensor:
    if scale == "bytes":
        return levels.round()
    if scale == "signed":
        return levels / 127.5 - 1
    unit = levels / 255
    if scale == "unit":
        return unit
    mean, deviation = (torch.tensor(each)[:, None, None] for each in IMAGENET)
    return (unit - mean) / deviation
