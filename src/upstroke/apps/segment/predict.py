"""Images without masks become masks beside them, each as a whole or not at all."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upstroke._version import __version__
from upstroke.apps.segment.cases import Case
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.prepare import check_fits
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.resample import size_at
from upstroke.apps.segment.tiles import TilePlan, plan_tiles
from upstroke.errors import FileError, MissingExtraError, OptionError, UpstrokeError, first_line, listed
from upstroke.files.place import check_target
from upstroke.files.volumes import (
    Volume,
    prediction_name,
    probability_name,
    stem_of,
    suffix_of,
    write_labels,
    write_probabilities,
)

if TYPE_CHECKING:
    from upstroke.apps.segment.model import Model

__all__ = ["Outlined", "Predicted", "predict"]

# What masks can be written as, by axes of space.
WRITTEN = {2: (".png", ".tif", ".tiff", ".nii.gz", ".nii"), 3: (".nii.gz", ".nii", ".tif", ".tiff")}


@dataclass(frozen=True, kw_only=True)
class Outlined:
    """One image that was predicted.

    Attributes:
        source: the image, or that of its first channel.
        target: the mask that was written.
        probabilities: the file of them, where they were asked for.
        size: voxels along each axis of space.
        spacing: length of a voxel along each, in `unit`.
        unit: of the image's file.
        voxels: how many each class has.
        tiles: how the network read the image, at the spacing that it was trained at.
        seconds: to read, predict and write it.
    """

    source: Path
    target: Path
    probabilities: Path | None
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    unit: str
    voxels: tuple[int, ...]
    tiles: TilePlan
    seconds: float

    def as_json(self, classes: Classes) -> dict[str, Any]:
        """Plain data; volumes where the file says how long a voxel is."""
        unit = None if self.unit in ("pixel", "voxel", "unknown", "") else f"{self.unit}{len(self.size)}"
        voxel = float(np.prod(self.spacing))
        found = zip(classes.values, classes.names, self.voxels, strict=True)
        return {
            "source": str(self.source),
            "target": str(self.target),
            "probabilities": None if self.probabilities is None else str(self.probabilities),
            "size": list(self.size),
            "spacing": list(self.spacing),
            "unit": self.unit,
            "volume_unit": unit,
            "classes": [
                {
                    "value": value,
                    "name": name,
                    "voxels": count,
                    "share": count / sum(self.voxels),
                    "volume": None if unit is None else count * voxel,
                }
                for value, name, count in found
            ],
            "tiles": {
                "kind": self.tiles.kind,
                "size": list(self.tiles.size),
                "tile": list(self.tiles.tile),
                "step": list(self.tiles.step),
                "count": self.tiles.count,
                "is_exact": self.tiles.is_exact,
                "reason": self.tiles.reason,
            },
            "seconds": self.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a call read and wrote.

    Attributes:
        model: the run or the file.
        source: an image or a folder.
        target: a mask or a folder.
        device: where the network ran.
        classes: what is told apart.
        files: images that were predicted, in order.
        skipped: masks that were there already.
        failed: images that could not be predicted, each with the reason in a sentence.
        seconds: in all.
    """

    model: Path
    source: Path
    target: Path
    device: str
    classes: Classes
    files: tuple[Outlined, ...]
    skipped: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.segment-predict/1`."""
        return {
            "schema": "upstroke.segment-predict/1",
            "version": __version__,
            "model": str(self.model),
            "source": str(self.source),
            "target": str(self.target),
            "device": self.device,
            "files": [each.as_json(self.classes) for each in self.files],
            "skipped": [str(path) for path in self.skipped],
            "failed": [{"file": str(path), "reason": reason} for path, reason in self.failed],
            "seconds": self.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """One image and the files that are to be made of it."""

    case: Case
    target: Path
    probabilities: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.target,) if self.probabilities is None else (self.probabilities, self.target)


def predict(
    model: str | os.PathLike[str],
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    tile: int | Sequence[int] | None = None,
    probabilities: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Predicted:
    """Outline what a trained network tells apart: an image into a mask, a folder into a folder.

    1. Masks have the names of their images (x.nii.gz, and x.png for x.jpg), their affine and spacing, and
       the values that the masks of the training had.
    2. Before any work: the model is read, the images are found, and no file stands where one is to be
       written, unless `overwrite` or `skip_existing` says so.
    3. Each mask is written beside its place and moved there, so that a full disk or a kill leaves whole
       files alone.
    4. Of a folder, an image that cannot be predicted is passed over and reported in `failed`. A single image
       raises. So does what would stop every image, such as a full disk.

    Args:
        model: a run folder, its `model.safetensors`, or an ONNX file of `segment export`.
        source: an image; a folder of images, with a folder below it for some of them if need be; or a data
            set for training, whose masks are not read.
        target: a mask, where `source` is an image; or a folder, made if need be.
        tile: largest size that the network is given at once; by default the image, or what 2 GiB hold.
        probabilities: a folder for the probabilities of all classes as float32: NIfTI for NIfTI, else TIFF.
        overwrite: whether files that are there may be replaced.
        skip_existing: whether images whose files are there are passed over, whatever made these.
        device: "cpu", "cuda:0" and so on.
        progress: whether a bar is shown on a terminal.

    Raises:
        FileError: the model or the images cannot be read, or the masks cannot be written.
        OptionError: an argument has no meaning here.
        ShapeError: a single image does not fit the network.
        MissingExtraError: a package that reads such files is not installed.
    """
    started = time.perf_counter()
    model, source, target = Path(model), Path(source), Path(target)
    if overwrite and skip_existing:
        msg = (
            "files that are there are either replaced or kept; got overwrite and skip_existing; leave one out"
        )
        raise OptionError(msg)
    from upstroke.apps.segment.model import load_model

    network = load_model(model, device=device)
    cases = find_cases(source, labelled=False, channels=network.recipe.channels)
    single = source.is_file()
    wanted = _wanted(cases, target, _folder(probabilities), single=single, recipe=network.recipe)
    there = _refuse_targets(wanted, overwrite=overwrite, skip_existing=skip_existing)
    done: list[Outlined] = []
    failed: list[tuple[Path, str]] = []
    ahead = [each for each in wanted if each.target not in there]
    with _bar(len(wanted), len(there), shown=progress) as advance:
        for each in ahead:
            advance(each.case.name, 0)
            try:
                made = _predicted(network, each.case, tile=tile)
            except MissingExtraError:
                raise
            except UpstrokeError as error:
                if single:
                    raise
                failed.append((each.case.images[0], str(error)))
            else:
                done.append(_written(each, made, network.recipe, overwrite=overwrite, before=len(done)))
            advance(each.case.name, 1)
    return Predicted(
        model=model,
        source=source,
        target=target,
        device=device,
        classes=network.recipe.classes,
        files=tuple(done),
        skipped=tuple(there),
        failed=tuple(failed),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made:
    """What the network says of one image, before it is written."""

    volume: Volume
    probabilities: NDArray[np.float32]
    tiles: TilePlan
    started: float


def _predicted(network: "Model", case: Case, *, tile: int | Sequence[int] | None) -> _Made:
    """Read and predict one image; whatever is wrong with it is said with its name."""
    started = time.perf_counter()
    volume = case.read()
    recipe = network.recipe
    check_fits(volume, recipe)
    try:
        size = volume.size if recipe.spacing is None else size_at(volume.size, volume.spacing, recipe.spacing)
        plan = plan_tiles(recipe.unet, size, tile=tile, trained=recipe.patch)
        found = network.probabilities(volume, tile=tile)
    except (FileError, MissingExtraError):
        raise
    except UpstrokeError as error:
        msg = f"{volume.path}: {error}"
        raise type(error)(msg) from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        msg = f"{volume.path} needs more memory than there is: {first_line(error)}; give a smaller --tile"
        raise OptionError(msg) from error
    return _Made(volume=volume, probabilities=found, tiles=plan, started=started)


def _written(wanted: _Wanted, made: _Made, recipe: Recipe, *, overwrite: bool, before: int) -> Outlined:
    """Write the files of one image that are not there; the mask comes last, and says that all are."""
    numbers = made.probabilities.argmax(0)
    like = made.volume
    try:
        for path in wanted.files:
            if overwrite or not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                if path == wanted.target:
                    write_labels(path, recipe.classes.values_of(numbers), like=like, overwrite=overwrite)
                else:
                    write_probabilities(path, made.probabilities, like=like, overwrite=overwrite)
    except OSError as error:
        # of the files before it nothing is lost, and the same call goes on from there
        said = (
            str(error) if isinstance(error, FileError) else f"cannot write {wanted.target}: {error.strerror}"
        )
        count = "1 mask was" if before == 1 else f"{before} masks were"
        msg = f"{said}; {count} written before it, which --skip-existing keeps" if before else said
        raise FileError(msg) from error
    return Outlined(
        source=wanted.case.images[0],
        target=wanted.target,
        probabilities=wanted.probabilities,
        size=like.size,
        spacing=like.spacing,
        unit=like.unit,
        voxels=tuple(np.bincount(numbers.ravel(), minlength=recipe.classes.count).tolist()),
        tiles=made.tiles,
        seconds=time.perf_counter() - made.started,
    )


def _folder(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)


def _wanted(
    cases: Sequence[Case], target: Path, probabilities: Path | None, *, single: bool, recipe: Recipe
) -> list[_Wanted]:
    """Where everything goes."""
    ndim = recipe.ndim
    if single and not target.is_dir():
        ending = suffix_of(target).lower()
        if ending not in WRITTEN[ndim]:
            # an image that the network cannot take is no reason to rename the mask
            check_fits(cases[0].read(), recipe)
            fits = suffix_of(Path(prediction_name(cases[0].images[0])))
            named_so = stem_of(target) + (fits if fits.lower() in WRITTEN[ndim] else WRITTEN[ndim][0])
            msg = (
                f"a mask with {ndim} axes is written as {', '.join(WRITTEN[ndim])}; got {target}; "
                f"name it {named_so}"
            )
            raise FileError(msg)
        named = [target]
    else:
        named = [target / each.prediction for each in cases]
    beside = [
        None
        if probabilities is None
        else probabilities / Path(each.name).parent / probability_name(each.images[0].with_name(mask.name))
        for each, mask in zip(cases, named, strict=True)
    ]
    return [
        _Wanted(case=case, target=mask, probabilities=soft)
        for case, mask, soft in zip(cases, named, beside, strict=True)
    ]


def _refuse_targets(wanted: Sequence[_Wanted], *, overwrite: bool, skip_existing: bool) -> dict[Path, None]:
    """Refuse before any work whatever would be refused after it; the masks that are there and stay.

    Raises:
        FileError: two images have the same target, an image would be replaced, a target cannot be written, or
            files are there that are to stay.
    """
    of: dict[str, Path] = {}
    images = {os.path.realpath(path): path for each in wanted for path in each.case.images}
    for each in wanted:
        for path in each.files:
            real = os.path.realpath(path)
            if real in of:
                msg = f"{of[real]} and {each.case.images[0]} would both become {path}; rename one of them"
                raise FileError(msg)
            of[real] = each.case.images[0]
            if real in images:
                msg = f"{path} is an image that is read and must not be replaced; name another folder"
                raise FileError(msg)
    for folder in dict.fromkeys(path.parent for each in wanted for path in each.files):
        _check_folder(folder)
    every = [path for each in wanted for path in each.files if os.path.lexists(path)]
    if every and not (overwrite or skip_existing):
        count = f"{len(every)} files exist already" if len(every) > 1 else "it exists already"
        msg = (
            f"cannot write {listed(every)}: {count}; name another folder, replace them with --overwrite, "
            "or go on with --skip-existing"
        )
        raise FileError(msg)
    for path in every:
        check_target(path, overwrite=True)
    if not skip_existing:
        return {}
    return dict.fromkeys(each.target for each in wanted if all(path.exists() for path in each.files))


def _check_folder(folder: Path) -> None:
    """Refuse a folder that could not be made or written to."""
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each) or each == each.parent)
    if not there.is_dir():
        msg = f"cannot write into {folder}: {there} is no folder; name a folder"
        raise FileError(msg)
    if not os.access(there, os.W_OK):
        msg = f"cannot write into {folder}: {os.strerror(errno.EACCES)}; choose a folder you may write to"
        raise FileError(msg)


@contextmanager
def _bar(total: int, done: int, *, shown: bool) -> Iterator[Callable[[str, int], None]]:
    """Show how many are done, and which one is worked on, on a terminal alone."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield lambda name, more: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    name_of = TextColumn("{task.description}", markup=False)
    with Progress(*columns, name_of, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda name, more: bar.update(task, description=name, advance=more)
