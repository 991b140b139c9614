"""Turn a file that may hold anything into an ONNX model that has been checked."""

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from upstroke.errors import FileError, MissingExtraError, first_line

if TYPE_CHECKING:
    import onnx

__all__ = [
    "MOST_BYTES",
    "copied",
    "copied_without",
    "copy_into",
    "has_schema",
    "inlined",
    "model_from_file",
    "model_from_memory",
    "need_onnx",
    "opset_versions",
    "weight_bytes",
    "without_weights",
]

WANTED = "a model must be an ONNX file"
FACTORY = "which have no graph; give package.module:factory with --weights FILE"
# Operators that this installation of onnx does not define stand in this domain while the rest is checked.
UNDEFINED = "upstroke.undefined"
# Weights of up to so many numbers are no weight to speak of; lists of sizes and scales are among them.
SMALL = 2**10
# Messages of 2 GiB and more cannot be put into bytes; what is no weight is far below the rest of that.
MOST_BYTES = 1_900_000_000
_Message = TypeVar("_Message", "onnx.ModelProto", "onnx.GraphProto")


def model_from_file(path: Path) -> "onnx.ModelProto":
    """Read and check a model; what the file is follows from its bytes, never from its name.

    Raises:
        FileError: there is no such file, it is no ONNX file, or it is incomplete.
    """
    from onnx import external_data_helper

    model = _parsed(_bytes_of(path), path)
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # what is raised differs between versions, and the sentence is the same
        msg = f"{path} keeps weights in other files, of which one cannot be read: {first_line(error)}; put "
        msg += "them beside it, under the names it has for them"
        raise FileError(msg) from error
    _check(model, path)
    return inlined(model)


def model_from_memory(given: "onnx.ModelProto") -> "onnx.ModelProto":
    """A checked copy of a model, so that reading it changes nothing of what the caller has.

    Of more than can be put into bytes no copy is made: nothing but the checker's stand-ins is written to it,
    and taken back.
    """
    import onnx

    model = given
    if weight_bytes(given) <= MOST_BYTES:
        model = onnx.ModelProto()
        model.CopyFrom(given)
    tensors = model.graph.initializer
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        msg = "a model in memory must hold its weights; this one keeps them in other files; give its path"
        raise FileError(msg)
    _check(model, "the model")
    return inlined(model)


def need_onnx() -> None:
    """See whether the package onnx is installed.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        msg = "reading ONNX files needs the package onnx; pip install 'upstroke[onnx]'"
        raise MissingExtraError(msg) from error


def opset_versions(owner: "onnx.ModelProto | onnx.FunctionProto") -> dict[str, int]:
    """The version of each domain of operators that a model uses; the standard one is named ""."""
    versions = {"": 1}
    for entry in owner.opset_import:
        versions["" if entry.domain == "ai.onnx" else entry.domain] = entry.version
    return versions


def has_schema(node: "onnx.NodeProto", versions: dict[str, int]) -> bool:
    """Whether ONNX defines what a node does."""
    from onnx import defs

    domain = "" if node.domain == "ai.onnx" else node.domain
    return domain in versions and bool(
        defs.has(node.op_type, max_inclusive_version=versions[domain], domain=domain)
    )


def inlined(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with the bodies of its own functions in place of their calls; itself where it has none."""
    if not model.functions:
        return model
    from onnx import checker, inliner

    is_large = weight_bytes(model) > MOST_BYTES
    try:
        flat = inliner.inline_local_functions(without_weights(model) if is_large else model)
    except checker.ValidationError as error:
        # a function that calls itself
        msg = f"its functions cannot be put in the place of their calls: {first_line(error)}; "
        msg += "export or download the model again"
        raise FileError(msg) from error
    if is_large:
        flat.ir_version = model.ir_version
        for name in ("input", "initializer"):
            flat.graph.ClearField(name)
            copy_into(getattr(flat.graph, name), getattr(model.graph, name))
    return flat


def weight_bytes(model: "onnx.ModelProto") -> int:
    """How many bytes the weights of a model take, by what their shapes say."""
    from onnx import TensorProto, helper

    weights = model.graph.initializer
    kinds = {tensor.data_type for tensor in weights} - {TensorProto.UNDEFINED, TensorProto.STRING}
    sizes = {kind: helper.tensor_dtype_to_np_dtype(kind).itemsize for kind in kinds}
    return sum(math.prod(tensor.dims) * sizes.get(tensor.data_type, 0) for tensor in weights)


def _is_large(model: "onnx.ModelProto") -> bool:
    """Whether a model cannot be put into bytes; a shape that says more than there is makes none large."""
    if weight_bytes(model) <= MOST_BYTES:
        return False
    # one by one, because the length of bytes is not known before they are copied
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) > MOST_BYTES


def without_weights(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with its large weights as inputs, so that it is small enough for what copies models whole."""
    import onnx
    from onnx import helper

    light = copied_without(model, "graph")
    light.ir_version = max(4, model.ir_version)
    light.graph.CopyFrom(copied_without(model.graph, "initializer"))
    known = {entry.name for entry in model.graph.input}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= SMALL and tensor.data_location != onnx.TensorProto.EXTERNAL:
            light.graph.initializer.append(tensor)
        elif tensor.name not in known:
            entry = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            light.graph.input.append(entry)
    return light


def copy_into(own: Any, others: Iterable[Any]) -> None:  # noqa: ANN401 (a container of protobuf's)
    """Put copies of messages behind those of another, also of such that cannot be put into bytes.

    What a container does itself goes by way of bytes.
    """
    for other in others:
        own.add().CopyFrom(other)


def copied(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy of a model of any size, weights and all, to be written to."""
    new = copied_without(model, "graph")
    new.graph.CopyFrom(copied_without(model.graph, "initializer"))
    copy_into(new.graph.initializer, model.graph.initializer)
    return new


def copied_without(message: _Message, *fields: str) -> _Message:
    """A copy of a model or a graph without some of its fields, of which nothing is copied on the way."""
    copy = type(message)()
    for field, value in message.ListFields():
        own = getattr(copy, field.name)
        if field.name in fields:
            continue
        if hasattr(own, "extend"):
            own.extend(value)
        elif hasattr(own, "CopyFrom"):
            own.CopyFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy


def _bytes_of(path: Path) -> bytes:
    # os.path answers no where pathlib raises, for instance for names that are too long
    if not os.path.exists(path):
        msg = f"{WANTED}; there is no file {path}"
        raise FileError(msg)
    if os.path.isdir(path):
        msg = f"{WANTED}; {path} is a folder; name the file in it"
        raise FileError(msg)
    if not os.path.isfile(path):
        msg = f"{WANTED}; {path} is a device or a pipe, not a file"
        raise FileError(msg)
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{WANTED}; {path} could not be read: {(error.strerror or str(error)).lower()}"
        raise FileError(msg) from error


def _parsed(data: bytes, path: Path) -> "onnx.ModelProto":
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    kind = _kind(data)
    if kind is not None:
        msg = f"{WANTED}; {path} {kind}"
        raise FileError(msg)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        if model.HasField("graph"):
            return model
        cause = None
    except DecodeError as error:
        cause = error
    # an ONNX file starts with its version, a small number in field 1
    if data[:1] == b"\x08" and data[1:2] < b"\x40":
        msg = f"{path} starts like an ONNX file, but is cut short or damaged; export or download it again"
    else:
        msg = f"{WANTED}; {path} is something else; export the model with torch.onnx.export"
    raise FileError(msg) from cause


def _kind(data: bytes) -> str | None:
    """Say in words what a file that is often taken for a model is; None if it is none of those."""
    if not data:
        return "is empty"
    if data.startswith(b"PK\x03\x04"):
        return f"is a zip archive, as PyTorch's .pt and .pth files of weights are, {FACTORY}"
    if data[:1] == b"\x80" and data[1:2] < b"\x08":
        return f"is a pickle, as PyTorch's older files of weights are, {FACTORY}"
    if data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < len(data):
        return f"holds weights as safetensors, {FACTORY}"
    if data.startswith(b"\x89HDF"):
        return f"is an HDF5 file of weights, {FACTORY}"
    return None


def _check(model: "onnx.ModelProto", where: object) -> None:
    """Run onnx's checker, without what is no fault here.

    Operators that it does not know, maps of unknown rank, and nodes that differ in form from what the
    standard says, such as a Resize of version 11 without roi: these are read as they are, or left unread.
    """
    from onnx import checker

    if model.ir_version >= 3 and not model.opset_import:
        msg = f"{where} is no complete ONNX model: it does not say which version of the operators it uses; "
        msg += "export or download it again"
        raise FileError(msg)
    hidden = [(node, node.domain) for node, versions in _all_nodes(model) if not has_schema(node, versions)]
    owners = [model, *model.functions] if hidden else []
    ends = [entry.type.tensor_type for entry in (*model.graph.input, *model.graph.output)]
    unranked = [kind for kind in ends if kind.elem_type and not kind.HasField("shape")]
    for kind in unranked:
        kind.shape.SetInParent()
    for node, _ in hidden:
        node.domain = UNDEFINED
    for owner in owners:
        owner.opset_import.add(domain=UNDEFINED, version=1)
    try:
        checker.check_model(without_weights(model) if _is_large(model) else model)
    except Exception as error:
        # what is no verdict of the checker is protobuf's, which cannot hand it messages of more than 2 GiB
        minor = "Bad node spec" in str(error) or not isinstance(error, checker.ValidationError)
        if minor and _is_in_order(model.graph):
            return
        msg = f"{where} is no complete ONNX model: {first_line(error)}; export or download it again"
        raise FileError(msg) from error
    finally:
        for node, domain in hidden:
            node.domain = domain
        for kind in unranked:
            kind.ClearField("shape")
        for owner in owners:
            del owner.opset_import[-1]


def _is_in_order(graph: "onnx.GraphProto") -> bool:
    """Whether every node takes only what stands before it."""
    known = {"", *(entry.name for entry in graph.input), *(tensor.name for tensor in graph.initializer)}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    for node in graph.node:
        if not known.issuperset(node.input):
            return False
        known.update(node.output)
    return known.issuperset(entry.name for entry in graph.output)


def _all_nodes(model: "onnx.ModelProto") -> Iterator[tuple["onnx.NodeProto", dict[str, int]]]:
    """Every node, those in bodies and functions among them, with the versions that hold there."""
    for owner, nodes in [(model, model.graph.node), *((each, each.node) for each in model.functions)]:
        versions = opset_versions(owner)
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            yield node, versions
            for attribute in node.attribute:
                for body in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                    waiting.extend(body.node)
