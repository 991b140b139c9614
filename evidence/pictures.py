"""Real pictures become arrays of one size: faces, and garments of 28 pixels with two more on every side."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["faces", "garments"]

# Where Debian's package dataset-fashion-mnist puts them.
GARMENTS = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")
# Bytes before the levels: a number that tells the kind, and three sizes.
HEAD, SIDE, EDGE = 16, 28, 2


def faces(data: Path) -> NDArray[np.uint8]:
    """The 400 Olivetti faces (AT&T Laboratories Cambridge), grey, 64 x 64, upright."""
    import scipy.io

    stored = scipy.io.loadmat(data / "faces" / "olivetti" / "olivettifaces.mat")["faces"]
    return np.ascontiguousarray(stored.T.reshape(-1, 64, 64).transpose(0, 2, 1))[:, None]


def garments(file: Path = GARMENTS) -> NDArray[np.uint8]:
    """The 60,000 garments of Fashion-MNIST, grey, 32 x 32, black around."""
    with gzip.open(file) as packed:
        levels = np.frombuffer(packed.read(), np.uint8, offset=HEAD).reshape(-1, 1, SIDE, SIDE)
    return np.pad(levels, ((0, 0), (0, 0), (EDGE, EDGE), (EDGE, EDGE)))
