"""The verb `segment evaluate`."""

__all__ = ["evaluate"]


def evaluate() -> None:
    """Not there yet."""
