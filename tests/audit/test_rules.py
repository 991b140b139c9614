"""Hold that each rule fires on the model that it is about and not on its neighbour; walk the table."""

import inspect
import math
import re
from dataclasses import replace

import pytest
import torch

from strategies import seeded
from upstroke.audit import RULES, SEVERITIES, Verdict, check, page_of
from upstroke.errors import OptionError
from upstroke.graph import Graph, Node
from upstroke.graph.steps import (
    Convolution,
    Join,
    Other,
    PerChannel,
    PixelShuffle,
    Pointwise,
    Pool,
    Resize,
    Softmax,
    Stays,
    TransposedConvolution,
    Unread,
)


def grown(kernel=(4, 4), stride=(2, 2), dilation=(1, 1), scale_rows=1.5, weight=None, bias=None):
    """A transposed convolution with trained-looking weights, unbalanced unless scale_rows is 1."""
    if weight is None:
        weight = torch.randn(8, 8, *kernel, generator=seeded(0)).abs()
        weight[:, :, ::2] *= scale_rows
    return TransposedConvolution(
        weight=weight,
        bias=bias,
        stride=stride,
        padding=((1, 1), (1, 1)),
        output_padding=(0, 0),
        dilation=dilation,
    )


def conv(kernel, channels=(8, 8)):
    return Convolution(
        weight=torch.ones(channels[1], channels[0], kernel, kernel) / (channels[0] * kernel**2),
        bias=None,
        stride=(1, 1),
        padding=((kernel // 2, kernel // 2),) * 2,
        dilation=(1, 1),
    )


def strided(kernel, stride=(2, 2), dilation=(1, 1)):
    """A convolution that makes maps smaller."""
    return Convolution(
        weight=torch.ones(8, 8, *kernel),
        bias=None,
        stride=stride,
        padding=((1, 1),) * 2,
        dilation=dilation,
    )


def row(*steps, size=(8, 8)):
    """A graph of steps in a row; each is named after its place and kind."""
    nodes = tuple(
        Node(
            name=f"{type(step).__name__}{place}",
            operator=type(step).__name__,
            inputs=(f"t{place}",),
            output=f"t{place + 1}",
            step=step,
        )
        for place, step in enumerate(steps)
    )
    return Graph(
        model="row",
        source="by hand",
        nodes=nodes,
        inputs=("t0",),
        outputs=(f"t{len(steps)}",),
        shapes={"t0": (1, 8, *size)},
    )


TANH = Pointwise()
BALANCED = torch.ones(8, 8, 4, 4)
NEAREST = Resize(mode="nearest", scale=(2.0, 2.0), coordinates="asymmetric")
LINEAR = Resize(mode="linear", scale=(2.0, 2.0), coordinates="asymmetric")
CORNERS = Resize(mode="linear", scale=(2.0, 2.0), coordinates="align_corners")


class Skip(torch.nn.Module):
    """A map halved, grown again, and added to itself."""

    def __init__(self, up):
        super().__init__()
        self.up = up

    def forward(self, x):
        return self.up(torch.nn.functional.max_pool2d(x, 2)) + x


ROUNDS = torch.nn.Sequential(torch.nn.MaxPool2d(2), torch.nn.Upsample(scale_factor=2))
FIRES = {
    "UP101": row(grown(kernel=(3, 4)), TANH),
    "UP102": row(grown(), TANH, conv(3)),
    "UP103": row(strided((4, 3)), TANH),
    "UP104": row(NEAREST, TANH),
    "UP105": row(grown(), TANH),
    "UP202": row(CORNERS),
    "UP205": row(grown(), TANH),
    "UP301": row(NEAREST, conv(3)),
    "UP302": row(NEAREST, conv(1)),
    "UP201": Skip(torch.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)),
    "UP203": ROUNDS,
    "UP204": torch.nn.ConvTranspose2d(1, 1, 3, stride=2),
    "UP303": row(Resize(mode="cubic", scale=(2.0, 2.0), coordinates="half_pixel"), size=(512, 512)),
    "UP304": row(grown(weight=torch.ones(8, 8, 4, 4))),
    "UP401": row(grown(kernel=(2, 2))),
    "UP402": row(LINEAR),
}
RESTS = {
    "UP101": row(grown(kernel=(4, 6)), TANH),
    "UP102": row(grown(weight=BALANCED), TANH),
    "UP103": row(strided((4, 6)), TANH),
    "UP104": row(LINEAR, TANH),
    "UP105": row(grown(), TANH, conv(3)),
    "UP202": row(Resize(mode="linear", scale=(2.0, 2.0), coordinates="half_pixel")),
    "UP205": row(grown(kernel=(2, 2)), TANH),
    "UP301": row(NEAREST, TANH, conv(3)),
    "UP302": row(grown(kernel=(2, 2)), TANH, conv(1)),
    "UP201": Skip(torch.nn.Upsample(scale_factor=2)),
    "UP203": torch.nn.Upsample(scale_factor=2),
    "UP204": torch.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1),
    "UP303": row(NEAREST, conv(3)),
    "UP304": row(grown(weight=torch.randn(8, 8, 4, 4, generator=seeded(0)))),
    "UP401": row(NEAREST),
    "UP402": row(NEAREST),
}
# What sizes are tried on, where a rule asks for a model that can be run.
EXAMPLE = torch.rand(1, 1, 8, 8)


def asked(subject, code):
    return check(subject, None if isinstance(subject, Graph) else EXAMPLE, select=[code])


@pytest.mark.parametrize("code", sorted(RULES))
def test_each_rule_fires_on_its_model_and_rests_on_its_neighbour(code):
    (finding,) = asked(FIRES[code], code).findings
    assert finding.rule is RULES[code]
    assert finding.severity == RULES[code].severity
    judged = [each.verdicts[code].kind for each in asked(RESTS[code], code).judged if each.verdicts]
    assert judged
    assert set(judged) == {"ok"}


@pytest.mark.parametrize("code", sorted(RULES))
def test_each_rule_has_a_reason_a_remedy_and_a_page(code):
    rule = RULES[code]
    assert rule.severity in SEVERITIES
    assert all((rule.title, rule.unit, rule.reason, rule.remedy))
    page = page_of(code.lower())
    headings = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    assert headings == ["What it finds", "Why it matters", "Example", "Use instead", "Is the change exact?"]
    title, facts, *_ = page.split("\n\n")
    assert title == f"# {code}: {rule.title}"
    assert facts.startswith(f"Severity: {rule.severity}")
    (said,) = re.findall(r"Threshold: (any|−?\d+(?:\.\d+)?)", facts)
    assert float(said.replace("any", "0").replace("−", "-")) == rule.threshold
    matters = page.split("## ")[2]
    assert "](https://" in matters or "](../benchmarks.md)" in matters, "a reason has a source"
    assert "](../idea.md" in matters or "](../benchmarks.md)" in matters, "a number has a derivation"


UP1 = [code for code in sorted(RULES) if code.startswith("UP1")]


def test_rules_are_chosen_by_their_beginnings():
    graph = FIRES["UP105"]
    rules = check(graph, select=["up1"], ignore=["UP102"]).rules
    assert [rule.code for rule in rules] == [code for code in UP1 if code != "UP102"]
    for code in ("UP9", ""):
        message = f"rules are {', '.join(sorted(RULES))}, or what these begin with; got {code!r}"
        with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
            check(graph, ignore=[code])


def verdict(graph, code):
    return check(graph).sites[0].verdicts[code]


def test_dilation_that_shares_a_factor_is_uneven_overlap():
    assert verdict(row(grown(kernel=(4, 4), dilation=(2, 1))), "UP101").kind == "finding"
    assert verdict(row(grown(kernel=(4, 4), dilation=(3, 1))), "UP101").kind == "ok"


def test_the_measure_is_the_pattern_relative_to_the_constant():
    # rows of phase 0 have 1.5 times the weights of phase 1: (1.5 - 1) / (1.5 + 1) of the constant
    weight = torch.ones(8, 8, 4, 4)
    weight[:, :, ::2] *= 1.5
    found = verdict(row(grown(weight=weight), TANH), "UP102")
    assert found.measure == pytest.approx(20 * math.log10(0.2))
    assert found.words == (
        "constants in its 8 input channels, one at a time, come out with a pattern of period 2x2, 14.0 dB below them "
        "(20 % of them, root mean square over channel pairs)"
    )


def test_the_chain_decides_and_not_the_layer_alone():
    weight = torch.ones(8, 8, 4, 4)
    weight[:, :, ::2] *= 1.2
    blur = Convolution(
        weight=torch.ones(8, 1, 2, 1) / 2,
        bias=None,
        stride=(1, 1),
        padding=((1, 0), (0, 0)),
        dilation=(1, 1),
        groups=8,
    )
    assert verdict(row(grown(weight=weight), TANH, blur), "UP102").kind == "finding"
    assert verdict(row(grown(weight=weight), blur, TANH), "UP102").kind == "ok"


def test_a_bias_that_differs_between_phases_is_a_pattern():
    weight = torch.zeros(8, 8, 1, 1)
    weight[::2] = weight[1::2] = 1.0
    conv_before = Convolution(
        weight=weight,
        bias=torch.tensor([0.0, 1.0]).repeat(4),
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=(1, 1),
    )
    found = verdict(row(conv_before, PixelShuffle(scale=(2, 1)), TANH), "UP102")
    assert found.kind == "finding"
    assert found.words.startswith("its biases add a pattern of period 2x1, ")


def test_kernels_that_sum_to_zero_leave_a_pattern_alone():
    weight = torch.ones(8, 8, 4, 4)
    weight[:, :, ::2] *= -1
    found = verdict(row(grown(weight=weight), TANH), "UP102")
    assert (found.kind, found.measure) == ("finding", None)
    assert (
        "a pattern of period 2x2, and nothing else of a constant comes through, because its weights sum to zero"
        in found.words
    )


def test_untrained_weights_give_notes():
    torch.manual_seed(0)
    graph = row(grown(weight=torch.nn.ConvTranspose2d(8, 8, 4).weight.detach()), TANH)
    findings = check(graph).findings
    codes = ("UP102", "UP104", "UP105", "UP205")
    assert [(each.rule.code, each.severity) for each in findings] == [(code, "note") for code in codes]
    assert findings[0].verdict.words.endswith("; its weights look untrained, so this is at initialisation")


@pytest.mark.parametrize("size", [(1, 1), (1, 8)])
def test_a_map_of_one_cell_can_hold_no_pattern(size):
    found = check(row(grown(kernel=(3, 3)), TANH, size=size)).sites[0].verdicts
    kinds = [found[code].kind for code in ("UP101", "UP102", "UP105")]
    assert kinds == (["ok"] * 3 if size == (1, 1) else ["finding"] * 3)
    assert found["UP101"].note is found["UP102"].note is (size == (1, 1))
    if size == (1, 1):
        assert found["UP102"].words == (
            "the map that comes in has one cell (1x1), so nothing repeats and no pattern can form"
        )


REPAIRERS = {
    "a convolution": conv(3),
    "a pool": Pool(kernel=(2, 2), stride=(2, 2), padding=((0, 0), (0, 0)), kind="mean"),
    "attention": Other(),
    "a softmax over positions": Softmax(axis=3),
    "a table that varies over the map": Stays(),
    "what is not known": Unread(reason="it is odd"),
    "a transposed convolution that overlaps": grown(weight=BALANCED),
}
BYSTANDERS = {
    "1x1 convolution": conv(1),
    "a scale": PerChannel(gain=torch.ones(8), shift=None),
    "a nearest resize": Resize(mode="nearest", scale=(2.0, 2.0), coordinates="asymmetric"),
    "a transposed convolution that does not overlap": grown(kernel=(2, 2)),
    "a join": Join(kind="add"),
    "a softmax over channels": Softmax(axis=1),
    "a normalisation": Stays(by_place=False),
}


@pytest.mark.parametrize("name", sorted(REPAIRERS))
def test_what_mixes_neighbours_could_repair(name):
    found = verdict(row(grown(), TANH, REPAIRERS[name], TANH), "UP105")
    assert (found.kind, found.words.endswith(" comes later and could repair it")) == ("ok", True)


@pytest.mark.parametrize("name", sorted(BYSTANDERS))
def test_what_works_on_each_sample_alone_does_not(name):
    assert verdict(row(grown(), TANH, BYSTANDERS[name], TANH), "UP105").kind == "finding"


def test_one_way_to_an_output_without_repair_is_enough():
    graph = row(grown(), TANH, conv(3))
    shown = Graph(
        model="two outputs",
        source="by hand",
        nodes=graph.nodes,
        inputs=graph.inputs,
        outputs=("t2", "t3"),
        shapes=graph.shapes,
    )
    assert verdict(graph, "UP105").kind == "ok"
    assert verdict(shown, "UP105").kind == "finding"


def test_align_corners_is_measured_in_pixels_of_the_layers_input():
    sized = row(CORNERS)
    sized = Graph(
        model="sized",
        source="by hand",
        nodes=sized.nodes,
        inputs=("t0",),
        outputs=("t1",),
        shapes={"t0": (1, 8, 8, 6), "t1": (1, 8, 16, 12)},
    )
    found = verdict(sized, "UP202")
    assert found.measure == 0.25
    assert found.words == (
        "align_corners keeps the corner samples in place, so the distance between samples follows the size: "
        "at 8x6 to 16x12 they lie 7/15 = 0.4667, 5/11 = 0.4545 pixels apart, and at the edges 0.25 pixels off "
        "the half-pixel grid"
    )
    skipped = check(sized).sites[0].verdicts["UP102"]
    assert skipped.kind == "skipped"


UNREADABLE = {
    "a shuffle behind a nonlinearity": (
        row(conv(3), TANH, PixelShuffle(scale=(2, 2))),
        "its phases come from Pointwise Pointwise1 and not straight from a convolution of stride 1, so what it makes of a constant depends on the data",
    ),
    "NaN": (
        row(grown(weight=torch.full((8, 8, 4, 4), math.nan))),
        "NaN or infinite weights in its chain: 1024; take an earlier checkpoint",
    ),
    "infinity in a bias": (
        row(grown(bias=torch.full((8,), math.inf))),
        "NaN or infinite weights in its chain: 8; take an earlier checkpoint",
    ),
    "zeros": (
        row(grown(weight=torch.zeros(8, 8, 4, 4))),
        "all weights of a stage in its chain are zero, so there is nothing to measure",
    ),
    "an operator nobody knows": (
        row(Unread(reason="acme::Up is no operator of ONNX")),
        "acme::Up is no operator of ONNX",
    ),
    "a scale that is not whole": (
        row(Resize(mode="linear", scale=(1.5, 2.0), coordinates="half_pixel")),
        "a resize by 1.5x2 is no whole number of output samples per cell on every axis",
    ),
}


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_cannot_be_read_is_skipped_with_the_reason(name):
    graph, reason = UNREADABLE[name]
    report = check(graph)
    (judged,) = (each for each in report.sites if each.reading.reason)
    assert judged.is_skipped
    assert {each.words for each in judged.verdicts.values()} == {reason}
    record = report.as_json()
    assert [each["reason"] for each in record["skipped"]] == [reason]
    assert record["summary"]["skipped"] == 1


def test_at_least_one_rule_is_asked():
    message = "at least one rule must be asked; UP1 without UP10 leaves none; ignore fewer"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        check(FIRES["UP105"], select=["UP1"], ignore=["UP10"])


def test_there_is_no_other_probe():
    message = "probe must be None, 'values', 'geometry' or 'all'; got 'x'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        inspect.unwrap(check)(FIRES["UP105"], probe="x")


def test_a_model_may_be_named():
    assert check(FIRES["UP105"], name="mine").as_json()["model"] == "mine"


def learned(weight, bias=None, groups=1):
    return Convolution(
        weight=weight, bias=bias, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=groups
    )


def test_biases_are_heard_behind_kernels_that_sum_to_zero():
    edges = torch.tensor([1.0, -1.0]).repeat(8, 8, 1, 1)
    report = check(row(learned(edges, torch.arange(8.0)), PixelShuffle(scale=(2, 2)), TANH))
    found = report.sites[0].verdicts["UP102"]
    assert found.kind == "finding"
    assert (
        "a pattern of period 2x2, and nothing else of a constant comes through, because its weights sum to zero"
        in found.words
    )


def test_numbers_per_channel_may_stand_between_a_convolution_and_its_shuffle():
    weight = torch.ones(8, 8, 1, 1)
    gain = torch.tensor([1.0, 1.5]).repeat(4)
    norm = PerChannel(gain=gain, shift=None)
    report = check(row(learned(weight), norm, PixelShuffle(scale=(2, 1)), TANH))
    reading = report.sites[0].reading
    assert [node.name for node in reading.site.layer] == ["Convolution0", "PerChannel1", "PixelShuffle2"]
    # 1 against 1.5: a quarter up and down around 1.25
    assert reading.own.worst == pytest.approx(20 * math.log10(0.2))


def test_a_mean_over_windows_behind_a_layer_is_part_of_its_chain():
    weight = torch.ones(8, 8, 4, 4)
    weight[:, :, ::2] *= 1.5
    mean = Pool(kernel=(2, 2), stride=(1, 1), padding=((1, 0), (1, 0)), kind="mean")
    assert verdict(row(grown(weight=weight), mean, TANH), "UP102").words == "constants come out constant"
    largest = Pool(kernel=(2, 2), stride=(1, 1), padding=((1, 0), (1, 0)), kind="max")
    assert verdict(row(grown(weight=weight), largest, TANH), "UP102").kind == "finding"


def test_words_name_the_constants_that_are_meant():
    behind = verdict(
        row(conv(1), grown(weight=BALANCED * torch.tensor([1.5, 1.0] * 2)[:, None]), TANH), "UP102"
    )
    assert behind.words.startswith(
        "constants in the input channels of its chain, one at a time, come out with"
    )


def test_each_layer_of_a_chain_answers_for_its_own_pattern():
    nearest = Resize(mode="nearest", scale=(2.0, 2.0), coordinates="asymmetric")
    report = check(row(nearest, conv(3), grown(), TANH))
    kinds = [each.verdicts["UP102"].kind for each in report.sites]
    assert kinds == ["ok", "finding"]


def test_a_map_that_nobody_takes_reaches_no_output():
    graph = row(grown(), TANH)
    dead = Graph(
        model="dead",
        source="by hand",
        nodes=graph.nodes,
        inputs=("t0",),
        outputs=("t0",),
        shapes=graph.shapes,
    )
    assert verdict(dead, "UP105").words == "its map reaches no output of the model"


def test_fixed_kernels_are_not_blamed_for_uneven_overlap():
    report = check(row(Resize(mode="linear", scale=(2.0, 2.0), coordinates="asymmetric")))
    found = report.sites[0].verdicts["UP101"]
    assert (found.kind, found.words) == (
        "ok",
        "1 to 4 taps, of a fixed kernel: no training will make them unequal",
    )


def test_few_weights_tell_nothing_and_the_finding_says_so():
    weight = torch.ones(2, 2, 2, 2)
    weight[:, :, 0] *= 3
    found = verdict(row(grown(weight=weight), TANH), "UP102")
    assert (found.kind, found.severity) == ("finding", None)
    assert found.words.endswith("; it has too few weights to tell whether they are trained")


@pytest.mark.parametrize(
    "step",
    [
        Resize(mode="linear", scale=(1e6, 1e6), coordinates="half_pixel"),
        Resize(mode="nearest", scale=(math.inf, 2.0), coordinates="half_pixel"),
        grown(stride=(2**40, 2)),
        grown(dilation=(2**40, 2)),
    ],
)
def test_what_no_memory_holds_is_skipped_before_it_is_made(step):
    (judged,) = check(row(step)).sites
    assert judged.is_skipped
    assert "is larger than any that can be measured" in judged.reading.reason


def test_no_second_copy_of_the_weights_is_kept():
    reading = check(row(grown(weight=torch.randn(64, 64, 4, 4, generator=seeded(0))), TANH)).sites[0].reading
    kept = [value for value in vars(reading).values() if isinstance(value, torch.Tensor)]
    assert sum(value.numel() for value in kept) + reading.pattern.gain.numel() < 100


def test_corners_of_a_map_of_one_cell_have_no_distance():
    graph = row(CORNERS, size=(1, 1))
    assert check(graph, select=["UP202"]).findings == ()


@pytest.mark.parametrize(("louder", "kind"), [(1.015, "ok"), (1.025, "finding")])
def test_the_threshold_is_one_per_cent_of_the_constant(louder, kind):
    weight = torch.ones(8, 8, 4, 4)
    # (louder - 1) / (louder + 1): 0.74 % and 1.2 %
    weight[:, :, ::2] *= louder
    assert verdict(row(grown(weight=weight), TANH), "UP102").kind == kind


def test_one_tap_more_is_uneven():
    step = TransposedConvolution(
        weight=torch.ones(8, 8, 3),
        bias=None,
        stride=(2,),
        padding=((1, 1),),
        output_padding=(0,),
        dilation=(1,),
    )
    found = verdict(row(step, size=(8,)), "UP101")
    assert (found.kind, found.measure) == ("finding", 1.0)


def test_nothing_is_shown_of_a_pattern_that_cannot_form():
    (site,) = check(row(grown(), TANH, size=(1, 1))).as_json()["sites"]
    hidden = ("pattern", "pattern_db", "image_gain_db", "chain_image_gain_db", "bias_db", "strang_fix_order")
    assert {site[key] for key in hidden} == {None}
    (site,) = check(row(grown(), TANH)).as_json()["sites"]
    assert site["pattern"] is not None
    assert site["image_gain_db"] < 0


def shaped(graph, **shapes):
    """The same graph with the shapes of more maps known."""
    return replace(graph, shapes={**graph.shapes, **shapes})


def reduction(graph):
    return check(graph, select=["UP103"]).reductions[0].verdicts["UP103"]


@pytest.mark.parametrize(
    ("kernel", "dilation", "counts"),
    [
        ((7, 7), (1, 1), [[9, 12], [12, 16]]),
        ((3, 4), (1, 1), [[2, 2], [4, 4]]),
        ((4, 2), (2, 1), [[0, 0], [4, 4]]),
        ((1, 1), (1, 1), [[0, 0], [0, 1]]),
    ],
)
def test_the_gradient_is_counted_as_the_windows_that_read_each_cell(kernel, dilation, counts):
    found = reduction(row(strided(kernel, dilation=dilation), TANH, size=(16, 16)))
    flat = [count for line in counts for count in line]
    assert (found.kind, found.measure) == ("finding", float(max(flat) - min(flat)))
    assert str(counts) in found.words
    # the outsider: how often PyTorch's convolution of ones answers to each cell, away from the border
    x = torch.zeros(1, 1, 24, 24, requires_grad=True)
    windows = torch.nn.functional.conv2d(x, torch.ones(1, 1, *kernel), stride=2, padding=1, dilation=dilation)
    windows.sum().backward()
    assert x.grad[0, 0, 10:12, 10:12].tolist() == counts


def test_cells_that_no_window_reads_are_said():
    found = reduction(row(strided((1, 1))))
    assert found.words.endswith("; 3 of 4 cells are never read and get no gradient")


def test_an_axis_with_one_output_sample_repeats_nothing():
    graph = row(strided((3, 4)), TANH, size=(4, 16))
    assert reduction(graph).kind == "finding"
    found = reduction(shaped(graph, t1=(1, 8, 1, 8)))
    assert (found.kind, found.words) == ("ok", "each cell of its input is read by 6 taps")
    found = reduction(shaped(graph, t1=(1, 8, 1, 1)))
    assert found.words == "its map has one sample, so nothing repeats and its gradient has no pattern"


def test_pools_are_not_judged_by_their_gradient():
    pool = Pool(kernel=(3, 3), stride=(2, 2), padding=((1, 1),) * 2, kind="max")
    assert reduction(row(pool)).kind == "ok"


def test_a_strided_layer_that_no_memory_holds_is_skipped():
    found = reduction(row(strided((4, 4), dilation=(2**40, 1))))
    assert found == Verdict(
        kind="skipped", words="its kernel with its holes is larger than any that is counted"
    )


def test_a_finding_says_what_fix_would_do():
    findings = check(row(grown(kernel=(3, 3)), TANH)).as_json()["findings"]
    fixes = {each["code"]: each["fix"] for each in findings}
    balance = "repair: changes its weights by the least that makes its phases answer a constant alike"
    assert fixes["UP102"] == fixes["UP105"] == balance
    assert fixes["UP101"] == f"{balance}; its overlap stays uneven"
    (found,) = check(FIRES["UP103"]).as_json()["findings"]
    assert found["fix"] is None


def rejection(graph):
    return check(graph, select=["UP104"]).sites[0].verdicts["UP104"]


def test_replicas_are_measured_behind_the_chain():
    assert rejection(row(NEAREST)).measure == pytest.approx(20 * math.log10(math.tan(math.pi / 8)))
    assert rejection(row(NEAREST, conv(3))).kind == "ok"
    # a convolution that passes high frequencies as well as low ones rejects nothing
    sharp = replace(conv(3), weight=torch.zeros(8, 8, 3, 3))
    sharp.weight[:, :, 1, 1] = 1
    found = rejection(row(NEAREST, sharp, TANH))
    assert (found.kind, found.measure) == ("finding", pytest.approx(rejection(row(NEAREST)).measure))
    assert found.words == (
        "the loudest replica of the lower half of the band is 7.7 dB below what it repeats (41 % of it), "
        "behind Convolution Convolution1, and nothing that comes later could take it out"
    )


def test_what_could_learn_to_reject_is_named():
    found = rejection(row(NEAREST, TANH, conv(3)))
    assert found.kind == "ok"
    assert found.words == (
        "replicas up to 7.7 dB below what they repeat (41 % of it); Convolution Convolution2 comes later and "
        "could take them out"
    )


def test_replicas_of_untrained_weights_are_notes():
    torch.manual_seed(0)
    drawn = replace(conv(3), weight=torch.nn.Conv2d(8, 8, 3).weight.detach())
    (found,) = check(row(NEAREST, drawn, TANH), select=["UP104"]).findings
    assert found.severity == "note"
    assert found.verdict.words.endswith("; weights in its chain look untrained, so this is at initialisation")


def test_replicas_of_a_band_that_is_itself_suppressed_have_no_level():
    edges = torch.tensor([1.0, -1.0, 1.0, -1.0])
    weight = torch.outer(edges, edges)[None, None].repeat(8, 8, 1, 1)
    found = rejection(row(grown(weight=weight), TANH))
    assert (found.kind, found.measure) == ("finding", None)
    assert found.words.startswith(
        "replicas of the lower half of the band stand where it is itself suppressed"
    )
    assert rejection(row(NEAREST, size=(1, 1))).kind == "ok"
