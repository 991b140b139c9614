"""Turn a module and a map into something that can be checked and timed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Work

LAYOUT = {4: torch.channels_last, 5: torch.channels_last_3d}
Computed = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Whoever computes a row.

    Attributes:
        who: "upstroke", "PyTorch", another library; "form NAME" for an implementation of `upsample`,
            "convolution NAME" for a form of a dense transposed convolution, "resize NAME" for one of a
            resize and a convolution; "dense ..." for those of the layer that a separable one stands in for.
        layout: of the map it is given, and of the weight; but a form of a convolution whose map alone has
            its channels innermost says "channels-last", and "channels-last with its weight" where both have.
        computed: runs it once and gives what it computes, by name: y, or the gradients in x and parameters.
        call: what is timed.
        fresh: the same with outputs in fresh memory, where that is another call.
        seconds_to_compile: before the first call, where that is long.
    """

    who: str
    layout: str
    computed: Callable[[], Computed]
    call: Callable[[], object]
    fresh: Callable[[], object] | None = None
    seconds_to_compile: float | None = None

    @property
    def name(self) -> str:
        """Who, and in which layout."""
        return f"{self.who}, {self.layout}"

    @property
    def is_ours(self) -> bool:
        """Whether a wrong result is our fault."""
        return self.who == "upstroke" or self.is_form or self.who.startswith("dense ")

    @property
    def group(self) -> tuple[str, str]:
        """The kind of form and the layout, among which one is chosen."""
        return self.who.removeprefix("dense ").partition(" ")[0], self.layout

    @property
    def is_form(self) -> bool:
        """Whether this is one of those among which upstroke chooses, or was chosen from."""
        return self.who.removeprefix("dense ").startswith(("form ", "convolution ", "resize "))


def random_map(shape: tuple[int, ...], dtype: torch.dtype, layout: str, *, seed: int = 0) -> Tensor:
    """The same random numbers for every layout."""
    return in_layout(torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype), layout)


def in_layout(x: Tensor, layout: str) -> Tensor:
    """The same map with its channels outside or innermost."""
    return x.contiguous(memory_format=LAYOUT[x.ndim]) if is_last(layout) else x.contiguous()


def is_last(layout: str) -> bool:
    """Whether the channels of the map are innermost, wherever those of the weight are."""
    return layout.startswith("channels-last")


def has_layout(x: Tensor, layout: str) -> bool:
    """Whether the map lies in memory like this, without gaps."""
    return x.is_contiguous(memory_format=LAYOUT[x.ndim]) if is_last(layout) else x.is_contiguous()


def of_module(
    who: str, module: nn.Module, case: Case, *, dtype: torch.dtype, layout: str, work: Work
) -> Contender:
    """A PyTorch module, ours or not, at this work in this layout."""
    module = module.to(dtype)
    if layout == "channels-last":
        module = module.to(memory_format=LAYOUT[case.ndim + 2])
    x = random_map(case.shape, dtype, layout)
    if work == "forward":
        return _forward(who, module.eval(), x, layout)
    return _gradients(who, module.train(), x, layout, work)


def _forward(who: str, module: nn.Module, x: Tensor, layout: str) -> Contender:
    @torch.inference_mode()
    def call() -> Tensor:
        y: Tensor = module(x)
        return y

    return Contender(who=who, layout=layout, computed=lambda: {"y": call()}, call=call)


def _gradients(who: str, module: nn.Module, x: Tensor, layout: str, work: Work) -> Contender:
    """Forward and backward together, or one gradient alone, of a forward pass that is already done."""
    module.requires_grad_(work != "gradient in x")
    sources = {} if work == "gradient in taps" else {"x": x.requires_grad_()}
    if work != "gradient in x":
        # what wraps a module, torch.compile or a form of ours, adds to the names of its parameters
        named = {name.split("layer.")[-1].split("_orig_mod.")[-1]: p for name, p in module.named_parameters()}
        sources |= {name: p for name, p in named.items() if work == "forward+backward" or p.ndim > 1}
    with torch.no_grad():
        y = module(x)
    g = random_map(tuple(y.shape), y.dtype, layout, seed=2)
    leaves = list(sources.values())
    if work == "forward+backward":

        def call() -> tuple[Tensor, ...]:
            return torch.autograd.grad(module(x), leaves, g)

    else:
        done = module(x)

        def call() -> tuple[Tensor, ...]:
            return torch.autograd.grad(done, leaves, g, retain_graph=True)

    return Contender(
        who=who, layout=layout, computed=lambda: dict(zip(sources, call(), strict=True)), call=call
    )
