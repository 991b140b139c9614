"""Benchmarks time only what is right, go on where they were ended, and their tables say what the results say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks import gate, minimal, pages, results, row, run, table
from benchmarks.cases import CASES, SUITES, Case, Fixed, Separable, Transposed
from benchmarks.contender import Contender, of_module
from benchmarks.layers import pytorchs, upstrokes
from benchmarks.reading import shown
from benchmarks.row import Seconds, keys, measured
from benchmarks.targets import dense_over_separable, saving

from upstroke.ops import IMPLS
from upstroke.ops.kernels import native

ROOT = Path(__file__).resolve().parent.parent
SMALL = Case(
    suite="depthwise",
    name="small",
    layer=Transposed(kernel=4, stride=2, padding=1, bias=False),
    shape=(1, 6, 5, 7),
)
KEY = row.Key(case=SMALL, dtype="float32", work="forward", threads=1)
QUICK = Seconds(reused=0.001, fresh=0.001)


class NoMeter:
    def peak(self, *words, **more):
        return 0


@pytest.fixture(autouse=True)
def same_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def without_engines(monkeypatch):
    """ONNX Runtime and OpenVINO are no dependencies of the package."""
    monkeypatch.setattr("benchmarks.peers.model", lambda case: None)


def a_time(who, layout, ms, outputs="reused"):
    return {"who": who, "layout": layout, "outputs": outputs, "ms": ms, "iqr": 0.0, "runs": 5}


def a_row(name="r", **more):
    times = [
        a_time("upstroke", "contiguous", 2.0),
        a_time("upstroke", "channels-last", 1.0),
        a_time("PyTorch", "contiguous", 8.0),
        a_time("PyTorch", "channels-last", 1.5),
        a_time("OpenVINO", "contiguous", 3.0),
        a_time("ONNX Runtime", "contiguous", 4.0),
        a_time("upstroke", "contiguous", 10.0, "fresh"),
        a_time("PyTorch", "channels-last", 5.0, "fresh"),
    ]
    copy = [{"outputs": "reused", "ms": 0.8, "iqr": 0.0, "runs": 5}]
    return {"row": name, "times": times, "copy": copy} | more


# What is committed


def test_the_page_says_what_the_results_say():
    assert pages.PAGE.read_text() == pages.page(pages.PAGE.read_text())


def test_the_readme_says_what_the_results_say():
    assert pages.README.read_text() == pages.readme(pages.README.read_text())


@pytest.mark.skipif(not all(results.load(suite)[1] for suite in SUITES), reason="not all was measured yet")
def test_the_choices_are_made_from_the_results():
    assert table.TABLE.read_text() == table.table()
    assert table.DENSE_TABLE.read_text() == table.dense_table()
    assert table.RESIZE_TABLE.read_text() == table.resize_table()
    assert table.PEER_TABLE.read_text() == table.peer_table()


def test_the_choice_of_minimal_filtering_is_made_from_its_results():
    assert minimal.TABLE.read_text() == minimal.table()


@pytest.mark.skipif(native() is None, reason="the compiled kernels are not there")
def test_minimal_filtering_is_measured_where_it_is_right(monkeypatch):
    monkeypatch.setattr(minimal, "SECONDS", 0.001)
    layer = Transposed(out=3, kernel=4, stride=2, padding=1, bias=False)
    case = Case(suite="minimal", name="small", layer=layer, shape=(2, 2, 5, 5))
    row = minimal.measured(case, "channels-last")
    assert (row.axes, row.layout, row.batch, row.channels) == (2, "channels-last", 2, (2, 3))
    assert (row.cells, row.taps, row.phases) == (25, 16, 4)
    assert min(row.otherwise, row.filtered, row.preparing) > 0
    monkeypatch.setattr(minimal, "run", lambda *_: torch.zeros(2, 3, 10, 10))
    with pytest.raises(SystemExit, match=r"^small/channels-last: off by 1\.0e\+00, so not timed$"):
        minimal.measured(case, "channels-last")


def test_results_are_of_rows_that_there_are():
    names = {key.name for key in keys()}
    for suite in SUITES:
        assert {row["row"] for row in results.load(suite)[1]} <= names


# Cases


def test_every_row_has_a_name_of_its_own():
    names = [key.name for key in keys()]
    assert len(set(names)) == len(names)
    assert {case.suite for case in CASES} == set(SUITES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_layers_of_a_case_have_the_same_parameters_and_output(case):
    theirs, ours = pytorchs(case), upstrokes(case)
    assert {n: p.shape for n, p in ours.named_parameters()} == {
        n: p.shape for n, p in theirs.named_parameters()
    }
    with torch.device("meta"):
        x = torch.empty(1, *case.shape[1:])
        samples = theirs.to("meta").eval()(x).shape
    # a whole multiple of the input along every axis; a single cell becomes 4 samples or more
    scales = {n / m for n, m in zip(samples[2:], case.shape[2:], strict=True)}
    assert len(scales) == 1
    assert min(scales) >= 2


def test_readme_shows_rows_that_there_are():
    known = {(key.case.name, key.dtype, key.work) for key in keys()}
    assert set(pages.CHOSEN) <= known


# The gate


def test_a_wrong_form_of_ours_ends_the_run(monkeypatch, without_engines):
    right = IMPLS["shuffle"]
    monkeypatch.setitem(IMPLS, "shuffle", lambda x, operator: right(x, operator) * 1.01)
    with pytest.raises(
        SystemExit, match=r"^small \| .*/form shuffle, contiguous: off by 1.0e-02, so not timed$"
    ):
        measured(KEY, QUICK, NoMeter())


def test_a_wrong_peer_is_named_and_not_timed(monkeypatch, without_engines):
    def wrong(case, *, dtype, work, threads):
        module = torch.nn.Sequential(pytorchs(case), torch.nn.Dropout2d(0.5))
        peer = of_module("PyTorch", module, case, dtype=dtype, layout="contiguous", work=work)
        module.train()
        yield peer

    monkeypatch.setattr(row, "peers", wrong)
    found = measured(KEY, QUICK, NoMeter())
    assert [each["who"] for each in found["wrong"]] == ["PyTorch"]
    assert found["wrong"][0]["error"] > 0.1
    assert "PyTorch" not in {time["who"] for time in found["times"]}
    assert "upstroke" in {time["who"] for time in found["times"]}


@pytest.mark.parametrize("value", [float("nan"), 1e-4], ids=["NaN", "one wrong number"])
def test_one_wrong_number_is_seen(value):
    expected = gate.expected(SMALL, torch.float32, "forward")
    with torch.no_grad():
        y = pytorchs(SMALL)(row.torch.randn(SMALL.shape, generator=torch.Generator().manual_seed(0)))
    assert gate.verdict(_giving(y), expected).right
    spoilt = y.clone()
    spoilt[0, 5, 3, 4] += value
    assert not gate.verdict(_giving(spoilt), expected).right
    assert not gate.verdict(_giving(y[..., :-1]), expected).right


def test_a_map_that_comes_out_in_another_layout_is_seen():
    expected = gate.expected(SMALL, torch.float32, "forward")
    y = torch.zeros(1, 6, 10, 14)
    assert gate.verdict(_giving(y), expected).keeps_layout
    assert not gate.verdict(_giving(y.to(memory_format=torch.channels_last)), expected).keeps_layout


@pytest.mark.parametrize("layer", [SMALL.layer, Fixed(mode="cubic")], ids=["depthwise", "fixed"])
@pytest.mark.parametrize("work", ["forward", "forward+backward"])
def test_three_channels_are_expected_as_in_the_whole(layer, work):
    case = Case(suite="depthwise", name=f"{layer}", layer=layer, shape=(1, 6, 5, 7))
    assert gate.expected(case, torch.float64, work).channels == [0, 2, 5]
    whole = of_module("PyTorch", pytorchs(case), case, dtype=torch.float64, layout="contiguous", work=work)
    assert gate.verdict(whole, gate.expected(case, torch.float64, work)).right


def _giving(y):
    return Contender(who="x", layout="contiguous", computed=lambda: {"y": y}, call=lambda: y)


# A row


def test_a_row_holds_everybody(without_engines):
    found = measured(KEY, QUICK, NoMeter())
    names = {(time["who"], time["layout"]) for time in found["times"]}
    layouts = ("contiguous", "channels-last")
    assert names >= {(who, layout) for who in ("upstroke", "PyTorch") for layout in layouts}
    assert found["wrong"] == []
    # 6 channels of 5 x 7 cells and of 10 x 14 samples
    assert found["bytes"] == 4 * 6 * (35 + 140)
    assert json.loads(json.dumps(found)) == found


# Allocation and memory


def test_outputs_lie_in_the_memory_that_is_asked_for():
    """In a process of its own, because it tells malloc what to do."""
    code = """
import torch
from benchmarks import allocation
x = torch.ones(1 << 20)
pages = x.nbytes // 4096
for _ in range(2):
    allocation.reuse_pages(16 * x.nbytes)
    found = [allocation.faults(x.clone) for _ in range(12)]
    print(max(found[-4:]) < 8, end=" ")
    allocation.map_fresh_pages()
    x.clone()
    allocation.forget()
    print(allocation.faults(x.clone) >= pages, end=" ")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 4


def test_the_peak_of_a_resize_is_its_output():
    meter = row.Meter()
    asked = {"who": "PyTorch", "dtype": torch.float32, "layout": "channels-last", "work": "forward"}
    try:
        peak = meter.peak("bilinear x2, 3 @512x512", **asked)
        # one that fails says so, and the next is answered
        with pytest.raises(
            SystemExit, match=r"^the process that measures memory failed at no case, PyTorch, "
        ):
            meter.peak("no case", **asked)
        assert meter.peak("bilinear x2, 3 @512x512", **asked) == pytest.approx(peak, rel=0.1)
    finally:
        meter.close()
    assert peak == pytest.approx(3 * 1024**2 * 4, rel=0.1)


# Results


def test_a_run_that_was_ended_goes_on_with_the_same_settings_alone(tmp_path):
    path = tmp_path / "unfinished.jsonl"
    results.Unfinished("a", path).add(a_row("one"))
    results.Unfinished("b", path).add(a_row("two"))
    with path.open("a") as file:
        file.write('{"settings": "a", "row": {"row": "cut o')
    assert [row["row"] for row in results.Unfinished("a", path).rows()] == ["one"]
    results.Unfinished("a", path).forget()
    assert results.Unfinished("a", path).rows() == []


def test_new_rows_take_the_place_of_old_ones_of_the_same_machine(tmp_path):
    machine = {"processor": "p", "torch": "2"}
    order = ["one", "two"]
    results.save("s", machine, [a_row("two", new=1), a_row("gone")], order=order, folder=tmp_path)
    results.save("s", machine, [a_row("one", new=2)], order=order, folder=tmp_path)
    assert [(row["row"], row["new"]) for row in results.load("s", tmp_path)[1]] == [("one", 2), ("two", 1)]
    results.save("s", machine | {"processor": "q"}, [a_row("two", new=3)], order=order, folder=tmp_path)
    assert [(row["row"], row["new"]) for row in results.load("s", tmp_path)[1]] == [("two", 3)]


def test_rows_that_nobody_knows_are_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run", "--only", "cubical"])
    with pytest.raises(SystemExit, match=r"^no row's name holds 'cubical'; --list prints them all$"):
        run.main()


# Reading


def test_ratios_are_those_of_the_times():
    contiguous, last = shown(a_row())
    assert (contiguous.over_contiguous, contiguous.over_best, contiguous.over_other) == (4.0, 0.75, 1.5)
    assert (contiguous.best_layout, contiguous.other_name) == ("channels-last", "OpenVINO")
    assert (contiguous.share, contiguous.fresh) == (0.4, 0.5)
    assert (last.over_contiguous, last.over_best, last.fresh) == (8.0, 1.5, None)


def test_a_row_that_is_lost_says_so():
    assert pages._times(0.75) == "0.75 **slower**"
    assert pages._times(0.96) == "0.96"
    assert pages._times(None) == pages.NOTHING


def test_savings_are_those_of_multiply_adds():
    savings = {
        (case.shape[1], case.layer.order): round(saving(case), 1)
        for case in CASES
        if isinstance(case.layer, Separable)
    }
    assert savings == {
        (64, "depthwise-first"): 3.8,
        (64, "pointwise-first"): 12.8,
        (256, "depthwise-first"): 3.9,
        (256, "pointwise-first"): 15.1,
    }
    times = [a_time("upstroke", "contiguous", 2.0), a_time("dense form x", "channels-last", 7.0)]
    assert dense_over_separable(a_row() | {"times": times}, "contiguous") == 3.5


def test_the_page_shows_what_is_lost_and_what_is_wrong(tmp_path):
    row = a_row("bilinear x2, 64 @128x128 | float32 | forward | 1 thread") | {
        "suite": "depthwise",
        "case": "bilinear x2, 64 @128x128",
        "dtype": "float32",
        "work": "forward",
        "threads": 1,
        "bytes": 20_000_000,
        "peak": [
            {"who": who, "layout": "contiguous", "bytes": n << 20}
            for who, n in (("upstroke", 9), ("PyTorch", 7))
        ],
        "compile": [{"who": "torch.compile", "layout": "contiguous", "seconds": 12.0}],
        "wrong": [{"who": "ONNX Runtime", "layout": "contiguous", "error": 0.25}],
        "other layout": ["upstroke, channels-last"],
        "commit": "abc",
        "date": "2026-01-02T03:04",
    }
    results.save("depthwise", {"processor": "p"}, [row], order=[row["row"]], folder=tmp_path)
    page = pages.page(f"before\n{pages.START}\nold\n{pages.END}\nafter", tmp_path)
    assert page.startswith(f"before\n{pages.START}\n")
    assert page.endswith(f"{pages.END}\nafter")
    assert "old" not in page
    lines = page.replace(pages.SPACE, " ").splitlines()
    assert lines[lines.index("### Forward, float32") + 4 :][:2] == [
        (
            "| bilinear x2, 64 @128x128 | contiguous | 2 ± 0 | 4.00 | 0.75 **slower** | 1.50 OpenVINO "
            "| 0.50 **slower** | 9.0 of 7.0 **more** | 40 % |"
        ),
        "|  | channels-last | 1 ± 0 | 8.00 | 1.50 | 3.00 OpenVINO | – | – | 80 % |",
    ]
    assert any(
        line.startswith(
            "| the same against PyTorch's better layout | ≥ 1.5× | **no**, 1 of 2 | 1.12 | 0.75 |"
        )
        for line in lines
    )
    assert "| copy rate, read and written | 25 GB/s into reused memory |" in lines
    assert "`torch.compile` took 12 to 12 s to compile a layer, apart." in lines
    name = "bilinear x2, 64 @128x128, float32, forward, 1 thread"
    assert (
        f"Wrong, so not timed: ONNX Runtime contiguous ({name}, off by 0.25 of the largest value)." in lines
    )
    assert f"Given back in another layout than it came: {name}." in lines


# The table of choices


def test_forms_of_a_row_become_lines_of_the_table(tmp_path):
    case = next(case for case in CASES if case.name == "U-Net 256->128 k2 s2 @128x128")
    head = {"case": case.name, "work": "gradient in x", "dtype": "float32", "threads": 1}
    times = [
        a_time("form transposed", "contiguous", 5.0),
        a_time("form shuffle", "contiguous", 4.0),
        a_time("convolution own", "channels-last with its weight", 3.0),
        a_time("convolution tiles", "channels-last with its weight", 2.0),
        a_time("convolution tiles", "channels-last with its weight", 1.0, "fresh"),
        a_time("upstroke", "contiguous", 1.0),
    ]
    results.save("dense", {}, [a_row() | head | {"times": times}], order=["r"], folder=tmp_path)
    written: dict[str, object] = {}
    exec(table.table(tmp_path), written)
    (line,) = written["MEASURED"]
    assert line == (
        "dense", "input gradient", 2, 2, 2, (256, 128), 1, 128**2, "contiguous", "float32",
        {"transposed": 5.0, "shuffle": 4.0},
    )  # fmt: skip
    exec(table.dense_table(tmp_path), written)
    assert written["MEASURED"] == {
        ("input gradient", 2, "channels-last with its weight", "tiling"): (
            ((1, 256, 128, 128**2, 4, 4), "tiles"),
        )
    }


def test_forms_of_a_resize_and_convolution_become_lines_of_their_table(tmp_path):
    head = {
        "case": "bilinear x2 + k3, 128->64 @64x64",
        "work": "forward+backward",
        "dtype": "float32",
        "threads": 1,
    }
    times = [
        a_time("resize in a row", "contiguous", 5.0),
        a_time("resize one operator", "contiguous", 4.0),
        a_time("resize in a row", "channels-last", 3.0),
    ]
    results.save("resize_conv", {}, [a_row() | head | {"times": times}], order=["r"], folder=tmp_path)
    written: dict[str, object] = {}
    exec(table.resize_table(tmp_path), written)
    # 2 x 2 phases of 3 x 3 taps; a triangle of 4 samples drawn by a kernel of 3 is 6 long
    size = (64**2, 128, 64, 36, 36)
    assert written["MEASURED"] == {
        (2, "channels-last", True, "training"): ((size, "in a row"),),
        (2, "contiguous", True, "training"): ((size, "one operator"),),
    }
