"""Turn an ONNX model and its rewritten copy into what was compared of them, by ONNX Runtime."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from upstroke.rewrite.runtime_onnxruntime import session_of
from upstroke.rewrite.variants import Variant
from upstroke.rewrite.verify import Verified, verified

if TYPE_CHECKING:
    import onnx

__all__ = ["runner", "verified_onnx"]

NUDGED = (torch.float32, torch.float64)
# Of an output that is off by more by itself nothing can be said in this precision.
MOST_OF_ITS_OWN = 2e-2
RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)


def verified_onnx(
    old: "onnx.ModelProto",
    new: "onnx.ModelProto",
    variants: Sequence[Variant],
    *,
    tolerance: float = 1e-5,
    seconds: float = math.inf,
    progress: Callable[[str, float], object] | None = None,
) -> Verified:
    """Compare a model with what was made of it, as users run them: with ONNX Runtime's own optimisations.

    ONNX Runtime computes few operators in double precision. So where an output differs by more than the
    tolerance, what is allowed besides is how far the old model's is off without these optimisations, or when
    the last bit of its inputs changes. Where an output is a sigmoid, what it takes is compared, because a
    sigmoid that is nearly zero has few digits.

    Args:
        old: the model.
        new: what was made of it; its outputs have the same names.
        variants: the inputs, tensors in the order of the model's inputs.
        tolerance: relative difference that is allowed.
        seconds: after which no further size is begun.
        progress: told what is being done, and which share of it.

    Raises:
        FileError: ONNX Runtime cannot load one of them.
        MissingExtraError: the package onnxruntime is not installed.

    >>> from onnx import parser
    >>> from upstroke.rewrite.variants import variants
    >>> head = '<ir_version: 8, opset_import: ["" : 18]> net (float[N] x) => (float[N] y)'
    >>> twice = [parser.parse_model(f"{head} {{ y = {by} (x, x) }}") for by in ("Add", "Sum")]
    >>> verified_onnx(*twice, variants([torch.rand(3)])).ok
    True
    """
    both = _sigmoids(old), _sigmoids(new)
    ahead = {name: source for name, source in both[0].items() if both[1].get(name) == source}
    if ahead:
        old, new = (_ahead_of_sigmoids(each, ahead) for each in (old, new))
    return verified(
        runner(old, names=ahead),
        runner(new, names=ahead),
        variants,
        tolerance=tolerance,
        dtype=_precision(old),
        references=_references(old, ahead),
        most_own=MOST_OF_ITS_OWN,
        seconds=seconds,
        progress=progress,
    )


def runner(
    model: "onnx.ModelProto | Path", *, optimised: bool = True, names: Mapping[str, str] | None = None
) -> Callable[..., dict[str, Tensor]]:
    """A function of tensors that runs a model by ONNX Runtime and gives its outputs by name.

    Nodes of a model in memory that draw random numbers draw the same whatever else stands in the model.

    Args:
        model: in memory, or its file.
        optimised: whether ONNX Runtime makes the optimisations that it makes by default.
        names: of outputs, by those they are to be given under.
    """
    import onnx

    if isinstance(model, Path):
        # its weights may be more than memory holds twice, and are not needed
        outputs = [entry.name for entry in onnx.load(model, load_external_data=False).graph.output]
        session = session_of(model, optimised=optimised)
    else:
        outputs = [entry.name for entry in model.graph.output]
        session = session_of(_seeded(model), optimised=optimised)

    other = {source: f"{name} before its sigmoid" for name, source in (names or {}).items()}

    def run(*tensors: Tensor) -> dict[str, Tensor]:
        found = session([tensor.detach().cpu().numpy() for tensor in tensors])
        # sequences and maps of other kinds are no tensors
        return {
            other.get(name, name): torch.from_numpy(np.array(value))
            for name, value in zip(outputs, found, strict=True)
            if hasattr(value, "dtype")
        }

    return run


def _references(model: "onnx.ModelProto", names: Mapping[str, str]) -> list[Callable[[Variant], object]]:
    """The model without optimisations, and for inputs of which the last bit is another; loaded when asked."""

    def plain(variant: Variant) -> object:
        return runner(model, optimised=False, names=names)(*variant.inputs)

    def nudged(variant: Variant) -> object:
        more = torch.tensor(math.inf)
        given = [
            torch.nextafter(each, more.to(each)) if each.dtype in NUDGED else each for each in variant.inputs
        ]
        return runner(model, names=names)(*given)

    return [plain, nudged]


def _sigmoids(model: "onnx.ModelProto") -> dict[str, str]:
    """What a sigmoid takes, by the output that it gives, unless the model gives that as well."""
    given = {entry.name for entry in (*model.graph.input, *model.graph.output)}
    makers = {name: node for node in model.graph.node for name in node.output}
    nodes = {entry.name: makers.get(entry.name) for entry in model.graph.output}
    return {
        name: node.input[0]
        for name, node in nodes.items()
        if node is not None and node.op_type == "Sigmoid" and node.input[0] not in given
    }


def _ahead_of_sigmoids(model: "onnx.ModelProto", sources: Mapping[str, str]) -> "onnx.ModelProto":
    """The model, giving what sigmoids take in place of what they give."""
    from onnx import helper

    copied = type(model)()
    copied.CopyFrom(model)
    for entry in copied.graph.output:
        if entry.name in sources:
            kind = entry.type.tensor_type.elem_type
            entry.CopyFrom(helper.make_tensor_value_info(sources[entry.name], kind, None))
    return copied


def _seeded(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model, each node that draws random numbers with a seed that the name of its output alone says."""
    from onnx import helper

    drawing = [place for place, node in enumerate(model.graph.node) if _draws(node)]
    if not drawing:
        return model
    copied = type(model)()
    copied.CopyFrom(model)
    for place in drawing:
        node = copied.graph.node[place]
        seed = float(zlib.crc32(node.output[0].encode()) % 2**20)
        node.attribute.append(helper.make_attribute("seed", seed))
    return copied


def _draws(node: "onnx.NodeProto") -> bool:
    return node.op_type in RANDOM and all(each.name != "seed" for each in node.attribute)


def _precision(model: "onnx.ModelProto") -> str:
    """The type of most of the model's numbers, in torch's words."""
    from onnx import TensorProto

    words: dict[int, str] = {
        TensorProto.DOUBLE: "float64",
        TensorProto.FLOAT16: "float16",
        TensorProto.BFLOAT16: "bfloat16",
    }
    count: dict[int, int] = {}
    for tensor in model.graph.initializer:
        if tensor.data_type in (*words, TensorProto.FLOAT):
            kind = tensor.data_type
            count[kind] = count.get(kind, 0) + math.prod(tensor.dims)
    most = max(count, key=lambda kind: count[kind]) if count else TensorProto.FLOAT
    return words.get(most, "float32")
