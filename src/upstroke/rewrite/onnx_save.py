"""Put an ONNX model into files, its weights beside it where they were, or where it is too large for one."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from upstroke.errors import FileError
from upstroke.files.place import check_target, write_atomically, write_together
from upstroke.graph.onnx_file import MOST_BYTES, copied_without, weight_bytes

__all__ = ["data_files_of", "file_for_running", "save"]

# Weights begin at whole pages, so that a runtime can map them; smaller ones stay in the model.
PAGE, LEAST = 4096, 1024


def save(
    model: onnx.ModelProto,
    path: str | Path,
    *,
    source: Path | None = None,
    overwrite: bool = False,
    most_bytes: int = MOST_BYTES,
) -> tuple[Path, ...]:
    """Write a model as a whole or not at all; the files that came of it.

    Where the model was read with its weights in other files, or where it is too large for one, its weights
    lie in one file beside it, which has its name with .data behind it.

    Args:
        model: with all its weights.
        path: where to.
        source: the file that the model was made from; it and its files of weights are never written to.
        overwrite: whether other files that are there may be replaced.
        most_bytes: of weights in one file.

    Raises:
        FileError: a file cannot be written, or must not be.

    >>> import tempfile
    >>> from onnx import parser
    >>> text = '<ir_version: 8, opset_import: ["" : 18]> n (float[2] x) => (float[2] y) { y = Relu (x) }'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save(parser.parse_model(text), Path(folder) / "net.onnx")]
    ['net.onnx']
    """
    path = Path(path)
    kept = () if source is None else (source, *data_files_of(source))
    is_beside = len(kept) > 1 or weight_bytes(model) > most_bytes
    if is_beside and path.is_symlink():
        msg = f"cannot write {path}: it is a link, and weights lie beside the model itself; name the file"
        raise FileError(msg)
    targets = (path.with_name(f"{path.name}.data"), path) if is_beside else (path,)
    for target in targets:
        _check_is_other(target, path, kept)
        check_target(target, overwrite=overwrite)
    if not is_beside:
        write_atomically(path, _bytes_of(model, path), overwrite=overwrite)
        return targets
    light = copied_without(model, "graph")
    light.graph.CopyFrom(copied_without(model.graph, "initializer"))
    beside = _put_beside(light, model.graph.initializer, targets[0].name)
    pieces = _pieces(beside)
    write_together({targets[0]: pieces, path: [_bytes_of(light, path)]}, overwrite=overwrite)
    return targets


def file_for_running(model: onnx.ModelProto, folder: Path, *, most_bytes: int = MOST_BYTES) -> Path:
    """The path of a file in a folder that a runtime can load, whatever the size of the model."""
    path = folder / "model.onnx"
    save(model, path, overwrite=True, most_bytes=most_bytes)
    return path


def data_files_of(path: Path) -> tuple[Path, ...]:
    """The files beside a model in which it keeps weights.

    Raises:
        FileError: the file is no longer there, or is no ONNX file.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        msg = f"the model {path}, which was read before, cannot be read again; put it back"
        raise FileError(msg) from error
    locations = (
        ExternalDataInfo(tensor).location for tensor in _tensors(model) if uses_external_data(tensor)
    )
    return tuple(path.parent / location for location in dict.fromkeys(locations))


def _check_is_other(target: Path, path: Path, kept: Sequence[Path]) -> None:
    """Refuse to write to what the model was read from, under whatever name."""
    for place, old in enumerate(kept):
        same = os.path.realpath(target) == os.path.realpath(old)
        if not same and os.path.exists(target) and os.path.exists(old):
            same = os.path.samefile(target, old)
        if same:
            what = "the weights of the model that was read" if place else "the model that was read"
            which = "" if target == path else f" its weights would go to {target.name}, and"
            msg = f"cannot write {path}:{which} this is {what}; choose another name"
            raise FileError(msg)


def _put_beside(
    light: onnx.ModelProto, weights: Sequence[onnx.TensorProto], name: str
) -> list[tuple[int, onnx.TensorProto]]:
    """Give a model its weights, the large ones as places in a file; these, each with where it begins."""
    beside, end = [], 0
    for tensor in weights:
        length = len(_raw(tensor)) if tensor.data_type != onnx.TensorProto.STRING else 0
        if length < LEAST:
            light.graph.initializer.append(tensor)
            continue
        begin = -(-end // PAGE) * PAGE
        entry = light.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        entry.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", name), ("offset", begin), ("length", length)):
            entry.external_data.add(key=key, value=str(value))
        beside.append((begin, tensor))
        end = begin + length
    return beside


def _pieces(beside: Sequence[tuple[int, onnx.TensorProto]]) -> Iterator[bytes]:
    """The bytes of a file of weights, one weight at a time."""
    end = 0
    for begin, tensor in beside:
        raw = _raw(tensor)
        yield bytes(begin - end)
        yield raw
        end = begin + len(raw)


def _raw(tensor: onnx.TensorProto) -> bytes:
    is_raw = tensor.HasField("raw_data")
    return bytes(tensor.raw_data if is_raw else numpy_helper.to_array(tensor).tobytes())


def _bytes_of(model: onnx.ModelProto, path: Path) -> bytes:
    try:
        return bytes(model.SerializeToString())
    except Exception as error:  # protobuf's own, or ValueError, by version
        msg = f"cannot write {path}: what is no weight of the model takes more than 2 GiB; export it again "
        msg += "with its constants as weights"
        raise FileError(msg) from error


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a model stores, those in nodes and in bodies among them."""
    yield from model.graph.initializer
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        for attribute in waiting.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            for body in (attribute.g, *attribute.graphs):
                yield from body.initializer
                waiting.extend(body.node)
