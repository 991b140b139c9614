"""Paths become arrays, tensors, images or text, and the other way round."""

from upstroke.files.place import write_atomically
from upstroke.files.state_dict import StateDict, read_state_dict

__all__ = ["StateDict", "read_state_dict", "write_atomically"]
