"""Hold what `upstroke diff` prints, writes and refuses, from the words a user types."""

import json
import sys

import onnx
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from onnx_models import model, node
from upstroke.cli import app
from upstroke.rewrite.diff import diff

RUNNER = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})
CODE = """\
import torch
from torch import nn


def even():
    layer = nn.ConvTranspose2d(2, 1, (4, 6), stride=(2, 3), padding=1)
    with torch.no_grad():
        layer.weight.fill_(0.25)
        layer.bias.fill_(0.5)
    return nn.Sequential(layer)


def louder():
    net = even()
    with torch.no_grad():
        net[0].bias.fill_(1.0)
    return net


def uneven():
    layer = nn.ConvTranspose2d(2, 1, (3, 5), stride=(2, 3), padding=1, output_padding=(1, 0))
    return nn.Sequential(layer)


def inputs():
    return torch.ones(1, 2, 5, 7)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "nets.py").write_text(CODE, encoding="utf-8")
    yield tmp_path
    sys.modules.pop("nets", None)


def said(*words, code=0):
    done = RUNNER.invoke(app, ["diff", *map(str, words)])
    assert done.exit_code == code, done.output
    return done


SAME = """\
old  nets:even  PyTorch, 1 upsampling site
new  nets:louder  PyTorch, 1 upsampling site

What they take
  multiply–adds   1.68 k, the same
  parameters      49, the same
  inputs          input 1x2x5x7, the same
  outputs         0 1x1x10x22, the same

Outputs of both on the same inputs
  1x2x5x7         as given: output differs by at most 20 % of its largest value, by 23 % in root
                  mean square; its mean moves by 23 % of that
  7 more sizes of inputs were tried; -v lists them

Nothing found in either; outputs differ by up to NUMBER of their largest value
"""


def test_two_factories_stand_side_by_side(here):
    words = ("nets:even", "nets:louder", "--inputs", "nets:inputs", "--select", "UP101")
    text = said(*words).stdout
    last = text.splitlines()[-1]
    most = last.split("by up to ")[1].split(" of their")[0]
    assert text.replace(f"by up to {most} of", "by up to NUMBER of") == SAME


def test_what_is_new_decides_the_exit_code(here):
    words = ("nets:even", "nets:uneven", "--input", "1x2x5x7", "--select", "UP101,UP3")
    text = said(*words).stdout
    assert "\nFound in the new model alone\n  warning UP101  0: " in text
    said(*words, "--fail-on", "warning", code=1)
    said(*words, "--fail-on", "error")
    said(*words, "--fail-on", "never")
    # the other way round it is gone
    text = said("nets:uneven", "nets:even", *words[2:], "--fail-on", "warning").stdout
    assert "\nGone\n  warning UP101  0 (" in text


def test_outputs_that_differ_by_more_than_the_tolerance_fail(here):
    words = ("nets:even", "nets:louder", "--inputs", "nets:inputs", "--select", "UP101", "-q")
    said(*words, "--tolerance", "0.9")
    said(*words, "--tolerance", "0.01", code=1)


def test_a_file_is_compared_with_what_it_was_made_of(here):
    import importlib

    net = importlib.import_module("nets").even()
    conv = node("ConvTranspose", ["x", "w", "b"], "y", strides=[2, 3], pads=[1, 1, 1, 1], kernel_shape=[4, 6])
    values = {"w": net[0].weight.detach().numpy(), "b": net[0].bias.detach().numpy()}
    onnx.save(model([conv], {"x": ("n", 2, "h", "w")}, weights=values), "even.onnx")
    words = ("nets:even", "even.onnx", "--input", "1x2x5x7", "--select", "UP101", "--tolerance", "1e-5")
    record = json.loads(said(*words, "--format", "json").stdout)
    assert record["largest"] < 1e-6
    assert [record[key]["model"] for key in ("old", "new")] == ["nets:even", "even.onnx"]
    page = said(*words, "--format", "html", "--output", "diff.html")
    assert page.stdout == ""
    assert "nets:even → even.onnx" in (here / "diff.html").read_text(encoding="utf-8")
    both = ("even.onnx", "even.onnx", "--input", "1x2x5x7", "--select", "UP101", "--format", "json")
    assert json.loads(said(*both).stdout)["largest"] == 0


def test_weights_belong_to_their_side(here):
    import importlib

    state = importlib.import_module("nets").louder().state_dict()
    torch.save(state, "louder.pth")
    words = ("nets:even", "nets:even", "--inputs", "nets:inputs", "--select", "UP101", "--format", "json")
    assert json.loads(said(*words).stdout)["largest"] == 0
    assert json.loads(said(*words, "--new-weights", "louder.pth").stdout)["largest"] > 0.1
    both = ("--weights", "louder.pth", "--new-weights", "louder.pth")
    assert json.loads(said(*words, *both).stdout)["largest"] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--format", "html"),
            "a page is for a browser and not for a terminal; got no --output; give --output diff.html",
        ),
        (
            ("--tolerance", "-1"),
            "--tolerance must be a number from 0 up, such as 1e-5; got -1.0",
        ),
        (
            ("--input", "1x2x5x7", "--inputs", "nets:inputs"),
            "--inputs makes all inputs; got --input '1x2x5x7' as well; leave one of the two out",
        ),
        (
            ("--output", "there.txt"),
            "there.txt exists already; give --overwrite to replace it, or another name",
        ),
        (
            ("--output", "there.txt", "--overwrite", "--weights", "there.txt"),
            "--output must not be what is read; got there.txt for both; name another file",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(here, words, sentence):
    (here / "there.txt").write_text("kept", encoding="utf-8")
    assert said("nets:even", "nets:louder", *words, code=2).stderr == f"upstroke: {sentence}\n"
    assert (here / "there.txt").read_text(encoding="utf-8") == "kept"


def test_a_program_of_torch_export_is_not_loaded(here):
    program = torch.export.export(nn.Conv2d(2, 3, 3).eval(), (torch.rand(1, 2, 5, 7),))
    torch.export.save(program, "net.pt2")
    said_of_it = said("nets:even", "net.pt2", "--input", "1x2x5x7", code=2).stderr
    assert "net.pt2 is an exported program, and loading it can run code" in said_of_it


class Renamed(nn.Module):
    """An upsampler in the place of another one, as a rewrite puts it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


def test_what_stands_in_place_of_a_site_is_at_its_place():
    layer = nn.ConvTranspose2d(2, 1, 3, stride=2)
    old = nn.Sequential(layer).eval()
    found = diff(old, nn.Sequential(Renamed(layer)).eval(), torch.rand(1, 2, 5, 7), select="UP101")
    assert (found.gone, found.added) == ((), ())
    assert [each.site for each in found.same] == ["0.layer"]


def test_a_finding_of_the_whole_model_is_the_same_whatever_it_is_called():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(1, 1, 2, stride=2)

        def forward(self, x):
            return torch.cat([self.up(torch.nn.functional.max_pool2d(x, 2)), x], dim=1)

    net = Net().eval()
    x = torch.rand(1, 1, 8, 12)
    found = diff(net, net, x, names=("old", "new"), select="UP203")
    assert [each.site for each in found.same] == ["new"]
    assert (found.gone, found.added) == ((), ())
