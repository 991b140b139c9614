"""The verb `segment demo`."""

__all__ = ["demo"]


def demo() -> None:
    """Not there yet."""
