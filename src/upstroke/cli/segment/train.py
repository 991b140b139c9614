"""The verb `segment train`."""

__all__ = ["train"]


def train() -> None:
    """Not there yet."""
