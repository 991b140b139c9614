"""Hold what a check's probe runs, leaves alone, writes and refuses."""

import json
import math
import sys

import onnx
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from onnx_models import model, node
from upstroke.audit import check
from upstroke.audit.geometry import geometry_record
from upstroke.audit.periods import periods_of
from upstroke.cli import app
from upstroke.errors import MissingExtraError, OptionError
from upstroke.graph.onnx_run import runnable_file
from upstroke.report.check_text import check_text
from upstroke.report.probe_text import geometry_lines, probe_lines

RUNNER = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
CODE = """\
from torch import nn


def make():
    return nn.Upsample(scale_factor=(2, 3))
"""


class Counting(nn.Module):
    """A model that notices being run: counters, flags, random numbers, inputs changed in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))
        self.up = nn.ConvTranspose2d(2, 1, (4, 6), stride=(2, 3))
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)

    def forward(self, x, *, gain):
        self.runs += 1
        torch.rand(3)
        return {"sample": self.drop(self.norm(self.up(x.mul_(2)))) * gain}


@pytest.fixture
def doubling(tmp_path):
    """A file whose sizes are open."""
    path = tmp_path / "doubling.onnx"
    nodes = [node("Resize", ["x", "", "scales"], "y", mode="nearest")]
    onnx.save(
        model(nodes, {"x": ["n", 1, None, None]}, weights={"scales": torch.tensor([1.0, 1, 2, 2])}), path
    )
    return path


def number_of(values):
    """Every number in plain data."""
    if isinstance(values, dict):
        return [each for value in values.values() for each in number_of(value)]
    if isinstance(values, list):
        return [each for value in values for each in number_of(value)]
    return [values] if isinstance(values, float) else []


def test_a_module_is_left_as_it_was_and_the_record_is_plain():
    torch.manual_seed(1)
    net = Counting()
    x, gain = torch.rand(1, 2, 20, 18), torch.tensor([2.0])
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    given, state = x.clone(), torch.random.get_rng_state()
    report = check(net, x, keywords={"gain": gain}, probe="values")
    assert net.training
    assert torch.equal(x, given)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())
    record = report.as_json()
    assert json.loads(json.dumps(record["probe"], allow_nan=False)) == record["probe"]
    values = record["probe"]["values"]
    assert all(map(math.isfinite, number_of(values)))
    assert (values["inputs"], values["replaced"], values["size"]) == (2, [0], [20, 18])
    [output] = values["outputs"]
    assert output["name"] == "sample"
    assert [each["period"] for each in output["noise"]] == [[2, 3]]
    assert output["drift"][0]["method"] == "ramp"


def test_without_a_probe_there_is_none():
    assert check(nn.Upsample(scale_factor=2), torch.rand(1, 1, 4, 4)).as_json()["probe"] is None


def test_a_file_says_what_its_module_says(doubling):
    x = torch.randn(1, 1, 24, 32, generator=torch.Generator().manual_seed(0))
    report = check(doubling, {"x": (1, 1, 24, 32)}, probe="values")
    file, module = (
        each.as_json()["probe"]["values"]
        for each in (report, check(nn.Upsample(scale_factor=2), x, probe="values"))
    )
    assert file["outputs"][0].pop("name") == "y"
    assert module["outputs"][0].pop("name") == ""
    file, module = (number_of(each) for each in (file, module))
    assert file == pytest.approx(module, abs=1e-5)


def test_an_open_batch_is_one(doubling):
    run, [example] = runnable_file(doubling, {"x": (None, 1, 3, 5)}, seed=0)
    assert example.shape == (1, 1, 3, 5)
    assert torch.equal(run(example)["y"], example.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_periods_follow_what_grows_and_shrinks_behind_a_site():
    net = nn.Sequential(
        nn.ConvTranspose2d(1, 1, (2, 3), stride=(2, 3)),
        nn.AvgPool2d((1, 3)),
        nn.PixelShuffle(1),
        nn.Conv2d(1, 6, 1),
        nn.ReLU(),
        nn.Upsample(scale_factor=(2, 1)),
    )
    report = check(net, torch.rand(1, 1, 6, 9))
    assert periods_of(report.graph, [each.reading for each in report.sites]) == [(2, 1), (4, 1)]
    assert periods_of(report.graph, []) == []


class Emptied(nn.Module):
    """A model that gives a batch of no maps."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, (4, 6), stride=(2, 3))

    def forward(self, x):
        return self.up(x)[:0]


def test_what_cannot_be_probed_is_judged_all_the_same(doubling, tmp_path):
    broken = tmp_path / "broken.onnx"
    nodes = [
        node("ConvTranspose", ["x", "w"], "u", kernel_shape=[2, 3], strides=[2, 3]),
        node("NoSuch", ["u"], "y"),
    ]
    onnx.save(model(nodes, {"x": [1, 1, 5, 7]}, weights={"w": torch.rand(1, 1, 2, 3)}), broken)
    alone = nn.ConvTranspose2d(3, 4, (4, 6), stride=(2, 3))
    for given, inputs, reason in (
        (
            alone,
            torch.rand(3, 5, 7),
            (
                "maps must have the 2 axes of the patterns to be probed; those of the example have 1 behind "
                "batch and channels; if it has no batch, give it one"
            ),
        ),
        (Emptied(), torch.rand(1, 3, 5, 7), "no output is a map of 2 axes"),
        (
            doubling,
            None,
            "a file must be given the size of every input to be probed; 'x' is ?x1x?x?; give its size",
        ),
        (broken, None, f"to be probed a file must run in onnxruntime; {broken} does not: "),
    ):
        report = check(given, inputs, probe="all")
        assert report.sites[0].verdicts["UP101"].kind == "ok"
        values = report.as_json()["probe"]["values"]
        assert values["reason"].startswith(reason)
        assert values["outputs"] == []
        assert reason.split("; ")[0] in " ".join(report.as_text(width=999).split())
        assert reason.split("; ")[0] in report.as_html()
        static = check(given, inputs).as_json()
        assert report.as_json()["findings"] == static["findings"]
    found = RUNNER.invoke(app, ["check", str(broken), "--probe", "all", "--format", "json"])
    assert found.exit_code == RUNNER.invoke(app, ["check", str(broken)]).exit_code == 1, found.output
    assert json.loads(found.stdout)["probe"]["values"]["reason"].startswith(reason)


def test_a_geometry_that_cannot_be_measured_is_said(doubling):
    graph = check(doubling, {"x": (1, 1, 5, 7)}).graph
    record = geometry_record(graph, [], {}, reason="nobody knows")
    assert (record["reason"], record["compared"], record["largest_difference"]) == ("nobody knows", 0, None)
    assert list(geometry_lines(record)) == [("", "not measured: nobody knows")]


def test_refusals(doubling, monkeypatch):
    upsample = nn.Upsample(scale_factor=2)
    graph = check(upsample, torch.rand(1, 1, 4, 4)).graph
    with pytest.raises(OptionError) as caught:
        check(graph, probe="values")
    assert str(caught.value) == (
        "to be probed a model must run, which a graph does not; give the module or the file it comes from"
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError) as caught:
        check(doubling, {"x": (1, 1, 24, 32)}, probe="values")
    assert str(caught.value) == (
        "running an ONNX file needs the package onnxruntime; pip install 'upstroke[onnx]'"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--probe", "probed_nets:make"],
        ["probed_nets:make", "--probe"],
        ["--probe", "values", "probed_nets:make"],
        ["--probe=values", "probed_nets:make"],
    ],
)
def test_the_option_may_stand_alone_and_takes_no_model(tmp_path, monkeypatch, words):
    (tmp_path / "probed_nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, ["check", *words, "--input", "1x1x24x32", "--format", "json"])
    # another test may have a module of this name
    sys.modules.pop("probed_nets", None)
    assert result.exit_code == 0
    [output] = json.loads(result.stdout)["probe"]["values"]["outputs"]
    assert [axis["offset"] for axis in output["drift"]] == pytest.approx([-1 / 4, -1 / 3], abs=0.01)


def test_a_probe_of_no_kind_is_refused():
    result = RUNNER.invoke(app, ["check", "--probe=sound", "probed_nets:make"])
    assert result.exit_code == 2
    assert result.stderr == (
        "upstroke: invalid value for '--probe': 'sound' is not one of 'values', 'geometry', 'all'; see 'upstroke check --help'\n"
    )


def test_the_text_says_what_was_measured():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ConvTranspose2d(2, 1, 3, stride=2))
    with torch.no_grad():
        net[1].weight.fill_(0.1)
        net[0].weight.fill_(0.1)
    record = check(net, torch.rand(1, 1, 40, 40), probe="values").as_json()
    text = check_text(record, width=100)
    assert (
        "Probe\n  the output, 1x1x81x81, read in its middle 41x41\n    noise     period 2x2: a fixed " in text
    )
    # k3 s2 with all weights alike: sides of 2 and 1 taps, so -9.5 dB along each axis
    assert "dB against what noise makes; image gain −9.5 dB\n" in text
    assert "    ramp      sample 0 sits at −0.50, −0.50 input pixels\n" in text


def test_the_text_of_what_was_not_measured():
    values = {
        "reason": "a generator",
        "outputs": [
            {
                "name": "mask",
                "shape": [1, 1, 8],
                "size": [4],
                "noise": [
                    {"period": [4], "reason": "too small"},
                    {
                        "period": [2],
                        "reason": None,
                        "relative": 0.0001,
                        "ratio_to_chance": 0.5,
                        "p_value": 0.25,
                    },
                ],
                "constant": [
                    {"period": [4], "reason": "too small"},
                    {"period": [2], "reason": None, "worst_db": None, "worst_gain_db": None},
                ],
                "drift": [{"offset": None, "reason": "mixed"}, {"offset": -1.5, "error": 0.25}],
            }
        ],
    }
    assert list(probe_lines(values)) == [
        ("", "output mask, 1x1x8, read in its middle 4"),
        ("noise", "period 4: not measured: too small"),
        (
            "noise",
            "period 2: no more than chance: 1 % of its amplitude, PSV 0.5 times that of white noise, p 0.25",
        ),
        ("constant", "period 4: not measured: too small"),
        ("constant", "period 2: no image"),
        ("ramp", "sample 0 sits at −1.50 ± 0.25 input pixels; not measured along axis 0: mixed"),
        ("", "a generator"),
    ]
