"""Cut a GRIB file of edition 1 after its first messages, since reading all of them takes long."""

from pathlib import Path

__all__ = ["first_messages"]


def first_messages(path: Path, count: int) -> bytes:
    data, at = path.read_bytes(), 0
    for _ in range(count):
        # a message begins with GRIB and then its own length in three bytes
        at = data.index(b"GRIB", at)
        at += int.from_bytes(data[at + 4 : at + 7], "big")
    return data[:at]
