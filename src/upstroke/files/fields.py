"""NetCDF, Zarr and GRIB files become datasets of plain numbers, with the time axis as it was written."""

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from upstroke.errors import FileError, MissingExtraError, first_line

if TYPE_CHECKING:
    from xarray import Dataset, Variable

__all__ = ["FieldFormat", "field_format", "holds_kinds", "missing_climate", "open_fields", "without_noise"]

FieldFormat = Literal["netcdf", "zarr", "grib"]

WANTED = "fields must be a NetCDF or GRIB file or a Zarr store"
NETCDF3 = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
HDF5 = b"\x89HDF\r\n\x1a\n"
# Messages of a bulletin may begin with a header of some bytes.
GRIB, LOOKED_AT = b"GRIB", 512
# Any of these makes a folder a Zarr group: version 3, version 2, and version 2 with its metadata in one file.
ZARR_GROUPS = ("zarr.json", ".zgroup", ".zmetadata")
# Integers that stand for kinds of things, where a mean of two of them has no meaning.
FLAGS = ("flag_values", "flag_masks", "flag_meanings")
MEASURED = re.compile(r": (mean|sum)\b")
NO_UNITS = {"", "1", "none", "unitless", "-", "flag", "category", "code", "index"}
# Small integers, and scale and offset with them, have fewer digits than float32.
SMALL_INTEGER = 2


def open_fields(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    chunks: Mapping[Any, int | str | None] | Literal["auto"] | None = None,
) -> "Dataset":
    """Open files of fields lazily: nothing but coordinates is read before it is asked for.

    1. What a file is is told from its content: NetCDF 3 and 4, Zarr 2 and 3, GRIB 1 and 2.
    2. Times are left as the numbers and units that are in the file, so that every calendar is kept exactly.
    3. Packed integers become float32 (of 16 bits or fewer) or float64, and missing values NaN; `encoding`
       keeps how they were. Integers without scale or offset stay integers if flags or without units.
    4. GRIB is read by cfgrib, which leaves no index file beside it.

    Args:
        source: a file or a store, or several that follow each other in time or hold other variables.
        chunks: sizes for dask, as in xarray; by default one file is opened without dask.

    Raises:
        FileError: a file is not there, is of another kind, or is damaged.
        MissingExtraError: xarray, or what reads this kind of file, is not installed.

    >>> import numpy as np, tempfile, xarray
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sst = xarray.DataArray([280, 300], dims="lat", attrs={"scale_factor": 0.1, "units": "degC"})
    ...     sst.astype("int16").to_dataset(name="sst").to_netcdf(f"{folder}/sst.nc")
    ...     with open_fields(f"{folder}/sst.nc") as dataset:
    ...         print(dataset.sst.dtype, dataset.sst.values)
    float32 [28. 30.]
    """
    if isinstance(source, str | os.PathLike):
        return _opened(Path(source), chunks)
    paths = [Path(each) for each in source]
    if not paths:
        msg = f"{WANTED}; got an empty list; name at least one"
        raise FileError(msg)
    if len(paths) == 1:
        return _opened(paths[0], chunks)
    datasets = [_opened(path, chunks or {}) for path in paths]
    return _joined(paths, datasets)


def field_format(path: Path) -> FieldFormat:
    """Tell what a path holds by its content.

    Raises:
        FileError: it holds none of the three, or cannot be read.
    """
    if not os.path.lexists(path):
        msg = f"{WANTED}; there is no file {path}"
        raise FileError(msg)
    if os.path.isdir(path):
        if any(os.path.exists(path / each) for each in ZARR_GROUPS):
            return "zarr"
        if os.path.exists(path / ".zarray"):
            msg = f"{WANTED}; {path} is a single Zarr array; name the group that it is in"
            raise FileError(msg)
        msg = f"{WANTED}; {path} is a folder without Zarr's metadata; name a file or a store"
        raise FileError(msg)
    return _format_of_file(path)


def _format_of_file(path: Path) -> FieldFormat:
    if not os.path.isfile(path):
        msg = f"{WANTED}; {path} is a device, a pipe or a link to nothing; name a file"
        raise FileError(msg)
    try:
        with path.open("rb") as file:
            head = file.read(LOOKED_AT)
    except OSError as error:
        msg = (
            f"{WANTED}; {path} could not be read: {(error.strerror or str(error)).lower()}; name another file"
        )
        raise FileError(msg) from error
    if not head:
        msg = f"{WANTED}; {path} is empty; write it again"
        raise FileError(msg)
    if head.startswith((*NETCDF3, HDF5)):
        return "netcdf"
    if GRIB in head:
        return "grib"
    msg = f"{WANTED}; {path} begins like none of these; name another file or convert it"
    raise FileError(msg)


def missing_climate(error: ImportError) -> MissingExtraError:
    """Word the absence of a library of the extra `climate`."""
    return MissingExtraError(
        f"reading and writing fields needs {error.name or 'xarray'}; pip install 'upstroke[climate]'"
    )


def _opened(path: Path, chunks: Mapping[Any, int | str | None] | Literal["auto"] | None) -> "Dataset":
    kind = field_format(path)
    try:
        with without_noise(), _said(path, kind):
            raw = _raw(path, kind, chunks)
            try:
                _refuse_groups(path, kind, raw)
                return _decoded(raw)
            except BaseException:
                raw.close()
                raise
    except ImportError as error:
        raise missing_climate(error) from error


def _raw(path: Path, kind: FieldFormat, chunks: Any) -> "Dataset":  # noqa: ANN401 - what xarray takes
    """Open a file with everything in it as it is stored."""
    import xarray

    usual: dict[str, Any] = {"decode_cf": False, "chunks": chunks}
    if kind == "grib":
        settings = {"indexpath": "", "errors": "raise"}
        return xarray.open_dataset(path, engine="cfgrib", backend_kwargs=settings, **usual)
    if kind == "zarr":
        return xarray.open_dataset(path, engine="zarr", **usual)
    return xarray.open_dataset(path, engine="netcdf4", **usual)


def _refuse_groups(path: Path, kind: FieldFormat, raw: "Dataset") -> None:
    """Refuse a file whose variables are all in groups below its root, and name these."""
    if raw.variables or kind == "grib":
        return
    groups = _groups_of_netcdf(path) if kind == "netcdf" else _groups_of_zarr(path)
    if not groups:
        return
    remedy = (
        "bring one to the root, as ncks -G : does" if kind == "netcdf" else f"name one as {path}/{groups[0]}"
    )
    msg = f"{WANTED} with its variables at the root; {path} has them in {', '.join(groups)}; {remedy}"
    raise FileError(msg)


def _groups_of_netcdf(path: Path) -> list[str]:
    import netCDF4

    def below(group: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - netCDF4 has no types
        for key, each in group.groups.items():
            if each.variables:
                yield f"{name}{key}"
            yield from below(each, f"{name}{key}/")

    with netCDF4.Dataset(path) as file:
        return list(below(file, ""))


def _groups_of_zarr(path: Path) -> list[str]:
    import zarr

    return sorted(name for name, _ in zarr.open_group(path, mode="r").groups())


def _decoded(raw: "Dataset") -> "Dataset":
    """Unpack what is packed and name coordinates as such; times stay numbers."""
    import xarray

    prepared = raw.copy()
    for name, variable in raw.variables.items():
        prepared[name].attrs = _attributes_for_decoding(variable)
    kept = {name: not _stays_integer(variable) for name, variable in raw.variables.items()}
    # per variable, as open_dataset takes it; decode_cf hands it on
    as_numbers: Any = kept
    return xarray.decode_cf(prepared, mask_and_scale=as_numbers, decode_times=False, decode_timedelta=False)


def holds_kinds(variable: "Variable") -> bool:
    """Whether numbers stand for kinds of things, such as flags, so that no mean of two has a meaning.

    Flags say so in their attributes; of other integers those without units are taken for kinds, unless their
    cell methods say that they are means or sums.

    >>> import xarray
    >>> holds_kinds(xarray.Variable("x", [1, 2])), holds_kinds(xarray.Variable("x", [1, 2], {"units": "m"}))
    (True, False)
    """
    if any(each in variable.attrs for each in FLAGS) or variable.dtype.kind == "b":
        return True
    if variable.dtype.kind not in "iu" or MEASURED.search(str(variable.attrs.get("cell_methods", ""))):
        return False
    return str(variable.attrs.get("units", "")).strip().lower() in NO_UNITS


def _is_packed(variable: "Variable") -> bool:
    return variable.dtype.kind in "iu" and any(
        each in variable.attrs for each in ("scale_factor", "add_offset")
    )


def _stays_integer(variable: "Variable") -> bool:
    # a coordinate such as the years or the time is what it is, units or not
    is_axis = len(variable.dims) <= 1 and not _is_packed(variable) and variable.dtype.kind in "iu"
    return is_axis or (not _is_packed(variable) and variable.dtype.kind in "iu" and holds_kinds(variable))


def _attributes_for_decoding(variable: "Variable") -> dict[str, Any]:
    """Let scale and offset have the precision of what comes out, and ranges the units of what comes out."""
    attrs = dict(variable.attrs)
    if str(attrs.get("dtype", "")).startswith("timedelta64"):
        # a hint of cfgrib's for times that are decoded
        del attrs["dtype"]
    if not _is_packed(variable):
        return attrs
    number = np.float32 if variable.dtype.itemsize <= SMALL_INTEGER else np.float64
    scale, offset = (np.float64(attrs.get(*each)) for each in (("scale_factor", 1), ("add_offset", 0)))
    for name in ("valid_range", "valid_min", "valid_max"):
        if np.asarray(attrs.get(name, 0.0)).dtype.kind in "iu":
            attrs[name] = (np.asarray(attrs[name]) * scale + offset).astype(number)[()]
    return {**attrs, "scale_factor": number(scale), "add_offset": number(offset)}


def _joined(paths: Sequence[Path], datasets: "Sequence[Dataset]") -> "Dataset":
    """Put files one after the other along their coordinates; times count from one day in all of them."""
    import xarray

    for path, dataset in zip(paths, datasets, strict=True):
        for name in dataset.indexes:
            first = datasets[0].variables.get(name)
            if first is None:
                continue
            for key in ("units", "calendar"):
                one, other = first.attrs.get(key), dataset.variables[name].attrs.get(key)
                if one != other:
                    msg = (
                        f"files that follow each other must have one {key} of {name}; got {one!r} in "
                        f"{paths[0]} and {other!r} in {path}; convert one of them"
                    )
                    raise FileError(msg)
    try:
        with without_noise():
            joined = xarray.combine_by_coords(
                datasets,
                data_vars="minimal",
                coords="minimal",
                compat="override",
                join="exact",
                combine_attrs="override",
            )
    except (ValueError, TypeError) as error:
        names = f"{paths[0]} to {paths[-1]}"
        msg = f"{names} do not follow each other on one grid: {first_line(error)}; give them one by one"
        raise FileError(msg) from error

    def close() -> None:
        for each in datasets:
            each.close()

    assert isinstance(joined, xarray.Dataset)
    joined.encoding = dict(datasets[0].encoding)
    joined.set_close(close)
    return joined


@contextlib.contextmanager
def _said(path: Path, kind: FieldFormat) -> Iterator[None]:
    """Turn what a library says of a damaged file into one sentence."""
    try:
        yield
    except (FileError, ImportError):
        raise
    except Exception as error:
        name = {"netcdf": "NetCDF", "zarr": "Zarr", "grib": "GRIB"}[kind]
        remedy = "write it again or check how it was made"
        if kind == "grib" and type(error).__name__ == "DatasetBuildError":
            remedy = "keep one kind of level and step, for instance with grib_copy -w"
        msg = f"{path} could not be read as {name}: {first_line(error)}; {remedy}"
        raise FileError(msg) from error


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Keep libraries' own logs and warnings off the user's terminal."""
    loggers = [logging.getLogger(each) for each in ("cfgrib", "h5netcdf")]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
