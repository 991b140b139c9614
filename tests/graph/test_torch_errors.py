"""A model that cannot be recorded is refused in one sentence."""

import re

import pytest
import torch
from torch import nn

from upstroke.errors import OptionError, ShapeError
from upstroke.graph.torch import record


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = nn.Sequential(nn.Identity(), nn.ConvTranspose2d(4, 4, 2))

    def forward(self, x, timesteps):
        return self.decoder(x)


class Raises(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


def refused(kind, message):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def test_inputs_that_it_cannot_take():
    net = Decoder()
    message = (
        "the model cannot take inputs of shape 1x3x5x7 and 1:int64: Given transposed=1, weight of size "
        "[4, 4, 2, 2], expected input[1, 3, 5, 7] to have 4 channels, but got 3 channels instead, raised in "
        "decoder.1; try inputs of another shape"
    )
    with refused(ShapeError, message):
        record(net, [torch.rand(1, 3, 5, 7), torch.tensor([1])])
    assert all(part.training for part in net.modules())


def test_too_few_inputs():
    message = (
        "the model wants more inputs: Decoder.forward() missing 1 required positional argument: 'timesteps'; "
        "give an example of each"
    )
    with refused(OptionError, message):
        record(Decoder(), [torch.rand(1, 4, 5, 7)])


def test_inputs_by_name():
    graph = record(Decoder(), [torch.rand(1, 4, 5, 7)], kwargs={"timesteps": torch.ones(1)})
    assert graph.inputs == ("input", "timesteps")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (RuntimeError("first line.\n  second   line.\n"), ShapeError, "first line. second line"),
        (TypeError(), OptionError, "TypeError"),
        (ValueError("a" * 300), ShapeError, "a" * 199 + "…"),
        (AssertionError("sides must be even"), ShapeError, "sides must be even"),
    ],
)
def test_what_the_model_says_is_one_short_line(error, kind, said):
    message = (
        f"the model cannot take inputs of shape 1x2:float64: {said}, raised in 0; try inputs of another shape"
    )
    with refused(kind, message):
        record(nn.Sequential(Raises(error)), [torch.rand(1, 2).double()])


@pytest.mark.parametrize(
    "error",
    [KeyError("where"), FileNotFoundError("where"), SystemExit("where"), NotImplementedError("where")],
)
def test_a_fault_of_the_model_is_not_blamed_on_its_inputs(error):
    said = str(error)
    message = (
        f"the model ends in {type(error).__name__} when it is run on inputs of shape 1x2: {said}, raised in 0; "
        "mend its code"
    )
    with refused(OptionError, message):
        record(nn.Sequential(Raises(error)), [torch.rand(1, 2)])


@pytest.mark.parametrize(
    "part", [nn.ConvTranspose2d(4, 4, 3, device="meta"), nn.BatchNorm2d(4, device="meta")]
)
def test_weights_that_are_not_there(part):
    message = "the model's weights are on the meta device, so there is nothing to measure; load them first"
    with refused(OptionError, message):
        record(nn.Sequential(nn.Identity(), part), [torch.rand(1, 4, 5, 7)])


@pytest.mark.usefixtures("_unchecked")
def test_not_a_model():
    message = "the model must be a torch.nn.Module; got dict, so give one made of layers"
    with refused(OptionError, message):
        record({"weight": torch.ones(1)}, [])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_is_refused():
    message = (
        "a TorchScript model hides its layers and cannot be read; give the Python module it was made from, or "
        "export it to ONNX"
    )
    with refused(OptionError, message):
        record(torch.jit.trace(nn.ReLU(), torch.rand(1)), [torch.rand(1)])
