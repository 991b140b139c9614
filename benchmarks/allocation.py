"""Make every large output lie in memory that was used before, or in pages that the kernel has yet to give.

The first write to a page that the kernel has not given yet costs a fault, and that is most of the time of a
large output. Which of the two a program meets depends on its allocator, so both are timed. glibc's malloc is
told what to do, which serves PyTorch, our kernels and the buffers bound to the other libraries alike.
"""

import ctypes
import resource
from collections.abc import Callable

import torch

LIBC = ctypes.CDLL(None)
# names and numbers of glibc's malloc.h
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4


def reuse_pages(reserve: int) -> None:
    """From now on arrays lie in memory that was used before and stays with the process when it is freed.

    Args:
        reserve: bytes that are used now, in advance. An array does not always get the place of one that was
            freed and has its size, so there has to be room for several.
    """
    _set(MMAP_MAX, 0)
    _set(TRIM_THRESHOLD, -1)
    torch.ones(reserve, dtype=torch.uint8)


def map_fresh_pages() -> None:
    """From now on arrays of 128 KiB or more are mapped anew; `forget` has to be called before each call."""
    _set(MMAP_MAX, 65536)
    _set(MMAP_THRESHOLD, 128 * 1024)
    forget()


def forget() -> None:
    """Give all free memory back to the kernel."""
    LIBC.malloc_trim(0)


def faults(call: Callable[[], object]) -> int:
    """Pages that the kernel had to give during one call."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _set(parameter: int, value: int) -> None:
    if not LIBC.mallopt(parameter, value):
        msg = f"glibc's mallopt refused {value} for parameter {parameter}"
        raise OSError(msg)
