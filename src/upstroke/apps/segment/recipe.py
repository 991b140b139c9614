"""All that is needed to apply a trained network becomes plain data for its file, and comes back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.normalise import Normalisation
from upstroke.errors import FileError, OptionError

__all__ = ["SCHEMA", "Recipe"]

SCHEMA = "upstroke.segment-model/1"
WANTED = "a segmentation model must say how it is applied"
# Levels of a network, and convolutions on one: halved so often, no image has a pixel left.
MOST_LAYERS = 64
REMEDY = "name what upstroke segment train or export wrote"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What goes with the weights of a network: what it reads, what it answers, how volumes are made ready.

    It stands as JSON in the metadata of `model.safetensors`, beside whatever else the training says there,
    and in the `metadata_props` of an ONNX file. The tensors of `model.safetensors` are the state dict of
    `upstroke.nn.UNet(**recipe.unet)`.

    Attributes:
        classes: What is told apart, in the order of the channels that come out.
        channels: Of an image.
        ndim: Axes of space, 2 or 3.
        unet: Settings of the network; lists in it become tuples.
        normalisation: How values are brought to one scale.
        spacing: Length of a voxel along each axis, in the unit of the files, to which images are brought
            before they are read; None: they are read as they are.
        patch: Size along each axis of what the network was trained on.
        unit: Of `spacing`, as the files of the training had it; None where nobody said.

    Raises `OptionError` where these do not fit each other.

    >>> recipe = Recipe(
    ...     classes=Classes(values=(0, 255), names=("background", "membrane")),
    ...     channels=1,
    ...     ndim=2,
    ...     unet={"in_channels": 1, "classes": 2, "ndim": 2, "strides": [[2, 1], 2]},
    ...     normalisation=Normalisation(),
    ...     spacing=None,
    ...     patch=(64, 48),
    ... )
    >>> recipe.unet["strides"], Recipe.from_json(recipe.as_json()) == recipe
    (((2, 1), 2), True)
    """

    classes: Classes
    channels: int
    ndim: int
    unet: Mapping[str, Any]
    normalisation: Normalisation
    spacing: tuple[float, ...] | None
    patch: tuple[int, ...]
    unit: str | None = None

    def __post_init__(self) -> None:
        # JSON has lists where the network takes tuples
        object.__setattr__(self, "unet", {name: _tuples(value) for name, value in self.unet.items()})
        if self.ndim not in (2, 3):
            msg = f"images must have 2 or 3 axes; got {self.ndim}; give one of these"
            raise OptionError(msg)
        for name, value in (("spacing", self.spacing), ("patch", self.patch)):
            lengths = (1,) * self.ndim if value is None else value
            if len(lengths) != self.ndim or not all(math.isfinite(one) and one > 0 for one in lengths):
                msg = (
                    f"{name} must be {self.ndim} numbers above 0, one for each axis; "
                    f"got {', '.join(f'{one:g}' for one in lengths)}; give one for each"
                )
                raise OptionError(msg)
        for name, count in (("convs", self.unet.get("convs")), ("levels", _length(self.unet.get("widths")))):
            # a file of a few bytes must not ask for layers without end
            if isinstance(count, int) and count > MOST_LAYERS:
                msg = f"a network has {MOST_LAYERS} {name} at most; got {count}; give fewer"
                raise OptionError(msg)
        given = {"in_channels": self.channels, "classes": self.classes.count, "ndim": self.ndim}
        for name, wanted in given.items():
            # a network has two axes where its settings say nothing
            got = self.unet.get(name, 2 if name == "ndim" else None)
            if got != wanted:
                msg = f"the network must have {name} {wanted}, as the images and classes have; got {got}"
                raise OptionError(msg)

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.segment-model/1`."""
        return {
            "schema": SCHEMA,
            "classes": self.classes.as_json(),
            "channels": self.channels,
            "ndim": self.ndim,
            "unet": {name: _lists(value) for name, value in self.unet.items()},
            "normalisation": self.normalisation.as_json(),
            "spacing": _lists(self.spacing),
            "patch": _lists(self.patch),
            **({} if self.unit is None else {"unit": self.unit}),
        }

    @staticmethod
    def from_json(record: Mapping[str, Any], *, source: str = "the record") -> "Recipe":
        """The recipe that a record holds; keys that others put beside it are passed over.

        Args:
            record: as `as_json` wrote it.
            source: where it was read from, for the message.

        Raises:
            FileError: the record holds something else.
        """
        if record.get("schema") != SCHEMA:
            found = record.get("schema") or "none"
            msg = f"{WANTED}, with the schema {SCHEMA}; {source} has {found}; {REMEDY}"
            raise FileError(msg)
        try:
            return Recipe(
                classes=Classes.from_json(_mapping(record, "classes")),
                channels=_whole(record["channels"]),
                ndim=_whole(record["ndim"]),
                unet=_mapping(record, "unet"),
                normalisation=Normalisation.from_json(_mapping(record, "normalisation")),
                spacing=None if record["spacing"] is None else tuple(map(float, record["spacing"])),
                patch=tuple(map(_whole, record["patch"])),
                unit=None if record.get("unit") is None else str(record["unit"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            # of a key that is missing the exception holds no more than the name
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            msg = f"{WANTED}; what {source} says cannot be: {reason}; fetch it again, or train anew"
            raise FileError(msg) from error


def _mapping(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record[name]
    if not isinstance(value, Mapping):
        msg = f"{name} is no set of names and values"
        raise TypeError(msg)
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        msg = f"{value!r} is no whole number"
        raise TypeError(msg)
    return value


def _length(value: object) -> int:
    return len(value) if isinstance(value, tuple) else 0


def _tuples(value: object) -> object:
    """Lists, and those within them, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _lists(value: object) -> object:
    """Tuples, and those within them, as lists, as JSON has them."""
    return list(map(_lists, value)) if isinstance(value, list | tuple) else value
