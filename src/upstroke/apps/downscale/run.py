"""A file of coarse fields becomes a file of fine ones, piece by piece, and what was kept is measured."""

import hashlib
import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke._version import __version__
from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.dataset import steps_at_once, with_history
from upstroke.apps.downscale.downscaler import Quantity
from upstroke.apps.downscale.kept import Kept, kept
from upstroke.apps.downscale.masks import Surface
from upstroke.apps.downscale.pieces import Piece, ReadBlock, pieces_of, read_blocks, steps_together
from upstroke.apps.downscale.plan import Plan, Refiner, field_encoding, plan_for
from upstroke.apps.downscale.wanted import FIXED, Wanted
from upstroke.errors import FileError, OptionError, UpstrokeError, first_line
from upstroke.files.field_target import FieldTarget, LargeField
from upstroke.files.fields import field_format, missing_climate, open_fields
from upstroke.files.growing import Growing, growing, refuse_target
from upstroke.files.netcdf_target import NetcdfTarget
from upstroke.files.zarr_target import ZarrTarget, create_zarr, finish_zarr
from upstroke.ops import Correction

if TYPE_CHECKING:
    from xarray import Dataset, Variable

__all__ = ["RunReport", "read_steps", "refined_piece", "run"]

ENDINGS = {".nc": "netcdf", ".nc4": "netcdf", ".zarr": "zarr"}
# Bytes of coarse fields that are read together at most, and of what all threads hold.
MOST_READ = 2**26
MOST_HELD = 2**30
# What a thread holds beside the fine fields of a piece, in multiples of them.
BESIDE = 6


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run read, made and measured.

    Attributes:
        source: the file that was read.
        target: the file that was written.
        coarse: cells of the source.
        fine: cells of the target.
        method: of refining.
        conserve: whether block means were kept.
        fields: what each refined field held before and after, measured on what was written.
        quantities: what a value of each refined field is of its cell.
        units: of each refined field.
        copied: names of the fields that were copied from cells to their parts.
        notes: sentences about what did not go the usual way.
        resumed: number of pieces that an earlier run had written.
        pieces: number of pieces of all fields.
        seconds: that the run took.
    """

    source: Path
    target: Path
    coarse: Cells
    fine: Cells
    method: str
    conserve: bool
    fields: Mapping[str, Kept]
    quantities: Mapping[str, Quantity]
    units: Mapping[str, str]
    copied: tuple[str, ...]
    notes: tuple[str, ...]
    resumed: int
    pieces: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The report as plain data, schema upstroke.downscale-run/1."""
        fields = {
            name: {
                **{key: value for key, value in asdict(each).items() if key not in ("least", "negative")},
                "new_below_zero": each.new_below_zero,
                "error": each.error,
                "quantity": self.quantities[name],
                "units": self.units[name],
            }
            for name, each in self.fields.items()
        }
        return {
            "schema": "upstroke.downscale-run/1",
            "version": __version__,
            "source": str(self.source),
            "target": str(self.target),
            "coarse": list(self.coarse.shape),
            "fine": list(self.fine.shape),
            "area_unit": self.fine.area_unit,
            "method": self.method,
            "conserve": self.conserve,
            "fields": fields,
            "copied": list(self.copied),
            "notes": list(self.notes),
            "resumed": self.resumed,
            "pieces": self.pieces,
            "seconds": self.seconds,
        }


def run(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    factor: int | tuple[int, int],
    method: str | os.PathLike[str] = "cubic",
    conserve: bool = True,
    correction: Correction = "additive",
    quantity: Quantity | None = None,
    mask: str | os.PathLike[str] | None = None,
    valid: Surface = "sea",
    variables: Sequence[str] | None = None,
    y: str | None = None,
    x: str | None = None,
    statics: str | os.PathLike[str] | None = None,
    scheduler: str | None = None,
    chunk: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    command: str | None = None,
) -> RunReport:
    """Refine the fields of a file into another, a few steps at a time.

    1. The target grows in a hidden folder beside its place and is moved there when it is whole; nothing that
       is not whole ever has its name. It is not flushed to the disk.
    2. A Zarr target whose run was killed is gone on with by the same call; one that was begun with other
       settings is refused, or begun again where `overwrite` says so. A NetCDF target is begun again.
    3. Steps are shared among threads, as many as there are cores, or among the workers of a dask cluster.
       These write to Zarr themselves; NetCDF is written here.
    4. The means and totals of what was written are measured on the way.

    Args:
        source: NetCDF, Zarr or GRIB.
        target: ends in .nc, .nc4 or .zarr, which says what is written.
        factor: parts of a cell along y and x, or one number for both.
        method: "nearest", "linear", "cubic", or the folder of a training run.
        conserve: keep the block means; False gives the plain kernel for comparison.
        correction: how the last correction changes a block: "additive", "multiplicative" or "softmax".
        quantity: whether values are means over cells or totals in them; by default as each variable says.
        mask: file, or file:variable, with the valid fraction of each fine cell.
        valid: the surface that the fields have values on, for masks that say where land or sea is.
        variables: names of the fields to refine; by default all.
        y: name of the coordinate of rows, where its attributes do not tell.
        x: name of the coordinate of columns, likewise.
        statics: file of fields that do not change, for a training run that asks for them.
        scheduler: address of a dask scheduler, such as tcp://host:8786; by default threads of this process.
        chunk: steps that are refined together; by default some 16 MB of fine fields.
        overwrite: whether a target that exists may be replaced.
        progress: whether a bar is shown on a terminal.
        command: for the history of the target; by default made of the arguments.

    Raises:
        FileError: the source cannot be read, or the target cannot be written.
        OptionError: an argument has no meaning here, or a field is infinite somewhere.
        ShapeError: the grid is not made of uniform rows and columns.

    >>> import tempfile, xarray
    >>> axes = {"lat": [45.0, 15.0], "lon": [15.0, 45.0, 75.0]}
    >>> sst = xarray.DataArray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], axes, name="sst")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sst.to_netcdf(f"{folder}/coarse.nc")
    ...     report = run(f"{folder}/coarse.nc", f"{folder}/fine.nc", factor=(2, 3), progress=False)
    >>> report.fine.shape, report.fields["sst"].error < 1e-12
    ((4, 9), True)
    """
    started = time.perf_counter()
    source, target = Path(source), Path(target)
    kind = _target_format(target)
    _refuse_arguments(source, target, chunk)
    refuse_target(target, overwrite=overwrite)
    wanted = Wanted(
        factor=factor,
        method=method,
        conserve=conserve,
        correction=correction,
        quantity=quantity,
        mask=mask,
        valid=valid,
        variables=variables,
        y=y,
        x=x,
        statics=statics,
    )
    try:
        with open_fields(source) as coarse:
            plan = plan_for(coarse, wanted)
            command = command or _command(source, target, plan, method)
            job = _Job(source=source, target=target, kind=kind, coarse=coarse, plan=plan, chunk=chunk)
            with growing(target, job.settings, can_resume=kind == "zarr", overwrite=overwrite) as grown:
                records, resumed = job.fill(grown, command, scheduler=scheduler, progress=progress)
    except ImportError as error:
        if isinstance(error, UpstrokeError):
            raise
        raise missing_climate(error) from error
    return RunReport(
        source=source,
        target=target,
        coarse=plan.coarse,
        fine=plan.fine,
        method=str(method),
        conserve=conserve,
        fields={name: records.get(name, Kept()) for name, each in plan.refiners.items() if each.quantity},
        quantities={name: each.quantity for name, each in plan.refiners.items() if each.quantity},
        units={name: str(coarse[name].attrs.get("units", "")) for name in plan.refiners},
        copied=tuple(name for name, each in plan.refiners.items() if each.quantity is None),
        notes=(*plan.notes, *job.notes(), *_below_zero(records)),
        resumed=resumed,
        pieces=job.count,
        seconds=time.perf_counter() - started,
    )


def read_steps(coarse: "Dataset", plan: Plan, block: ReadBlock, source: Path) -> NDArray[Any]:
    """Read steps of one field, with rows and columns last.

    Raises:
        FileError: the file is damaged there.
    """
    variable = coarse.variables[block.name]
    dims = plan.dims(variable.dims)
    place = dict(zip(dims, map(slice, block.start, block.stop), strict=False))
    try:
        return variable.isel(place).transpose(*dims).values
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        steps = f"steps {block.start} to {block.stop}" if block.start else "its only step"
        msg = (
            f"{block.name} of {source} could not be read, {steps}: {first_line(error)}; write the file again"
        )
        raise FileError(msg) from error


def refined_piece(refiner: Refiner, piece: Piece, coarse: NDArray[Any]) -> tuple[NDArray[Any], Kept]:
    """Refine a piece and measure it; what is wrong with its values is said with its name."""
    try:
        fine = refiner(coarse)
    except OptionError as error:
        steps = f", from step {piece.start}" if piece.start else ""
        msg = f"{piece.name}{steps}: {error}"
        raise OptionError(msg) from error
    return fine, Kept() if refiner.quantity is None else kept(refiner.blocks, coarse, fine)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """One run: what is read, what is made, and how it is cut."""

    source: Path
    target: Path
    kind: Literal["netcdf", "zarr"]
    coarse: "Dataset"
    plan: Plan
    chunk: int | None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything that what is written depends on."""
        fields = {
            each.name: [
                list(each.shape),
                str(each.dtype),
                list(each.steps),
                self.plan.refiners[each.name].token,
            ]
            for each in self.large
        }
        described: dict[str, Any] = {**self.plan.settings, "version": __version__, "fields": fields}
        grid = hashlib.sha256(repr(described.pop("coarse")).encode()).hexdigest()
        return {
            **described,
            "trained": []
            if self.plan.settings["method"] in FIXED
            else _state(Path(self.plan.settings["method"])),
            "grid": grid,
            "source": os.path.realpath(self.source),
            "state": _state(self.source),
        }

    @cached_property
    def large(self) -> list[LargeField]:
        """The fields that are written piece by piece."""
        return [
            self._described(name, each)
            for name, each in self.plan.refiners.items()
            if not self._is_text(name)
        ]

    @property
    def count(self) -> int:
        """Number of pieces of all fields."""
        return sum(1 for each in self.large for _ in pieces_of(each.name, each.shape[:-2], each.steps))

    def notes(self) -> list[str]:
        """Sentences about what is missing in the source."""
        return (
            []
            if field_format(self.source) != "zarr"
            else _missing_chunks(self.source, list(self.plan.refiners))
        )

    def fill(
        self, grown: Growing, command: str, *, scheduler: str | None, progress: bool
    ) -> tuple[dict[str, Kept], int]:
        """Write what is not written yet; what was kept of each field, and how many pieces were there."""
        large = self.large
        small, attributes = self._small(command)
        large = [_with_attributes(each, attributes[each.name]) for each in large]
        done = grown.done() if grown.begun() is not None else []
        target: FieldTarget
        if self.kind == "netcdf":
            target = NetcdfTarget(grown.data, small, large, unlimited=self._unlimited())
        else:
            if grown.begun() is None:
                create_zarr(grown.data, small, large, version=self._zarr())
                grown.describe()
            target = ZarrTarget(grown.data, large)
        records = {each.name: Kept() for each in large}
        for each in done:
            records[each["name"]] += Kept(**each["kept"])
        try:
            with _bar(self.count, len(done), shown=progress) as advance:

                def add(piece: Piece, kept_of_piece: Kept) -> None:
                    records[piece.name] += kept_of_piece
                    if grown.can_resume:
                        grown.add({"piece": piece.key, "name": piece.name, "kept": asdict(kept_of_piece)})
                    advance()

                blocks = self._blocks(large, {each["piece"] for each in done})
                if scheduler is None:
                    self._locally(blocks, target, add)
                else:
                    self._on_cluster(scheduler, blocks, target, grown.data, large, add)
        except BaseException:
            # what is wrong already matters more than what goes wrong now
            with suppress(Exception):
                target.close()
            raise
        target.close()
        if self.kind == "zarr":
            finish_zarr(grown.data, version=self._zarr())
        return records, len(done)

    def _locally(
        self,
        blocks: Iterator[tuple[ReadBlock, list[Piece]]],
        target: FieldTarget,
        add: Callable[[Piece, Kept], None],
    ) -> None:
        """Read here, refine and write in threads, each on its own core: two pools of threads would fight."""

        def work(piece: Piece, values: NDArray[Any]) -> tuple[Piece, Kept]:
            fine, measured = refined_piece(self.plan.refiners[piece.name], piece, values)
            target.write(piece.name, piece.start, fine)
            return piece, measured

        threads = self._threads()
        running: deque[Future[tuple[Piece, Kept]]] = deque()
        with _one_thread_each(), ThreadPoolExecutor(threads) as pool:
            try:
                for block, pieces in blocks:
                    values = read_steps(self.coarse, self.plan, block, self.source)
                    for piece in pieces:
                        if len(running) > threads:
                            add(*running.popleft().result())
                        running.append(pool.submit(work, piece, values[piece.within(block)]))
                while running:
                    add(*running.popleft().result())
            except BaseException:
                for each in running:
                    each.cancel()
                raise

    def _on_cluster(
        self,
        scheduler: str,
        blocks: Iterator[tuple[ReadBlock, list[Piece]]],
        target: FieldTarget,
        data: Path,
        large: Sequence[LargeField],
        add: Callable[[Piece, Kept], None],
    ) -> None:
        from upstroke.apps.downscale.cluster import Task, on_cluster

        task = Task(
            source=self.source.resolve(),
            plan=self.plan,
            store=data.resolve() if self.kind == "zarr" else None,
            large=tuple(large),
        )
        for piece, measured, fine in on_cluster(scheduler, task, (block for block, _ in _single(blocks))):
            if fine is not None:
                target.write(piece.name, piece.start, fine)
            add(piece, measured)

    def _blocks(self, large: Sequence[LargeField], done: set[str]) -> Iterator[tuple[ReadBlock, list[Piece]]]:
        """What is to be read, and which pieces of it are to be written."""
        for each in large:
            variable = self.coarse.variables[each.name]
            preferred = variable.encoding.get("preferred_chunks") or {}
            stored = [
                min(size, preferred.get(dim, 1))
                for dim, size in zip(each.dims, each.shape[:-2], strict=False)
            ]
            plane = int(np.prod(self.plan.coarse.shape)) * variable.dtype.itemsize
            most = max(1, MOST_READ // max(1, plane))
            for block in read_blocks(each.name, each.shape[:-2], each.steps, stored, most=most):
                pieces = [piece for piece in block.pieces if piece.key not in done]
                if pieces:
                    yield block, pieces

    def _described(self, name: str, refiner: Refiner) -> LargeField:
        variable = self.coarse.variables[name]
        dims = self.plan.dims(variable.dims)
        lead = tuple(variable.sizes[dim] for dim in dims[:-2])
        dtype = np.dtype(np.int8) if refiner.dtype.kind == "b" else refiner.dtype.newbyteorder("=")
        encoding = field_encoding(variable.encoding, dtype)
        fill = variable.attrs.get("_FillValue", encoding.get("_FillValue", encoding.get("missing_value")))
        most = self.chunk or steps_at_once(self.plan, dtype)
        return LargeField(
            name=name,
            dims=dims,
            shape=(*lead, *self.plan.fine.shape),
            dtype=dtype,
            fill=None if fill is None else dtype.type(np.ravel(fill)[0]).item(),
            steps=steps_together(lead, most),
            encoding=encoding,
        )

    def _small(self, command: str) -> tuple["Dataset", dict[str, dict[str, Any]]]:
        """Everything but the large fields as it is written, and the attributes of these."""
        import xarray

        frame = self.plan.frame.assign_attrs(with_history(self.plan.frame.attrs, command))
        text = {
            name: (dims, each(self.coarse.variables[name].transpose(*dims).values), self.coarse[name].attrs)
            for name, each in self.plan.refiners.items()
            if self._is_text(name)
            for dims in [self.plan.dims(self.coarse.variables[name].dims)]
        }
        whole = frame.assign(text).assign({each.name: self._stand_in(each) for each in self.large})
        variables, attrs = xarray.conventions.encode_dataset_coordinates(whole)
        large = {each.name: dict(variables.pop(each.name).attrs) for each in self.large}
        for each in variables.values():
            # xarray would give every float a number for no value, where the source has none
            each.encoding.setdefault("_FillValue", None)
        for name, each in self.plan.refiners.items():
            if name in large and each.dtype.kind == "b":
                large[name]["dtype"] = "bool"
        return xarray.Dataset(variables, attrs=attrs), large

    def _stand_in(self, field: LargeField) -> "Variable":
        """A variable of the field's shape that takes no memory."""
        import xarray

        attrs = self.plan.attributes(field.name, self.coarse.variables[field.name])
        return xarray.Variable(field.dims, np.broadcast_to(field.dtype.type(0), field.shape), attrs)

    def _is_text(self, name: str) -> bool:
        return self.plan.refiners[name].dtype.kind not in "fiub"

    def _threads(self) -> int:
        """As many as there are cores, unless the pieces are so large that memory counts."""
        largest = max(
            (
                int(np.prod(each.steps)) * int(np.prod(each.shape[-2:])) * each.dtype.itemsize
                for each in self.large
            ),
            default=1,
        )
        return max(1, min(_cores(), MOST_HELD // max(1, largest * BESIDE)))

    def _unlimited(self) -> list[str]:
        return [str(each) for each in self.coarse.encoding.get("unlimited_dims", ())]

    def _zarr(self) -> Literal[2, 3]:
        """The version of the source where that is Zarr, else the newest."""
        is_old = any(os.path.exists(self.source / each) for each in (".zgroup", ".zmetadata"))
        return 2 if is_old else 3


def _single(
    blocks: Iterator[tuple[ReadBlock, list[Piece]]],
) -> Iterator[tuple[ReadBlock, list[Piece]]]:
    """Blocks of one piece each, for workers who read for themselves."""
    for _, pieces in blocks:
        for piece in pieces:
            yield ReadBlock(name=piece.name, start=piece.start, stop=piece.stop, pieces=(piece,)), [piece]


def _with_attributes(field: LargeField, attrs: Mapping[str, Any]) -> LargeField:
    return replace(field, attrs={key: value for key, value in attrs.items() if key != "_FillValue"})


def _target_format(target: Path) -> Literal["netcdf", "zarr"]:
    kind = ENDINGS.get(target.suffix.lower())
    if kind is None:
        endings = ", ".join(ENDINGS)
        msg = f"the target must end in {endings}, which says what is written; got {target}; name it so"
        raise OptionError(msg)
    return "netcdf" if kind == "netcdf" else "zarr"


def _refuse_arguments(source: Path, target: Path, chunk: int | None) -> None:
    one, other = os.path.realpath(source), os.path.realpath(target)
    same = one == other or (os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other))
    if same or other.startswith(one + os.sep) or one.startswith(other + os.sep):
        msg = f"the target must be another file than the source, and outside it; got {target}; name another"
        raise FileError(msg)
    if chunk is not None and chunk < 1:
        msg = f"chunk must be at least 1 step; got {chunk}"
        raise OptionError(msg)


def _command(source: Path, target: Path, plan: Plan, method: object) -> str:
    words = ["upstroke", "downscale", "run", str(source), str(target)]
    words += ["--factor", "x".join(map(str, plan.factor)), "--method", str(method)]
    return shlex.join(words)


def _state(path: Path) -> list[int]:
    """What changes when a file or a store is written again."""
    files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    return [number for each in files for number in (each.stat().st_size, each.stat().st_mtime_ns)]


def _below_zero(records: Mapping[str, Kept]) -> list[str]:
    """Say which fields were nowhere negative and are it now, such as rain."""
    return [
        f"{name}: {each.new_below_zero} fine values are below zero, where no coarse value is; "
        "the correction softmax makes none"
        for name, each in records.items()
        if each.new_below_zero
    ]


def _missing_chunks(source: Path, names: Sequence[str]) -> list[str]:
    """Say which fields of a store lack chunks that do not read as missing values."""
    import zarr

    group = zarr.open_group(source, mode="r")
    notes = []
    for name in names:
        array: Any = group[name]
        fill = array.fill_value
        if fill is None or (isinstance(fill, float | np.floating) and np.isnan(fill)):
            continue
        there, all_chunks = array.nchunks_initialized, array.nchunks
        if there < all_chunks:
            notes.append(
                f"{name}: {all_chunks - there} of {all_chunks} chunks are missing in the source, as {fill}"
            )
    return notes


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _bar(total: int, done: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """Show how much is done, on a terminal alone."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("refining"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("refining", total=total, completed=done)
        yield lambda: bar.advance(task)
