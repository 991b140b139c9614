"""A small dataset and large fields become a NetCDF-4 file whose fields are filled in slab by slab.

What is not compressed lies in one run of bytes whose place in the file is known, so that slabs are written
there by the system, from several threads; what is compressed is compressed in the thread that brings it, and
only handed over under a lock.
"""

import itertools
import math
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upstroke.files.field_target import LargeField
from upstroke.files.fields import without_noise
from upstroke.files.space import check_room

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["NetcdfTarget"]

COMPRESSIONS = ("zlib", "zstd", "bzip2", "blosc", "szip", "compression", "compressors", "compressor")
USUAL_LEVEL = 4
# A chunk is read as a whole by whoever reads a part of it.
MOST_OF_A_CHUNK = 2**25


class NetcdfTarget:
    """A NetCDF-4 file that is filled in; every slab must be written, since nothing stands in between.

    Args:
        path: of the new file, which must not be there.
        small: everything but the large fields, encoded and with its global attributes.
        large: the fields, in the order in which they are listed.
        unlimited: dimensions that may grow later.

    Raises:
        OSError: the disk is full or the folder may not be written to.
    """

    def __init__(
        self, path: Path, small: "Dataset", large: Sequence[LargeField], *, unlimited: Sequence[str] = ()
    ) -> None:
        from h5py import File  # type: ignore[import-untyped]

        self._fields = {each.name: each for each in large}
        self._chunks: dict[str, tuple[int, ...]] = {}
        self._levels: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()
        self._file: Any = None
        self._descriptor: int | None = None
        check_room(path.parent, sum(_bytes(each) for each in large if not _level(each.encoding)), tries=True)
        self._folder = path.parent
        with _as_system_says():
            self._describe(path, small, unlimited)
        file = File(path, "r+")
        try:
            self._learn_places(file)
        except BaseException:
            file.close()
            raise
        if self._chunks:
            self._file = file
        else:
            file.close()
        if self._places:
            self._descriptor = os.open(path, os.O_WRONLY)

    def write(self, name: str, start: tuple[int, ...], block: NDArray[Any]) -> None:
        """Put a block at its place: `start` along the leading axes, and all of the horizontal ones."""
        field = self._fields[name]
        stored = field.filled(block)
        if name in self._places:
            self._write_bytes(field, start, stored)
        else:
            self._write_chunks(field, start, stored)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        if file is not None:
            with _as_system_says():
                file.close()

    def _describe(self, path: Path, small: "Dataset", unlimited: Sequence[str]) -> None:
        """Write what is small, and what the fields are."""
        import netCDF4

        with without_noise():
            growing = [each for each in unlimited if each in small.sizes]
            small.to_netcdf(path, engine="netcdf4", format="NETCDF4", unlimited_dims=growing)
        with netCDF4.Dataset(path, "a") as file:
            file.set_fill_off()
            for field in self._fields.values():
                for dim, size in zip(field.dims, field.shape, strict=True):
                    if dim not in file.dimensions:
                        file.createDimension(dim, None if dim in unlimited else size)
                self._create(
                    file, field, [each for each in field.dims if file.dimensions[each].isunlimited()]
                )

    def _create(self, file: Any, field: LargeField, growing: Sequence[str]) -> None:  # noqa: ANN401 - netCDF4 has no types
        level = _level(field.encoding)
        settings: dict[str, Any] = {"contiguous": True}
        if level or growing:
            self._chunks[field.name] = _chunk(field)
            self._levels[field.name] = level
            settings = {"chunksizes": self._chunks[field.name]}
        if level:
            settings |= {"compression": "zlib", "complevel": level, "shuffle": True}
        # a value for what is not written would make the library write every byte twice
        made = file.createVariable(field.name, field.dtype, field.dims, fill_value=False, **settings)
        made.set_auto_maskandscale(False)
        made.setncatts({key: value for key, value in field.attrs.items() if key != "_FillValue"})
        if 0 in field.shape:
            return
        # a field gets its place with its first number, and a growing axis its length with its last
        corner = tuple(size - 1 for size in field.shape) if growing else tuple(0 for _ in field.shape)
        made[corner] = field.dtype.type(0)

    def _learn_places(self, file: Any) -> None:  # noqa: ANN401 - h5py has no types
        for name, field in self._fields.items():
            data = file[name]
            if field.fill is not None:
                data.attrs.create("_FillValue", np.array([field.fill], field.dtype))
            if name not in self._chunks and 0 not in field.shape:
                self._places[name] = int(data.id.get_offset())

    def _write_bytes(self, field: LargeField, start: tuple[int, ...], block: NDArray[Any]) -> None:
        assert self._descriptor is not None
        lead = len(start)
        size = math.prod(field.shape[lead:]) * field.dtype.itemsize
        # what covers all but the first axis lies together; else the steps of the last leading one do
        apart = 0 if _is_whole(field, block, lead) else lead - 1
        for at in itertools.product(*map(range, block.shape[:apart])):
            first = [s + a for s, a in itertools.zip_longest(start, at, fillvalue=0)]
            step = sum(each * math.prod(field.shape[k + 1 : lead]) for k, each in enumerate(first))
            _write_all(self._descriptor, block[at], self._places[field.name] + step * size)

    def _write_chunks(self, field: LargeField, start: tuple[int, ...], block: NDArray[Any]) -> None:
        chunk, level = self._chunks[field.name], self._levels[field.name]
        first = (*start, *(0 for _ in field.dims[len(start) :]))
        for corner in itertools.product(
            *(range(0, size, each) for size, each in zip(block.shape, chunk, strict=True))
        ):
            part = block[tuple(slice(c, c + each) for c, each in zip(corner, chunk, strict=True))]
            if part.shape != chunk:
                part = np.pad(part, [(0, each - size) for each, size in zip(chunk, part.shape, strict=True)])
            data = _compressed(part, level) if level else np.ascontiguousarray(part).tobytes()
            at = tuple(f + c for f, c in zip(first, corner, strict=True))
            with self._lock:
                check_room(self._folder, len(data))
                self._file[field.name].id.write_direct_chunk(at, data)


@contextmanager
def _as_system_says() -> Iterator[None]:
    """Let what the libraries cannot write be an error of the system, which is what it is."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error)) from error


def _is_whole(field: LargeField, block: NDArray[Any], lead: int) -> bool:
    return block.shape[1:lead] == field.shape[1:lead]


def _write_all(descriptor: int, block: NDArray[Any], place: int) -> None:
    """Write all bytes of a contiguous block at a place: the system may take fewer than it is given."""
    left = np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
    while left:
        done = os.pwrite(descriptor, left, place)
        left, place = left[done:], place + done


def _compressed(part: NDArray[Any], level: int) -> bytes:
    """Do what HDF5's filters shuffle and deflate do."""
    shuffled = np.ascontiguousarray(part.reshape(-1).view(np.uint8).reshape(-1, part.itemsize).T)
    return zlib.compress(shuffled.data, level)


def _bytes(field: LargeField) -> int:
    return math.prod(field.shape) * field.dtype.itemsize


def _level(encoding: Any) -> int:  # noqa: ANN401 - a mapping of anything
    """How much the source was compressed, in the levels of zlib, which every reader has; 0: not at all."""
    if not any(encoding.get(each) for each in COMPRESSIONS):
        return 0
    level = encoding.get("complevel", encoding.get("compression_opts", USUAL_LEVEL))
    return level if isinstance(level, int) and 1 <= level <= 9 else USUAL_LEVEL


def _chunk(field: LargeField) -> tuple[int, ...]:
    """One step and all of its horizontal axes, cut where this is too much to read at once."""
    sizes = [max(size, 1) for size in field.shape[len(field.steps) :]]
    axis = 0
    while math.prod(sizes) * field.dtype.itemsize > MOST_OF_A_CHUNK:
        sizes[axis] = -(-sizes[axis] // 2)
        axis = (axis + 1) % len(sizes)
    return (*(1 for _ in field.steps), *sizes)
