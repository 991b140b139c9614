"""Paths become arrays, images or text, and the other way round."""

from upstroke.files.place import write_atomically

__all__ = ["write_atomically"]
