"""Pictures become a short word that only the same pictures in the same order have."""

from hashlib import blake2b

from jaxtyping import UInt8
from numpy import ascontiguousarray, ndarray

__all__ = ["digest_of"]


def digest_of(pictures: UInt8[ndarray, "n channels y x"]) -> str:
    """The digest of pictures as they are trained on, which a model's record keeps.

    >>> import numpy
    >>> one, other = (numpy.zeros((2, 1, *size), numpy.uint8) for size in ((4, 6), (6, 4)))
    >>> digest_of(one) == digest_of(one.copy()), digest_of(one) == digest_of(other)
    (True, False)
    """
    digest = blake2b(repr(pictures.shape).encode(), digest_size=16)
    digest.update(ascontiguousarray(pictures).data)
    return digest.hexdigest()
