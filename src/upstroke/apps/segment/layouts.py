"""A folder as users have it becomes cases, by the way that images and masks lie in it."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from upstroke.apps.segment.cases import Case, Part
from upstroke.apps.segment.coco import annotated
from upstroke.errors import FileError, OptionError, first_line, listed
from upstroke.files.natural import natural
from upstroke.files.volumes import SUFFIXES, stem_of, suffix_of

__all__ = ["find_cases", "find_predictions"]

IMAGE_FOLDERS = ("images", "image", "imagestr", "imgs", "img", "inputs", "input", "imagests")
LABEL_FOLDERS = (
    *("labels", "label", "labelstr", "masks", "mask", "labelsts"),
    *("segmentations", "segmentation", "segs", "seg", "groundtruth", "ground_truth", "gt", "targets"),
)
# nnU-Net's test folders hold images whose masks are not given out.
TEST_FOLDERS = {"imagests": "labelsts"}
PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
COCO_FILES = ("_annotations.coco.json", "annotations.coco.json", "annotations.json", "coco.json")
LABEL_ENDING = re.compile(
    r"[_\-. ](masks?|labels?|segs?|segmentations?|gt|groundtruth|ground_truth)$", re.IGNORECASE
)
IMAGE_ENDING = re.compile(r"[_\-. ](images?|img)$", re.IGNORECASE)
# nnU-Net has one file for each channel: x_0000.nii.gz, x_0001.nii.gz.
CHANNEL_ENDING = re.compile(r"_(\d{4})$")
ROBOFLOW = re.compile(r"^(.+?)_(?:jpe?g|png|bmp|tiff?|webp)\.rf\.\w+$", re.IGNORECASE)


def find_cases(
    data: Path, *, group: str | None = None, labelled: bool = True, channels: int = 1
) -> tuple[Case, ...]:
    """All cases of a folder, in natural order (2 before 10).

    Known are: a folder of images beside one of masks (images and labels, image and label, img and mask,
    imagesTr and labelsTr, ...), also inside of folders such as train and val; images with masks beside
    them (x.png, x_mask.png); COCO outlines (_annotations.coco.json), also in such folders; and without masks
    one file or any folder of files.
    Hidden files are left alone, links are followed.

    Args:
        data: the folder, or one image.
        group: a regular expression whose first group, found in a case's name, says what it belongs to.
            Otherwise Roboflow's copies of one picture belong together, and every other case is on its own.
        labelled: whether masks are wanted.
        channels: how many files make an image, x_0000, x_0001 and so on, where no masks tell.

    Raises:
        FileError: nothing is there, or images lack masks, or masks images; they are named.
        OptionError: the expression cannot be used.
    """
    expression = _expression(group)
    if not data.exists():
        msg = f"{data} must be an image or a folder of images; there is no such file or folder"
        raise FileError(msg)
    found = list(_found(data, labelled=labelled, channels=channels))
    if not found:
        known = ", ".join(SUFFIXES)
        wanted = "images with masks" if labelled else "images"
        msg = f"{data} must hold {wanted}; none was found; known are folders images and labels of {known}"
        raise FileError(msg)
    _check_once(data, found)
    ordered = sorted(found, key=lambda case: natural(case.name))
    return tuple(replace(case, group=_group(case.name, expression)) for case in ordered)


def find_predictions(folder: Path, cases: Sequence[Case]) -> dict[str, Path]:
    """The masks that were predicted for these cases, by the names of the cases; those found.

    1. A prediction is called as `Case.prediction` says: like its case, with the suffix that predictions for
       such an image have.
    2. Else like its case's first image, since where no masks tell, "_0000" and "_image" belong to a name.
    3. Other programs write other suffixes, so each name is looked for with any.

    Raises:
        FileError: a case has several of them.
    """
    there: dict[str, list[Path]] = {}
    for path in _files(folder):
        there.setdefault(_name(path, folder), []).append(path)
    found: dict[str, Path] = {}
    for case in cases:
        alike = (Path(case.name).parent / stem_of(case.images[0])).as_posix()
        files = there.get(case.name) or there.get(alike, [])
        wanted = [path for path in files if suffix_of(path) == suffix_of(case.prediction)] or files
        if len(wanted) > 1:
            both = f"{wanted[0]} and {wanted[1].name}"
            msg = f"{case.name} must have one prediction; {both} both are of it; keep one"
            raise FileError(msg)
        if wanted:
            found[case.name] = wanted[0]
    return found


def _found(data: Path, *, labelled: bool, channels: int) -> Iterator[Case]:
    """Cases of a folder by the first layout that it has; groups are given later."""
    if data.is_file():
        files = [data, *_siblings(data)]
        if labelled:
            yield from _beside(files, data.parent, only=data)
        else:
            yield from _grouped_bare(
                _of_one_image(data, files) if channels > 1 else [data], data.parent, channels=channels
            )
        return
    names = _declared_names(data)
    inner = [folder for folder in _folders(data) if _has_layout(folder)]
    if coco := _coco_files(data):
        for path in coco:
            yield from _of_coco(path, data)
    elif pairs := _pairs_of_folders(data):
        for images, labels in pairs:
            yield from _of_pair(data, images, labels, names, labelled=labelled, channels=channels)
    elif inner:
        for folder in inner:
            part = PARTS.get(folder.name.lower(), "")
            for case in _found(folder, labelled=labelled, channels=channels):
                yield replace(
                    case, name=f"{folder.name}/{case.name}", part=part or case.part, names=case.names or names
                )
    elif labelled:
        yield from _beside(_files(data), data, names=names)
    else:
        yield from _grouped_bare(_without_masks(_files(data), data), data, channels=channels)


def _has_layout(folder: Path) -> bool:
    return bool(_coco_files(folder) or _pairs_of_folders(folder))


def _coco_files(folder: Path) -> list[Path]:
    """COCO files of a folder, or of its folder `annotations` as in COCO's own archives."""
    own = [folder / name for name in COCO_FILES if (folder / name).is_file()]
    theirs = sorted((folder / "annotations").glob("instances_*.json")) if not own else []
    return own[:1] or theirs


def _of_coco(path: Path, data: Path) -> Iterator[Case]:
    found, names = annotated(path)
    part = PARTS.get(re.sub(r"^instances_|\d*$", "", path.stem), "")
    for image, polygons in found.items():
        yield Case(
            name=_name(image, data),
            group="",
            images=(image,),
            label=polygons,
            names=tuple(names.items()),
            part=part,
        )


def _pairs_of_folders(data: Path) -> list[tuple[Path, Path | None]]:
    """Folders of images, each with that of its masks; those for tests may have no masks."""
    folders = {folder.name.lower(): folder for folder in _folders(data)}
    images = [name for name in IMAGE_FOLDERS if name in folders]
    labels = [name for name in LABEL_FOLDERS if name in folders and name not in TEST_FOLDERS.values()]
    ordinary = [name for name in images if name not in TEST_FOLDERS]
    if len(ordinary) > 1 or (ordinary and len(labels) > 1):
        has = ", ".join([*ordinary, *labels])
        msg = f"{data} must have one folder of images and one of masks; it has {has}; keep two"
        raise FileError(msg)
    pairs: list[tuple[Path, Path | None]] = [
        (folders[name], folders[labels[0]] if labels else None) for name in ordinary
    ]
    tests = [(folders[name], folders.get(TEST_FOLDERS[name])) for name in images if name in TEST_FOLDERS]
    return pairs + [pair for pair in tests if pair[1] is not None or not pairs]


def _of_pair(
    data: Path,
    images: Path,
    labels: Path | None,
    names: tuple[tuple[int, str], ...],
    *,
    labelled: bool,
    channels: int,
) -> Iterator[Case]:
    """Cases of a folder of images and that of their masks, joined by name."""
    part: Part = "test" if images.name.lower() in TEST_FOLDERS else ""
    if not labelled:
        bare = _grouped_bare(_files(images), images, channels=channels)
        yield from (replace(case, part=part or _part(case.name)) for case in bare)
        return
    if labels is None:
        msg = f"{data} must have masks beside {images.name}; it has no folder labels or masks; add one"
        raise FileError(msg)
    masks = _by_key(_files(labels), labels)
    joined = _joined(_files(images), images, masks)
    _check_paired(data, joined, {key: str(path.relative_to(data)) for key, path in masks.items()})
    for key, files in joined.pairs.items():
        yield Case(name=key, group="", images=files, label=masks[key], names=names, part=part or _part(key))


@dataclass(frozen=True, kw_only=True)
class _Joined:
    """Images by the key of their mask, and the names of those that have none."""

    pairs: Mapping[str, tuple[Path, ...]]
    alone: tuple[str, ...]


def _joined(images: Iterable[Path], folder: Path, masks: Mapping[str, Path]) -> _Joined:
    """Find the mask of each image; several of one mask are channels, and are called so."""
    alone, pairs = list[str](), dict[str, list[Path]]()
    for image in images:
        key = _matching(_name(image, folder), masks)
        if key is None:
            alone.append(_name(image, folder))
        else:
            pairs.setdefault(key, []).append(image)
    for key, files in pairs.items():
        if len(files) > 1 and not all(CHANNEL_ENDING.search(stem_of(file)) for file in files):
            both = f"{files[0].name} and {files[1].name}"
            msg = f"{masks[key]} must be the mask of one image; {both} both claim it; keep one"
            raise FileError(msg)
    return _Joined(pairs={key: tuple(files) for key, files in pairs.items()}, alone=tuple(alone))


def _matching(name: str, masks: Mapping[str, Path]) -> str | None:
    """The key of an image's mask: its name, or that without an ending for images or channels."""
    bare = IMAGE_ENDING.sub("", name)
    return next((key for key in (name, bare, CHANNEL_ENDING.sub("", name)) if key in masks), None)


def _by_key(files: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Masks by name without ending; two that would be the same one are refused."""
    found: dict[str, Path] = {}
    for path in files:
        key = LABEL_ENDING.sub("", _name(path, folder))
        if key in found:
            msg = f"{path} and {found[key].name} are both masks of {key}; keep one"
            raise FileError(msg)
        found[key] = path
    return found


def _beside(
    files: Sequence[Path], folder: Path, *, names: tuple[tuple[int, str], ...] = (), only: Path | None = None
) -> Iterator[Case]:
    """Cases of images whose masks lie beside them and are called like them with an ending."""
    masks = _by_key((path for path in files if LABEL_ENDING.search(_name(path, folder))), folder)
    ours = set(masks.values())
    joined = _joined((path for path in files if path not in ours), folder, masks)
    if only is not None:
        pairs = {key: images for key, images in joined.pairs.items() if only in images}
        joined = _Joined(pairs=pairs, alone=tuple({_name(only, folder)} & {*joined.alone}))
        masks = {key: masks[key] for key in pairs}
    _check_paired(folder, joined, {key: path.name for key, path in masks.items()})
    for key, images in joined.pairs.items():
        yield Case(name=key, group="", images=images, label=masks[key], names=names, part=_part(key))


def _without_masks(files: Sequence[Path], folder: Path) -> list[Path]:
    """The images among files of which some may be masks that lie beside their images."""
    masks = {
        key: path for path in files if (key := LABEL_ENDING.sub("", name := _name(path, folder))) != name
    }
    images = set(files) - set(masks.values())
    outlined = {_matching(_name(path, folder), masks) for path in images}
    left_out = {path for key, path in masks.items() if key in outlined}
    return [path for path in files if path not in left_out]


def _of_one_image(image: Path, files: Iterable[Path]) -> list[Path]:
    """The files of all channels of an image, x_0000, x_0001 and so on, of which one is given."""
    name = CHANNEL_ENDING.sub("", stem_of(image))
    own = [file for file in files if CHANNEL_ENDING.sub("", stem_of(file)) == name]
    return sorted(own, key=lambda file: natural(file.name)) if name != stem_of(image) else [image]


def _grouped_bare(files: list[Path], folder: Path, *, channels: int) -> Iterator[Case]:
    """Cases without masks: every file one, or so many files as an image has channels."""
    if channels == 1 or not all(CHANNEL_ENDING.search(stem_of(file)) for file in files):
        for file in files:
            name = _name(file, folder)
            yield replace(
                _bare(file, folder), name=CHANNEL_ENDING.sub("", name) if _is_nnunet(folder) else name
            )
        return
    together: dict[str, list[Path]] = {}
    for file in files:
        together.setdefault(CHANNEL_ENDING.sub("", _name(file, folder)), []).append(file)
    for name, images in together.items():
        if len(images) != channels:
            msg = (
                f"{folder}: {name} must have {channels} files, one a channel; it has {len(images)}; add them"
            )
            raise FileError(msg)
        yield Case(name=name, group="", images=tuple(images), label=None)


def _is_nnunet(folder: Path) -> bool:
    return folder.resolve().name in ("imagesTr", "imagesTs") and all(
        stem_of(file).endswith("_0000") for file in _files(folder)
    )


def _bare(path: Path, folder: Path) -> Case:
    return Case(name=_name(path, folder), group="", images=(path,), label=None)


def _check_paired(data: Path, joined: _Joined, masks: Mapping[str, str]) -> None:
    """Refuse images without masks and masks without images, by name and number."""
    images, left = joined.alone, [name for key, name in masks.items() if key not in joined.pairs]
    if not images and not left:
        return
    parts = []
    if images:
        every = len(images) + sum(map(len, joined.pairs.values()))
        parts.append(f"{len(images)} of {every} images have no mask ({listed(sorted(images, key=natural))})")
    if left:
        parts.append(f"{len(left)} masks have no image ({listed(sorted(left, key=natural))})")
    msg = f"{data}: every image needs its mask; {' and '.join(parts)}; add what is missing or take these away"
    raise FileError(msg)


def _check_once(data: Path, cases: Iterable[Case]) -> None:
    """Refuse two cases of one name, whose predictions would be the same file."""
    seen: dict[str, Path] = {}
    for case in cases:
        if case.name in seen:
            first, second = seen[case.name], case.images[0]
            msg = f"{data}: {first.name} and {second.name} have the same name, {case.name}; rename one"
            raise FileError(msg)
        seen[case.name] = case.images[0]


def _files(folder: Path) -> list[Path]:
    """All pictures and volumes below a folder in natural order; hidden ones are left alone."""
    found: list[Path] = []
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(root))
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(root, name)) not in seen
        ]
        found += [Path(root, name) for name in files if not name.startswith(".") and suffix_of(Path(name))]
    return sorted(found, key=lambda path: natural(str(path.relative_to(folder))))


def _siblings(path: Path) -> list[Path]:
    return [
        other for other in path.parent.iterdir() if other != path and suffix_of(other) and other.is_file()
    ]


def _folders(folder: Path) -> list[Path]:
    return sorted(
        (each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")),
        key=lambda path: natural(path.name),
    )


def _name(path: Path, folder: Path) -> str:
    """The path below a folder without suffix, "/" between its parts."""
    return (path.relative_to(folder).parent / stem_of(path)).as_posix()


def _part(name: str) -> Part:
    return PARTS.get(name.split("/")[0].lower(), "") if "/" in name else ""


def _expression(group: str | None) -> re.Pattern[str] | None:
    if group is None:
        return None
    try:
        expression = re.compile(group)
    except re.error as error:
        reason = first_line(error)
        msg = f"the group must be a regular expression such as '(.*)_slice'; {group!r} is none: {reason}"
        raise OptionError(msg) from error
    if expression.groups < 1:
        msg = f"the group must stand in brackets, as in '(.*)_slice'; {group!r} has none; add them"
        raise OptionError(msg)
    return expression


def _group(name: str, expression: re.Pattern[str] | None) -> str:
    if expression is None:
        copy = ROBOFLOW.match(name.rsplit("/", 1)[-1])
        return copy.group(1) if copy else name
    found = expression.search(name)
    if found is None or found.group(1) is None:
        msg = f"the group must be found in every name; {expression.pattern!r} finds none in {name}; widen it"
        raise OptionError(msg)
    return found.group(1)


def _declared_names(data: Path) -> tuple[tuple[int, str], ...]:
    """Names of labels in a dataset.json, {"0": name} in the Decathlon's and {name: 0} in nnU-Net's."""
    path = data / "dataset.json"
    if not path.is_file():
        return ()
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path} is not a whole JSON file: {first_line(error)}; correct it or take it away"
        raise FileError(msg) from error
    labels = record.get("labels") if isinstance(record, dict) else None
    found = {}
    for key, value in (labels if isinstance(labels, dict) else {}).items():
        if isinstance(value, str) and re.fullmatch(r"-?\d+", key):
            found[int(key)] = value
        elif isinstance(value, int) and not isinstance(value, bool):
            found[value] = key
    return tuple(sorted(found.items()))
