"""Hold what `upstroke fix` prints, writes and refuses, from the words a user types."""

import json
import re
import sys

import onnx
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from onnx_models import model, node
from upstroke.cli import app
from upstroke.cli import fix as verb

RUNNER = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})
CODE = """\
import torch
from torch import nn


def net():
    return nn.Sequential(nn.Upsample(scale_factor=(2, 3)), nn.Conv2d(2, 4, 3, padding=1))


def uneven():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 1, 3, stride=2))


def plain():
    return nn.Conv2d(2, 3, 3)


class Unread(nn.Module):
    def forward(self, x):
        return torch.fft.irfft2(torch.fft.rfft2(x), s=(x.shape[2] * 2, x.shape[3] * 2))


def unread():
    return Unread()


def inputs():
    return torch.ones(1, 2, 5, 7)
"""
# Two stages that one transposed convolution computes, on a map of 5 x 7.
WEIGHT = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)).tolist()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(CODE, encoding="utf-8")
    yield tmp_path
    sys.modules.pop("nets", None)


def onnx_file(path):
    grow = node("Resize", ["x", "", "scales"], "grown", mode="nearest", coordinate_transformation_mode="asymmetric",
                nearest_mode="floor")  # fmt: skip
    scales = torch.tensor([1.0, 1.0, 2.0, 2.0])
    conv = node("Conv", ["grown", "w", "b"], "y", pads=[1, 1, 1, 1])
    values = {"scales": scales, "w": torch.tensor(WEIGHT), "b": torch.arange(3.0)}
    values = {name: each.numpy() for name, each in values.items()}
    onnx.save(model([grow, conv], {"x": (1, 2, "h", "w")}, weights=values), path)
    return path


def said(*words, code=0):
    done = RUNNER.invoke(app, ["fix", *map(str, words)])
    assert done.exit_code == code, done.output
    return done


def refused(*words):
    return said(*words, code=2).stderr


TEXT = """\
nets:net: 1 site rewritten
PyTorch; for pytorch, one thread

Rewritten
  0  UP301
    Upsample 0 and Conv2d 1 become one operator.
    One transposed convolution; 2.7 times fewer multiply–adds; alone it differs by NUMBER of its
      largest value.

The whole model
  multiply–adds   15.1 k before, 5.6 k now, 63 % less
"""
VERIFIED = """\
Verified
  Old and new agree at 7 sizes of the inputs: largest relative difference NUMBER in float64
    (tolerance 1e-12), NUMBER in float32 (tolerance 1e-05).

Findings of the check
  UP101 0 → 1, UP205 0 → 1, UP301 1 → 0

1 site rewritten; written to new.pt2
"""


def test_a_factory_is_fixed_and_written(here):
    done = said("nets:net", "--input", "1x2x5x7", "--form", "transposed", "--output", "new.pt2")
    text = re.sub(r"\d(?:\.\d)?e-\d\d(?! *\))(?=( of| in))", "NUMBER", done.stdout)
    assert text.startswith(TEXT), text
    assert text.endswith(VERIFIED), text
    assert done.stderr == ""
    new = torch.export.load("new.pt2").module()
    x = torch.rand(2, 2, 4, 9)
    torch.manual_seed(0)
    import nets

    old = nets.net().eval()
    torch.testing.assert_close(new(x), old(x), rtol=1e-5, atol=1e-5)


def test_a_file_becomes_a_file_of_standard_operators(here):
    path = onnx_file(here / "old.onnx")
    done = said(path, "--input", "1x2x5x7", "--form", "phases", "--output", "new.onnx", "--format", "json")
    record = json.loads(done.stdout)
    assert (record["schema"], record["changed"], record["output"]) == ("upstroke.fix/1", True, "new.onnx")
    assert [each["form"] for each in record["sites"]] == ["phases"]
    assert record["verified"]["passed"]
    new = onnx.load("new.onnx")
    assert {each.domain for each in new.opset_import} <= {"", "ai.onnx"}
    assert [each.name for each in (*new.graph.input, *new.graph.output)] == ["x", "y"]


def test_page_and_record_are_of_one_result(here):
    words = ("nets:net", "--inputs", "nets:inputs", "--form", "shuffle", "-q")
    record = json.loads(said(*words, "--format", "json").stdout)
    assert said(*words, "--format", "html", "--report", "fix.html").stdout == ""
    page = (here / "fix.html").read_text(encoding="utf-8")
    assert record["sites"][0]["words"] in page
    assert "1 site rewritten" in page


def test_without_an_output_nothing_is_written(here):
    done = said("nets:net", "--input", "1x2x5x7", "--form", "transposed")
    assert done.stderr == "upstroke: nothing was written; give --output FILE to keep the new model\n"
    assert said("nets:net", "--input", "1x2x5x7", "--form", "transposed", "-q").stderr == ""
    assert [each.name for each in here.iterdir() if each.suffix != ".py" and each.is_file()] == []


def test_a_repair_is_made_and_said(here):
    words = ("nets:uneven", "--input", "1x2x9x8", "--select", "none", "--repair", "up102", "--format", "json")
    record = json.loads(said(*words).stdout)
    (repair,) = record["repairs"]
    assert (repair["code"], repair["site"], repair["outcome"]) == ("UP102", "2", "repaired")
    assert repair["relative_change"] > 0.01
    assert record["outputs_changed"][0]["relative_rms"] > 0
    before, after = record["findings"]["before"], record["findings"]["after"]
    assert "UP102" in before
    assert "UP102" not in after


def test_there_may_be_nothing_to_do(here):
    done = said("nets:plain", "--input", "1x2x5x7", "--output", "new.pt2")
    assert done.stdout.splitlines()[0] == "nets:plain: Nothing to do"
    record = json.loads(said("nets:net", "--input", "1x2x5x7", "--select", "none", "--format", "json").stdout)
    assert (record["changed"], record["sites"]) == (False, [])


def test_old_and_new_that_do_not_agree_are_not_written(here, monkeypatch):
    words = (
        "nets:net",
        "--input",
        "1x2x5x7",
        "--form",
        "transposed",
        "--output",
        "new.pt2",
        "--tolerance",
        "1e-30",
    )
    done = said(*words, code=1)
    assert done.stdout.splitlines()[0] == "nets:net: Not verified, so nothing is handed back"
    assert "0" in re.findall(r"site (\S+) is to blame", done.stdout, flags=re.IGNORECASE)
    assert not (here / "new.pt2").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("nets:net", "--output", "new.onnx"),
            "--output of what a factory builds must end in .pt2; got new.onnx; name it new.pt2",
        ),
        (
            ("old.onnx", "--output", "new.pt2"),
            "--output of an ONNX file must end in .onnx; got new.pt2; name it new.onnx",
        ),
        (
            ("old.onnx", "--output", "old.onnx", "--overwrite"),
            "--output must not be what is read; got old.onnx for both; name another file",
        ),
        (
            ("old.onnx", "--output", "a.onnx", "--report", "a.onnx"),
            "--output and --report must be two files; got a.onnx for both; name another file",
        ),
        (
            ("old.onnx", "--output", "there.onnx"),
            "there.onnx exists already; give --overwrite to replace it, or another name",
        ),
        (
            ("old.onnx", "--format", "html"),
            "a page is for a browser and not for a terminal; got no --report; give --report fix.html",
        ),
        (
            ("nets:net", "--for", "openvino", "--input", "1x2x5x7"),
            "--for says what runs an ONNX file; nets:net is run by PyTorch; leave --for out",
        ),
        (
            ("nets:net", "--input", "1x2x5x7", "--repair", "UP999"),
            "repairs are of UP201, UP101, UP102, UP105, UP401, UP402, UP203; got 'UP999'",
        ),
        (
            ("nets:net", "--input", "1x2x5x7", "--inputs", "nets:inputs"),
            "--inputs makes all inputs; got --input '1x2x5x7' as well; leave one of the two out",
        ),
        (
            ("nets:net", "--input", "1x2x5x7", "--select", "UP1"),
            "exact rewrites are UP301, UP302, UP303, fold, shuffle, native, or none of them: none; got 'UP1'",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(here, words, sentence):
    onnx_file(here / "old.onnx")
    (here / "there.onnx").write_text("kept", encoding="utf-8")
    assert refused(*words) == f"upstroke: {sentence}\n"
    assert (here / "there.onnx").read_text(encoding="utf-8") == "kept"


def test_a_program_of_torch_export_is_not_loaded(here):
    program = torch.export.export(nn.Conv2d(2, 3, 3).eval(), (torch.rand(1, 2, 5, 7),))
    torch.export.save(program, "net.pt2")
    assert "net.pt2 is an exported program, and loading it can run code" in refused("net.pt2")


def test_progress_fits_a_line_of_the_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    tell = verb._teller(quiet=False)
    tell("measuring a.site.with.a.long.name, 1 of 3", 0.5)
    shown = capsys.readouterr().err
    assert shown.startswith("\r\x1b[K")
    assert len(shown.removeprefix("\r\x1b[K")) < 30
    assert verb._teller(quiet=True) is None
