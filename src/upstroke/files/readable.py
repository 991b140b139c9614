"""Refuse a path that leads to no file which can be read to its end."""

import errno
import os
import stat
from pathlib import Path

from upstroke.errors import FileError

__all__ = ["check_readable"]

# A name that cannot be, such as one that is too long, is nobody's file.
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


def check_readable(path: Path, *, wanted: str, name: str | None = None) -> int:
    """Refuse what is not a file that can be read, and give its size in bytes.

    Args:
        path: what was named.
        wanted: what it must be, for the message.
        name: what the message calls it; None: as it was named.

    Raises:
        FileError: nothing is there, or a folder, a device or a pipe, which might never end, or an empty file,
            or one that the system does not let us read.
    """
    called = str(path) if name is None else name
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno in NOT_THERE:
            msg = f"{called} must be {wanted}; there is no such file"
        else:
            reason = (error.strerror or str(error)).lower()
            msg = f"{called} must be {wanted}; it could not be read: {reason}; check that you may read it"
        raise FileError(msg) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        msg = f"{called} must be {wanted}; it is {what}; name a file"
        raise FileError(msg)
    if status.st_size == 0:
        msg = f"{called} must be {wanted}; it is empty (0 bytes); copy it again"
        raise FileError(msg)
    return status.st_size
