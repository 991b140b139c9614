"""What is measured of fixes: subjects that build, rows that are plain data, a page made of them alone."""

import json
from itertools import pairwise

import pytest
import torch
from benchmarks import fix, fix_page, results
from benchmarks.networks import RRDBNet, StyleNet, upconv7
from benchmarks.subjects import SUBJECTS, Subject, exported

from upstroke.graph import sites
from upstroke.graph.torch import record


def test_the_page_is_made_of_the_committed_results():
    text = fix_page.PAGE.read_text()
    assert text == fix_page.page(text)


@pytest.mark.parametrize(
    ("net", "size", "grown", "kinds"),
    [
        (StyleNet(4, 1), (12, 20), (12, 20), ["Resize"] * 2),
        (RRDBNet(4, 2, 1), (5, 7), (20, 28), ["Resize"] * 2),
        (upconv7(), (16, 19), (4, 10), ["TransposedConvolution"]),
    ],
)
def test_networks_are_what_was_published(net, size, grown, kinds):
    x = torch.rand(1, 3, *size)
    graph = record(net.eval(), [x])
    assert graph.shapes[graph.outputs[0]] == (1, 3, *grown)
    assert [type(site.node.step).__name__ for site in sites(graph)] == kinds


def test_the_sizes_of_published_networks_are_theirs():
    def count(net):
        return sum(each.numel() for each in net.parameters())

    with torch.device("meta"):
        # ESRGAN's released generator
        assert count(RRDBNet()) == 16_697_987
        channels = (3, 16, 32, 64, 128, 128, 256)
        convolutions = sum(9 * into * out + out for into, out in pairwise(channels))
        assert count(upconv7()) == convolutions + 256 * 3 * 16 + 3


def test_every_model_has_a_row_for_every_runtime_that_runs_it():
    rows = fix._rows()
    assert len(rows) == len(set(rows)) == 2 * 2 + 8 * 3 + 1
    assert {subject.name for subject in SUBJECTS} >= {"ESPCN", "DBNet", "MNIST generator", "BasicUNet"}


@pytest.fixture
def small(monkeypatch):
    def net():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU()
        )

    subject = Subject(name="small", build=net, inputs=lambda: (torch.rand(1, 3, 6, 10),))
    monkeypatch.setattr(fix, "SUBJECTS", (subject,))
    return subject


@pytest.mark.parametrize("target", ["pytorch", "onnxruntime"])
def test_a_row_is_plain_data_and_the_page_shows_it(small, target, tmp_path):
    row = fix._measured(f"small | {target}", 0.01)
    assert json.loads(json.dumps(row)) == row
    (site,) = row["sites"]
    assert site["became"] in ("rewritten", "left")
    assert "as it is" in site["ms"]
    results.save("fix", {"processor": "p"}, [row], order=[row["row"]], folder=tmp_path)
    made = fix_page.page(f"before\n{fix_page.START}\nold\n{fix_page.END}\nafter", tmp_path)
    assert "old\n" not in made
    assert (
        f"| small | {fix_page.RUNTIMES[target]} | 1×3×6×10 | {int(site['became'] == 'rewritten')} |" in made
    )
    assert "| processor | p |" in made


def test_an_exported_module_says_its_sizes(small):
    model = exported(small.build().eval(), small.inputs())
    assert [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 6, 10]


def a_row(name, target, *, ratios=(), ms=(None, None), wrong="", again=(), code="UP301"):
    return {
        "row": f"{name} | {target}",
        "model": name,
        "target": target,
        "input": "1×3×8×8",
        "sites": [
            {"site": f"s{i}", "codes": [code], "became": "rewritten", "form": "phases", "ratio": ratio}
            for i, ratio in enumerate(ratios)
        ]
        + [{"site": "l", "codes": ["native"], "became": "left", "form": "", "ratio": None}],
        "changed again": list(again),
        "ms": list(ms),
        "share": 0.25,
        "verified": [{"dtype": "float32", "largest": 2.5e-7, "sizes": 5, "wrong": wrong}],
        "commit": "abc",
        "date": "2026-01-02T03:04",
    }


def test_the_page_says_what_was_reached_and_what_was_not(tmp_path):
    rows = [
        a_row("one", "pytorch", ratios=(1.8, 2.5), ms=(10.0, 8.0)),
        a_row("two", "pytorch", ratios=(1.3,), ms=(10.0, 9.5), code="native"),
        a_row("one", "onnxruntime", ratios=(1.1, 1.9), ms=(10.0, 11.0), again=["s0"]),
        a_row("two", "onnxruntime", ratios=(1.7,), ms=(10.0, 10.2), wrong="off"),
        {
            "row": "net",
            "model": "net",
            "times": [
                {"who": who, "ms": ms, "spread": 0.5, "runs": 5}
                for who, ms in (("PyTorch contiguous", 30.0), ("fixed contiguous", 20.0), ("OpenVINO", 25.0))
            ],
            "commit": "abc",
            "date": "2026-01-03T03:04",
        },
    ]
    results.save("fix", {"processor": "p"}, rows, order=[row["row"] for row in rows], folder=tmp_path)
    lines = fix_page.page(f"{fix_page.START}{fix_page.END}", tmp_path).splitlines()
    for line in (
        "| day | 2026-01-02 to 2026-01-03 |",
        "| UP301 rewritten in PyTorch | none below 1.7× | yes: 2 sites, least 1.80, median 2.15 |",
        "| rewritten sites in ONNX Runtime | none below 1.2×, median ≥ 1.6× | **no**: 3 sites, least 1.10, median 1.70 |",
        "| rewritten sites in OpenVINO | none below 1.2×, median ≥ 1.6× | none was rewritten |",
        "| whole models | never slower by more than 5 % | **no**: one for onnxruntime |",
        "| old and new | agree | **no**: two for onnxruntime |",
        "| a fixed model fixed again | is not changed | **no**: one for onnxruntime |",
        "| one | PyTorch | 1×3×8×8 | 2 | 1.80 to 2.50 | 1 | 10 | 8 | 1.25 | 25 % | 2e-07 float32 |",
        "| fixed contiguous | 20 ± 0.5 | – |",
        "| OpenVINO | 25 ± 0.5 | 1.25 |",
        "| PyTorch contiguous | 30 ± 0.5 | 1.50 |",
    ):
        assert line in lines


def test_nothing_measured_is_said(tmp_path):
    assert "Nothing was measured yet." in fix_page.page(f"{fix_page.START}{fix_page.END}", tmp_path)


def test_rows_that_nobody_knows_are_refused(monkeypatch):
    monkeypatch.setattr("sys.argv", ["fix", "--only", "cubical"])
    with pytest.raises(SystemExit, match=r"^no row's name holds 'cubical'; --list prints them all$"):
        fix.main()
