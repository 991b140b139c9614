"""The verb `segment export`."""

__all__ = ["export"]


def export() -> None:
    """Not there yet."""
