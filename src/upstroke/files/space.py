"""A folder and a number of bytes become an error of the system where the disk would not take them.

HDF5 does not survive a full disk: what it could not write it tries again when the file is closed and when the
process ends, and then may crash. So the system is asked before HDF5 is.
"""

import errno
import os
import secrets
from pathlib import Path

__all__ = ["check_room"]

# What a file's description and its index may take, and a run beside it.
RESERVE = 2**20


def check_room(folder: Path, size: int, *, tries: bool = False) -> None:
    """Raise what the system would say of so many bytes more in a folder.

    Args:
        folder: where they are to go.
        size: of what is to be written, in bytes.
        tries: whether to make a file of that size for a moment, empty but for its first bytes, which meets
            limits as well that the disk does not tell.

    Raises:
        OSError: the disk is full, or a limit of files or of the user is reached.
    """
    wanted = size + RESERVE
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < wanted:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not tries:
        return
    path = folder / f"room-{secrets.token_hex(4)}"
    try:
        with path.open("wb") as file:
            file.write(bytes(RESERVE))
            file.flush()
            os.ftruncate(file.fileno(), wanted)
    finally:
        path.unlink(missing_ok=True)
