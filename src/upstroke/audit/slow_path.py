"""UP303: judge whether PyTorch is known to be slow at upsampling every channel by itself."""

import math

from upstroke.audit.reading import Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.graph.steps import Resize, Step, TransposedConvolution
from upstroke.ops.peer import nearest_peer
from upstroke.ops.peer_measured import PeerRow

__all__ = ["THRESHOLD", "measured_like", "slow_path"]

THRESHOLD = 1.5
# samples from the first to the last tap, in units of the scale
_SPAN = {"nearest": 1, "linear": 2, "cubic": 4}


@rule(
    "UP303",
    "upsampling on a slow path",
    Reading,
    severity="note",
    threshold=THRESHOLD,
    unit="times as long",
    reason="half as long again: what differs less may be the other way round on another machine",
    remedy=(
        "use upstroke.upsample with the resize's kernel (upstroke.polyphase.cubic and so on), or "
        "upstroke.nn.TransposedConv with its groups, which compute the same by compiled kernels; or keep "
        "maps channels-last, where PyTorch is faster"
    ),
    fix="exact: the same numbers from upstroke's compiled kernels, in a model of PyTorch",
)
def slow_path(reading: Reading) -> Verdict:
    """Look the layer up in what was measured."""
    step = reading.site.node.step
    if _shape_of(step) is None:
        return Verdict(kind="ok", words="no resize, and no kernel for every channel by itself")
    if reading.site.node.operator.startswith("upstroke."):
        return Verdict(kind="ok", words="it is upstroke's own, which has compiled kernels for it")
    if reading.merged is not None:
        return Verdict(kind="ok", words="it is one operator with the convolution behind it")
    if reading.cells is None or not reading.map_channels:
        return Verdict(kind="skipped", words="how large its map is, is not known", aside=True)
    row = measured_like(step, channels=reading.map_channels, cells=reading.cells)
    if row is None:
        return Verdict(kind="skipped", words="nothing like it was measured", aside=True)
    ratio = row.pytorch / row.upstroke
    words = (
        f"PyTorch takes {ratio:.3g} times as long as upstroke for {row.case} ({row.pytorch:.3g} ms and "
        f"{row.upstroke:.3g} ms, float32, contiguous, one CPU thread), the nearest case that was measured"
    )
    return Verdict(kind="finding" if ratio >= THRESHOLD else "ok", measure=ratio, words=words)


def measured_like(step: Step, *, channels: int, cells: int) -> PeerRow | None:
    """The measured case most like a step that treats every channel by itself; None for any other step."""
    shape = _shape_of(step)
    if shape is None:
        return None
    kind, scale, spans = shape
    axes = len(scale)
    return nearest_peer(
        kind,
        axes=axes,
        scale=math.prod(scale) ** (1 / axes),
        kernel=math.prod(spans) ** (1 / axes),
        channels=channels,
        cells=cells,
    )


def _shape_of(step: Step) -> tuple[str, tuple[float, ...], tuple[float, ...]] | None:
    """Kind, scale and samples from the first to the last tap of a step that treats channels one by one."""
    if isinstance(step, Resize):
        return step.mode, step.scale, tuple(float(_SPAN[step.mode] * each) for each in step.scale)
    if isinstance(step, TransposedConvolution) and _is_depthwise(step):
        return "depthwise", tuple(map(float, step.stride)), tuple(map(float, step.weight.shape[2:]))
    return None


def _is_depthwise(step: TransposedConvolution) -> bool:
    return step.groups == step.weight.shape[0] and step.weight.shape[1] == 1
