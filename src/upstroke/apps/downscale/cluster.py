"""Pieces of fields go to the workers of a dask cluster and come back measured."""

import functools
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from upstroke.apps.downscale.kept import Kept
from upstroke.apps.downscale.pieces import Piece, ReadBlock
from upstroke.apps.downscale.plan import Plan
from upstroke.errors import BackendError, OptionError, UpstrokeError, first_line
from upstroke.files.field_target import LargeField
from upstroke.files.fields import open_fields
from upstroke.files.zarr_target import ZarrTarget

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["Task", "on_cluster"]

SECONDS_TO_CONNECT = 5
# A client of an address that distributed cannot parse is left half made, and complains when it goes.
ADDRESS = re.compile(r"((tcp|tls|ws|wss|ucx)://)?(\[[0-9a-fA-F:.]+\]|[^/:\s]+):\d+|inproc://\S+")
# Pieces for each thread of a worker that are under way: one that is computed and one that waits.
UNDER_WAY = 2
# The library of NetCDF opens and reads in one thread of a process at a time.
READING = threading.Lock()


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What a worker needs to know once.

    Attributes:
        source: the file that is read, under a name that workers know as well.
        plan: what is made of it.
        store: the Zarr store that workers write to; None: they send what they made.
        large: the fields in it.
    """

    source: Path
    plan: Plan
    store: Path | None
    large: tuple[LargeField, ...]


def on_cluster(
    address: str, task: Task, blocks: Iterator[ReadBlock]
) -> Iterator[tuple[Piece, Kept, NDArray[Any] | None]]:
    """Refine blocks of one piece each on a cluster; only so many are under way at once.

    Raises:
        OptionError: the address is none.
        BackendError: no scheduler answers there, it has no workers, or a worker cannot do it.
    """
    client: Any = _connected(address)
    try:
        import distributed

        as_completed: Any = distributed.as_completed
        threads = sum(client.nthreads().values())
        if threads == 0:
            msg = f"the scheduler at {address} must have workers; got none; start some"
            raise BackendError(msg)
        with _said(address):
            shared = client.scatter(task, broadcast=True)
            waiting = (client.submit(_work, shared, block, pure=False) for block in blocks)
            running = as_completed(
                [future for _, future in zip(range(threads * UNDER_WAY), waiting, strict=False)],
                loop=client.loop,
            )
            for future in running:
                result: tuple[Piece, Kept, NDArray[Any] | None] = future.result()
                future.release()
                for another in waiting:
                    running.add(another)
                    break
                yield result
    finally:
        with _quietly():
            client.close(timeout=SECONDS_TO_CONNECT)


def _work(task: Task, block: ReadBlock) -> tuple[Piece, Kept, NDArray[Any] | None]:
    """Read, refine, measure and write or send one piece; runs on a worker."""
    # late, because run imports this module
    from upstroke.apps.downscale.run import read_steps, refined_piece

    (piece,) = block.pieces
    stat = task.source.stat()
    with READING:
        coarse = _opened(task.source, (stat.st_size, stat.st_mtime_ns))
        values = read_steps(coarse, task.plan, block, task.source)
    fine, measured = refined_piece(task.plan.refiners[piece.name], piece, values)
    if task.store is None:
        return piece, measured, fine
    ZarrTarget(task.store, [each for each in task.large if each.name == piece.name]).write(
        piece.name, piece.start, fine
    )
    return piece, measured, None


@functools.lru_cache(maxsize=4)
def _opened(source: Path, state: tuple[int, int]) -> "Dataset":
    """The file, opened once in each worker for as long as it does not change."""
    return open_fields(source)


def _connected(address: str) -> Any:  # noqa: ANN401 - distributed's client, whose types are partial
    if not ADDRESS.fullmatch(address):
        msg = f"a scheduler is named by its address, such as tcp://host:8786; got {address!r}; give that"
        raise OptionError(msg)
    import distributed

    client: Any = distributed.Client
    try:
        with _quietly():
            return client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        msg = (
            f"no dask scheduler answers at {address}: {first_line(error)}; "
            "start one with `dask scheduler`, or leave --scheduler out"
        )
        raise BackendError(msg) from error


@contextmanager
def _said(address: str) -> Iterator[None]:
    """Turn what goes wrong on a worker into one sentence."""
    try:
        yield
    except UpstrokeError:
        raise
    except Exception as error:
        # whatever a worker raised comes back as what it is, and some of it only exists over there
        msg = (
            f"a worker of {address} failed: {type(error).__name__}: {first_line(error)}; "
            "workers need upstroke and must see the files under the same names"
        )
        raise BackendError(msg) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the cluster's own log off the user's terminal."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
