"""The verb `segment predict`."""

__all__ = ["predict"]


def predict() -> None:
    """Not there yet."""
