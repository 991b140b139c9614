"""Note which maps the parts of a model take and give while it is recorded."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as every_module
from torch.utils import _pytree as pytree

__all__ = ["CallOf", "Calls"]


@dataclass(frozen=True, kw_only=True)
class CallOf:
    """One call of a part of a model.

    Attributes:
        part: its path, or the name of a node of torch.fx.
        inputs: names of the maps it was given, in order; None for a tensor that is no map.
        outputs: names of the maps it gave, likewise.
        others: whether it was given anything beside tensors and None.
        absent: how many of what it was given were None, where it may be given something another time.
    """

    part: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]
    others: bool
    absent: int = 0


class Calls:
    """Collects the calls of all modules of a model, and whatever else is noted, while `record` runs it.

    A name is that of the map in the graph that `record` gives. What a module calls is noted before it.

    >>> import torch
    >>> from upstroke.graph.torch import record
    >>> calls = Calls()
    >>> net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3))
    >>> graph = record(net, [torch.rand(1, 3, 5, 7)], calls=calls)
    >>> [(call.part, call.inputs, call.outputs) for call in calls.found]
    [('0', ('input',), ('0',)), ('1', ('0',), ('1',)), ('', ('input',), ('1',))]
    """

    def __init__(self) -> None:
        self.found: list[CallOf] = []
        self._name_of: Callable[[Tensor], str | None] = lambda tensor: None

    def note(self, part: str, given: object, gave: object) -> None:
        """Keep one call: what a part was given, in any structure, and what it gave."""
        leaves = pytree.tree_leaves(given)
        self.found.append(
            CallOf(
                part=part,
                inputs=self._names(leaves),
                outputs=self._names(pytree.tree_leaves(gave)),
                others=any(not isinstance(leaf, Tensor | None) for leaf in leaves),
                absent=sum(leaf is None for leaf in leaves),
            )
        )

    @contextmanager
    def watching(self, model: nn.Module, name_of: Callable[[Tensor], str | None]) -> Iterator[None]:
        """Note the calls of all modules of a model that runs inside."""
        self._name_of = name_of
        paths = {id(part): path for path, part in model.named_modules()}

        def end(part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ANN401 - anything
            if id(part) in paths:
                self.note(paths[id(part)], (args, kwargs), output)

        hook = every_module.register_module_forward_hook(end, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()
            # what PyTorch leaves behind, by which it goes on to believe that somebody watches all modules
            every_module._global_forward_hooks_with_kwargs.pop(hook.id, None)

    def _names(self, leaves: Sequence[object]) -> tuple[str | None, ...]:
        return tuple(self._name_of(leaf) for leaf in leaves if isinstance(leaf, Tensor))
