"""A model and a path become the real pictures that its samples are held against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstroke.apps.generate.digest import digest_of
from upstroke.apps.generate.fitting import FITS, Fit
from upstroke.apps.generate.gather import Gathered, gather
from upstroke.apps.generate.model import Model
from upstroke.errors import FileError

__all__ = ["Again", "gather_again"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Again:
    """Real pictures, made square as those of the training were.

    Attributes:
        path: where they are.
        gathered: the pictures, and what became of other files.
        is_trained_on: whether they are those that the model was trained on, pixel by pixel and in that order.
        is_mirrored: whether training mirrored its pictures.
    """

    path: Path
    gathered: Gathered
    is_trained_on: bool
    is_mirrored: bool

    def as_json(self) -> dict[str, Any]:
        """Plain data, without the pictures."""
        return {
            "name": self.path.resolve().name,
            "is_trained_on": self.is_trained_on,
            "is_mirrored": self.is_mirrored,
            **{
                key: value
                for key, value in self.gathered.as_json().items()
                if key in ("pictures", "channels", "size", "fit", "repeated")
            },
            "skipped": len(self.gathered.skipped),
        }


def gather_again(
    model: Model, data: str | Path | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Again:
    """Read the pictures that a model was trained on once more, or others, in its size, channels and fit.

    Args:
        model: of which the record says what it was trained on.
        data: a folder or a zip; None: where the record says.
        progress: is told how many files are done, and of how many.

    Raises:
        FileError: they are not there, or cannot be used.
    """
    known = model.record.get("data")
    known = known if isinstance(known, Mapping) else {}
    path = _path(model, known) if data is None else Path(data)
    said = known.get("fit")
    fit: Fit = said if said in FITS else "crop"
    network = model.network
    gathered = gather(path, size=network.size, fit=fit, channels=network.channels, progress=progress)
    return Again(
        path=path,
        gathered=gathered,
        is_trained_on=digest_of(gathered.pictures) == known.get("digest"),
        is_mirrored=known.get("flips") is True,
    )


def _path(model: Model, known: Mapping[str, Any]) -> Path:
    """Where the model says that its pictures are, if they are still there."""
    said = known.get("path")
    if not isinstance(said, str) or not said:
        msg = (
            f"samples are held against real pictures; {model.source} does not say what it was trained on; "
            "give a folder or a zip as DATA"
        )
        raise FileError(msg)
    path = Path(said)
    if not path.exists():
        msg = (
            f"samples are held against the pictures that {model.source} was trained on; {path} is gone; "
            "give their folder or zip as DATA"
        )
        raise FileError(msg)
    return path
