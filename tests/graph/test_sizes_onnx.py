"""Hold what shape inference says of the sizes that ONNX models take, against onnxruntime."""

import numpy as np
import onnxruntime
import pytest
from onnx import parser
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from upstroke.errors import FileError
from upstroke.graph.onnx import read_onnx
from upstroke.graph.onnx_sizes import onnx_sizes

HEAD = '<ir_version: 8, opset_import: ["" : 18]>'


def joined(height="H", width="W", *, batch="N", channels="2", join="Add"):
    """Halves the first axis and thirds the second, grows both again, and joins with the input."""
    axis = "<axis = 1>" if join == "Concat" else ""
    return parser.parse_model(f"""{HEAD}
        net (float[{batch}, {channels}, {height}, {width}] x) => (float[A, B, C, D] y) <float[4] s = {{1, 1, 2, 3}}> {{
            low = MaxPool <kernel_shape = [2, 3], strides = [2, 3]> (x)
            up = Resize <coordinate_transformation_mode = "asymmetric", mode = "nearest"> (low, , s)
            [meet] y = {join} {axis} (up, x)
        }}""")


def grown(*, output="y"):
    """Halves both axes and grows them again."""
    return parser.parse_model(f"""{HEAD}
        net (float[1, 1, H, W] x) => (float[A, B, C, D] y) <float[4] s = {{1, 1, 2, 2}}> {{
            low = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
            {output} = Resize <coordinate_transformation_mode = "asymmetric", mode = "nearest"> (low, , s)
        }}""")


@pytest.mark.parametrize("join", ["Add", "Concat"])
@pytest.mark.parametrize("start", [None, (1, 2, 8, 15)])
def test_joins_that_do_not_meet_are_found_with_their_period(join, start):
    model = joined(join=join)
    found = onnx_sizes(model, read_onnx(model, sizes=start))
    if start is None:
        # 64 is no multiple of 3, so the search begins further on
        assert found.reason == "shape inference finds no size that works, or does not reach the outputs"
        return
    assert (found.start, found.how) == ((8, 15), "by shape inference")
    first, second = found.along
    assert (first.period, first.remainders, second.period, second.remainders) == (2, (0,), 3, (0,))
    assert first.failed[0].size == (9, 15)
    assert first.failed[0].place == "meet"
    assert first.failed[0].error == "the maps 1x2x8x15 and 1x2x9x15 do not meet"


def test_every_size_said_to_work_runs_and_every_other_does_not():
    model = joined()
    session = onnxruntime.InferenceSession(model.SerializeToString())
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    found = onnx_sizes(model, read_onnx(model, sizes=(1, 2, 8, 15))).along
    assert [len(each.tried) > 2 for each in found] == [True, True]
    for along in found:
        for n in along.tried:
            size = [n if axis in along.axes else m for axis, m in enumerate((8, 15))]
            try:
                session.run(None, {"x": np.zeros((1, 2, *size), np.float32)}, options)
                runs = True
            except Fail:
                runs = False
            assert runs == (n in along.right), n


def test_sizes_that_come_out_as_others_are_found():
    first, second = onnx_sizes(grown(), read_onnx(grown())).along
    assert (first.period, second.period) == (2, 2)
    assert (first.changed[0].size, first.changed[0].came, first.changed[0].due) == ((65, 64), 64, 65)


def test_axes_that_the_file_fixes_stay():
    model = joined(width="15")
    found = onnx_sizes(model, read_onnx(model, sizes=(1, 2, 8, 15)))
    (along,) = found.along
    assert (along.axes, along.period) == ((0,), 2)
    model = joined("8", "15")
    found = onnx_sizes(model, read_onnx(model))
    assert (found.fixed, found.start, found.along) == (True, (8, 15), ())


def test_an_input_without_channels_cannot_be_tried():
    model = joined(channels="C")
    found = onnx_sizes(model, read_onnx(model))
    assert found.reason == "the file does not say how many channels its input 'x' has"


def test_an_input_that_is_no_map_is_not_varied():
    model = parser.parse_model(f"{HEAD} net (float[N, 3] x) => (float[N, 3] y) {{ y = Relu (x) }}")
    found = onnx_sizes(model, read_onnx(model))
    assert found.reason == "no convolution, pool or resize takes an input of the model as it comes"


def test_a_file_must_be_there(tmp_path):
    with pytest.raises(FileError):
        onnx_sizes(tmp_path / "none.onnx", read_onnx(grown()))
