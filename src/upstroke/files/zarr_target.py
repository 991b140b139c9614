"""A small dataset and large fields become a Zarr store whose fields are filled in slab by slab."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from upstroke.files.field_target import LargeField
from upstroke.files.fields import without_noise

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["ZarrTarget", "create_zarr", "finish_zarr"]

# A chunk is read as a whole by whoever reads a part of it.
MOST_OF_A_CHUNK = 2**27


class ZarrTarget:
    """A Zarr store that `create_zarr` made and that is filled in, from any number of processes.

    Args:
        path: of the store.
        large: the fields that are filled in.
    """

    def __init__(self, path: Path, large: Sequence[LargeField]) -> None:
        import zarr

        with without_noise():
            group = zarr.open_group(path, mode="r+", use_consolidated=False)
            self._arrays: dict[str, Any] = {each.name: group[each.name] for each in large}
        self._fields = {each.name: each for each in large}

    def write(self, name: str, start: tuple[int, ...], block: NDArray[Any]) -> None:
        """Put a block at its place: `start` along the leading axes, and all of the horizontal ones."""
        place: Any = tuple(slice(s, s + n) for s, n in zip(start, block.shape[: len(start)], strict=True))
        self._arrays[name][(*place, ...)] = self._fields[name].filled(block)

    def close(self) -> None:
        """Nothing is open between two writes."""


def create_zarr(
    path: Path, small: "Dataset", large: Sequence[LargeField], *, version: Literal[2, 3] = 3
) -> None:
    """Write what is small, and what the fields are, so that their chunks can be filled in.

    Chunks hold the steps that are written together, so that no two slabs share one.

    Raises:
        OSError: the disk is full or the folder may not be written to.
    """
    import zarr

    with without_noise():
        small.to_zarr(path, zarr_format=version, consolidated=False, mode="w-")
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        for each in large:
            group.create_array(
                each.name,
                shape=each.shape,
                dtype=each.dtype,
                chunks=_chunk(each),
                fill_value=_fill(each),
                compressors=_compressors(each.encoding, version),
                attributes=_attributes(each, version),
                dimension_names=each.dims if version == 3 else None,
            )


def finish_zarr(path: Path, *, version: Literal[2, 3]) -> None:
    """Gather a store's metadata in one place, as xarray does and looks for it, in version 3 as well."""
    import zarr

    with without_noise():
        zarr.consolidate_metadata(path, zarr_format=version)


def _fill(field: LargeField) -> Any:  # noqa: ANN401 - of the field's own type
    if field.dtype.kind == "f":
        return field.dtype.type(np.nan if field.fill is None else field.fill)
    return field.dtype.type(0 if field.fill is None else field.fill)


def _attributes(field: LargeField, version: int) -> dict[str, Any]:
    """Attributes as JSON has them; which number stands for no value is said as xarray reads it."""
    attrs = {key: _plain(value) for key, value in field.attrs.items() if key != "_FillValue"}
    if version == 2:
        return {**attrs, "_ARRAY_DIMENSIONS": list(field.dims)}
    if field.fill is not None:
        from xarray.backends.zarr import FillValueCoder

        attrs["_FillValue"] = FillValueCoder.encode(field.dtype.type(field.fill), field.dtype)
    return attrs


def _plain(value: Any) -> Any:  # noqa: ANN401 - attributes may be anything
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _compressors(encoding: Any, version: int) -> Any:  # noqa: ANN401 - what zarr has
    """The source's own compression where it is of the same format, which is told by the codecs' types."""
    given = encoding.get("compressors", "auto")
    if given == "auto" or given is None:
        return "auto"
    if len(given) == 0:
        # a store that was not compressed stays so
        return None
    from numcodecs.abc import Codec as OldCodec  # type: ignore[import-untyped]

    are_old = all(isinstance(each, OldCodec) for each in given)
    return tuple(given) if are_old == (version == 2) else "auto"


def _chunk(field: LargeField) -> tuple[int, ...]:
    sizes = [max(size, 1) for size in field.shape[len(field.steps) :]]
    steps = [max(size, 1) for size in field.steps]
    axis = 0
    while np.prod(steps) * np.prod(sizes) * field.dtype.itemsize > MOST_OF_A_CHUNK and max(sizes) > 1:
        sizes[axis] = -(-sizes[axis] // 2)
        axis = (axis + 1) % len(sizes)
    return (*steps, *sizes)
