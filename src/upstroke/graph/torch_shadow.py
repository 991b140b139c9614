"""Turn the operators that PyTorch runs, one by one, into where the samples of their maps sit."""

import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.weak import WeakTensorKeyDictionary

from upstroke.graph.form import Node
from upstroke.graph.measured import Measured, Unmeasured
from upstroke.graph.ramp import Ramp, Track, expanded, refound
from upstroke.graph.shadow import Lost, Result, Shadow, Space, read_all, shadow_of
from upstroke.graph.torch_shadow_steps import (
    Seen,
    padded_by,
    results,
    short_name,
    slid_over,
    targets_of,
)
from upstroke.graph.torch_state import memory_of
from upstroke.graph.torch_steps import HOLDS_NO_VALUES

__all__ = ["Positions"]


class Positions:
    """Carries beside every map of a running model where its samples sit.

    Every kernel is taken as its uniform mean over extent and inputs, pools as means, norms and functions of
    one sample as nothing at all, joins as means of the maps that are located; whatever only moves samples is
    done to their positions by the same call. Padding goes on with the positions inside the map.
    """

    def __init__(self) -> None:
        self._met: dict[str, Result] = {}
        self._space: dict[int, Space] = {}
        self._shadows: MutableMapping[Tensor, Shadow | Lost] = WeakTensorKeyDictionary()
        self._parts: dict[int, _Parts] = {}
        self._origins = 0

    def begin(self, name: str, tensor: Tensor) -> None:
        """Take a tensor as a map that comes in."""
        shadow = self._begun(tensor)
        if shadow is not None:
            self._shadows[tensor] = shadow
        self.read(name, tensor)

    def saw(
        self,
        func: OpOverload,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        given: Mapping[str, Any],
        maps: Sequence[tuple[Tensor, str]],
        output: object,
    ) -> None:
        """Take a call of an operator, after it ran.

        Args:
            func: the operator.
            args: what it was called with.
            kwargs: the same, by name.
            given: every argument by its name, defaults filled in.
            maps: the arguments that are maps, each with its name.
            output: what it gave.
        """
        outputs = list(_tensors(output))
        for tensor, name in maps:
            self.read(name, tensor)
        if not outputs or short_name(func) in HOLDS_NO_VALUES:
            return
        shadows = {id(tensor): each for tensor, _ in maps if (each := self._of(tensor)) is not None}
        name = short_name(func)
        seen = Seen(
            func=func, name=name, args=args, kwargs=kwargs, given=given, outputs=outputs, shadows=shadows
        )
        slid = slid_over(seen)
        if slid is not None:
            self._space[slid.origin].slide(slid)
        written = [given.get(target) for target in targets_of(func)]
        for tensor, result in zip(outputs, results(seen), strict=True):
            found = self._begun(tensor) if result is None and not shadows else result
            if any(tensor is target for target in written):
                self._write(tensor, found)
            elif found is not None:
                self._shadows[tensor] = found

    def padded(self, tensor: Tensor, pad: Sequence[int], output: Tensor) -> None:
        """Take a pad that PyTorch would take apart."""
        shadow = self._of(tensor)
        if isinstance(shadow, Shadow):
            self._shadows[output] = padded_by(shadow, pad, inside=True)

    def read(self, name: str, tensor: Tensor) -> None:
        """Take what a map is called, of which what is known is read off in the end."""
        if name not in self._met:
            self._met[name] = self._of(tensor)

    def read_all(self, named: Iterable[tuple[str | None, Tensor]]) -> None:
        """Read off every map that has a name."""
        for name, tensor in named:
            if name is not None:
                self.read(name, tensor)

    def lose(self, tensor: Tensor, reason: str) -> None:
        """Take a tensor as a map that is not located."""
        self._shadows[tensor] = Lost(reason=reason)

    def measured_among(
        self, nodes: Sequence[Node], outputs: Sequence[str]
    ) -> dict[str, Measured | Unmeasured]:
        """What was read off the maps that these nodes take and give, and off these outputs."""
        names = {*outputs, *(name for node in nodes for name in (*node.inputs, node.output))}
        return read_all({name: each for name, each in self._met.items() if name in names}, self._space)

    def _begun(self, tensor: Tensor) -> Shadow | None:
        """The shadow of a map that positions are counted on from here."""
        shadow = shadow_of(tensor.shape, self._origins)
        if shadow is not None:
            self._space[self._origins] = Space(tensor.ndim)
            self._origins += 1
        return shadow

    def _of(self, tensor: Tensor) -> Result:
        parts = self._parts.get(memory_of(tensor)) if self._parts else None
        return self._shadows.get(tensor) if parts is None else parts.read(tensor)

    def _write(self, target: Tensor, result: Result) -> None:
        """Keep what was written to a tensor, for all tensors that share its memory."""
        before, place = self._of(target), memory_of(target)
        if result is before:
            return
        sharing = [
            (t, s) for t, s in list(self._shadows.items()) if t is not target and memory_of(t) == place
        ]
        whole = target.untyped_storage().nbytes() == target.numel() * target.element_size()
        if place not in self._parts and whole and not sharing and result is not None:
            self._shadows[target] = result
            return
        if place not in self._parts:
            parts = _Parts(target)
            for tensor, shadow in sorted(sharing, key=lambda pair: pair[0].numel()):
                parts.write(tensor, shadow)
            self._parts[place] = parts
        self._parts[place].write(target, result)


class _Parts:
    """Positions in a memory that several tensors share, each written through a view of its own."""

    def __init__(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        # held weakly, so that no other memory gets the same place as long as this is known
        self._held = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        self._length = storage.nbytes() // tensor.element_size()
        self._lines: dict[tuple[int, str], Tensor] = {}
        self._like: Shadow | Lost | None = None

    def write(self, tensor: Tensor, shadow: Result) -> None:
        """Write the positions of a tensor; None stands for a constant, which has none."""
        if isinstance(shadow, Shadow) or self._like is None:
            self._like = shadow
        axes = {axis for axis, _ in self._lines} | (
            {track.axis for track in shadow.tracks} if isinstance(shadow, Shadow) else set()
        )
        own = {track.axis: track for track in shadow.tracks} if isinstance(shadow, Shadow) else {}
        for axis in axes:
            for mood in ("mean", "first", "last"):
                line = self._lines.setdefault(
                    (axis, mood), torch.full((self._length,), math.nan, dtype=torch.float64)
                )
                view = line.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
                track = own.get(axis)
                if track is None:
                    view.fill_(math.nan)
                else:
                    view.copy_(getattr(track, mood).values)

    def read(self, tensor: Tensor) -> Result:
        """The shadow of a tensor."""
        if not isinstance(self._like, Shadow):
            return self._like
        tracks = []
        for hint in self._like.tracks:
            ramps: list[Ramp] = []
            for mood in ("mean", "first", "last"):
                line = self._lines[hint.axis, mood]
                view = line.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
                values = expanded(view.clone(), tensor.shape)
                ramps.append(refound(values, getattr(hint, mood)))
            tracks.append(Track(axis=hint.axis, mean=ramps[0], first=ramps[1], last=ramps[2]))
        if all(track.mean.values.isnan().all() for track in tracks):
            return Lost(reason="it is written over by what is not located")
        return replace(self._like, tracks=tuple(tracks))


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
