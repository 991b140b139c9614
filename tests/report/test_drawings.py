"""Hold the drawings of a checked model: what is drawn where, that it scales, and that nothing is cut."""

import itertools
import re

import pytest

from upstroke.report.svg import filter_grids
from upstroke.report.svg_bars import compared, share, size_strip
from upstroke.report.svg_combs import Comb, combs
from upstroke.report.svg_curves import border_frame, response_curves
from upstroke.report.svg_network import Stop, network_drawing


def stop(kind, number, size, sources, **changes):
    fields = {
        "kind": kind, "number": number, "name": f"net.{kind}{number}", "size": size, "channels": 8, "state": "ok",
        "shape": "✓", "anchor": f"{kind}-{number}", "sources": tuple(sources),
    }  # fmt: skip
    return Stop(**fields | changes)


def unet(levels, *, state="warning"):
    """Down and up again, a join at every level, the drift of its level at each."""
    stops = [stop("input", 1, [64 * 2**levels] * 2, (), anchor=None, state="")]
    for level in range(levels):
        stops.append(stop("reduction", level + 1, [64 * 2 ** (levels - level - 1)] * 2, (level,)))
    for level in range(levels):
        size = [64 * 2 ** (level + 1)] * 2
        stops.append(stop("site", level + 1, size, (len(stops) - 1,)))
        skipped = levels - level - 1
        drift = (f"{-(2**level)}", f"{-(2**level)}")
        stops.append(stop("join", level + 1, size, (len(stops) - 1, skipped), state=state, drift=drift))
    return stops


def bars(drawing):
    """Left, top, width and height of every bar."""
    return [
        tuple(float(each) for each in re.match(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)", mark.path).groups())
        for group in drawing.groups
        for mark in group.marks
        if mark.kind.startswith("bar")
    ]


def texts(drawing):
    marks = [*drawing.marks, *(mark for group in getattr(drawing, "groups", ()) for mark in group.marks)]
    return [mark for mark in marks if mark.words]


def test_a_u_net_is_drawn_as_a_u():
    heights = [high for *_, high in bars(network_drawing(unet(3)))]
    down, up = heights[:4], heights[4::2]
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    # a log scale: every halving takes away as much
    steps = [round(a - b, 2) for a, b in itertools.pairwise(down)]
    assert max(steps) - min(steps) < 0.02
    # what is joined has one height
    assert heights[4::2] == heights[5::2]


@pytest.mark.parametrize("levels", [1, 2, 4, 8, 40])
def test_nothing_overlaps_and_nothing_is_cut(levels):
    drawing = network_drawing(unet(levels))
    of_bars = bars(drawing)
    for (left, _, wide, _), (right, *_) in itertools.pairwise(of_bars):
        assert left + wide < right
    columns = len(drawing.groups)
    pitch = drawing.width / columns
    for group in drawing.groups:
        for mark in group.marks:
            # letters of 11 px type are at most 6.7 px wide on average, and stand in the middle of their column
            letter = 6.1 if mark.kind.startswith("state") else 6.7
            if mark.words and not mark.kind.startswith("drift"):
                assert letter * len(mark.words) <= pitch, mark.words
    for mark in texts(drawing):
        assert 0 < mark.y < drawing.height
        assert 0 < mark.x < drawing.width
    assert all(top > 0 for _, top, *_ in of_bars)


def test_a_small_network_fills_the_width_and_a_large_one_scrolls():
    small, large = network_drawing(unet(2)), network_drawing(unet(40))
    assert 1000 < small.width <= 1050
    assert large.width > 5000
    assert small.height < 420


def test_arcs_go_from_branch_to_join_inner_ones_lower():
    drawing = network_drawing(unet(3))
    arcs = [mark.path for mark in drawing.marks if mark.kind.startswith("arc")]
    ends = []
    for path in arcs:
        start, lane, end = re.match(r"M([\d.]+) [\d.]+V([\d.]+)q.*H([\d.]+)q", path).groups()
        ends.append((float(end) - float(start), float(lane)))
    assert len(ends) == 3
    lanes = [lane for _, lane in sorted(ends)]
    assert all(inner > outer for inner, outer in itertools.pairwise(lanes))
    words = [mark.words for mark in drawing.marks if mark.words]
    assert sorted(words) == ["−1 px", "−2 px", "−4 px"]


def test_a_drift_of_zero_is_not_written_and_unequal_ones_are():
    stops = unet(2)
    still = [
        stop("join", 1, each.size, each.sources, drift=("0", "0")) if each.drift else each for each in stops
    ]
    assert not [mark for mark in network_drawing(still).marks if mark.words]
    odd = [
        stop("join", 1, each.size, each.sources, drift=("0", "7/2")) if each.drift else each for each in stops
    ]
    assert {mark.words for mark in network_drawing(odd).marks if mark.words} == {"0, 3.5 px"}


def test_many_joins_of_which_nothing_is_to_say_share_a_place():
    stops = [stop("input", 1, [32, 48], ())]
    stops += [stop("join", number + 1, [32, 48], (number,)) for number in range(120)]
    stops[60] = stop("join", 60, [32, 48], (59, 2), state="warning", drift=("-2", "0"))
    drawing = network_drawing(stops)
    labels = [mark.words for group in drawing.groups for mark in group.marks if mark.kind == "label"]
    assert labels == ["in", "59 joins", "join 60", "60 joins"]
    # a drift is never hidden, whatever was judged
    stops[80] = stop("join", 80, [32, 48], (79,), drift=("0", "1/2"))
    drifting = network_drawing(stops)
    assert "−0.5 px" not in {mark.words for mark in texts(drifting)}
    assert "0, 0.5 px" in {mark.words for mark in texts(drifting)}
    assert "net.join1 to net.join59" in drawing.groups[1].title
    assert "120 joins" in drawing.title


def test_every_column_says_what_it_is_and_leads_to_its_section():
    place = {"grid": {"offset": [-0.25, 0.0], "spacing": [0.5, 1.0],
                      "exact": {"offset": ["-1/4", "0"], "spacing": ["1/2", "1"]}}, "lost": None}  # fmt: skip
    lost = {"grid": None, "lost": "attention mixes all positions"}
    drawing = network_drawing([
        stop("input", 1, [5, 7], (), anchor=None, state=""),
        stop("site", 1, [10, 7], (0,), state="error", shape="✕", place=place),
        stop("output", 1, [None, 7], (1,), state="partly checked", shape="◐", place=lost),
    ])  # fmt: skip
    assert [group.title for group in drawing.groups] == [
        "in, net.input1, 5×7, 8 channels",
        "up 1, net.site1, 10×7, 8 channels, sample i at −1/4 + 1/2·i and 0 + 1·i input px: error",
        "out, net.output1, ?×7, 8 channels, not located: attention mixes all positions: partly checked",
    ]
    assert [group.anchor for group in drawing.groups] == [None, "site-1", "output-1"]
    assert [mark.words for mark in texts(drawing)] == [
        # strokes and their spacing are those of the last axis
        "in", "5×7", "net.input1", "up 1", "10×7", "✕ error", "net.site1", "1 px", "out", "?×7", "◐ partly",
        "net.output1", "lost",
    ]  # fmt: skip
    assert network_drawing([stop("site", 1, None, ())]) is None
    (samples,) = [mark.path for mark in drawing.groups[1].marks if mark.kind == "sample"]
    (rail,) = [mark.path for mark in drawing.groups[1].marks if mark.kind == "rail"]
    left, wide = (float(each) for each in re.match(r"M([\d.]+) [\d.]+h([\d.]+)", rail).groups())
    # 8 pixels, a sample in the middle of each
    middles = [left + wide * (pixel + 0.5) / 8 for pixel in range(8)]
    assert [float(each) for each in re.findall(r"M([\d.]+) ", samples)] == pytest.approx(middles, abs=0.02)


def strokes(drawing):
    """Where the strokes of each row of samples stand."""
    return [
        [float(each) for each in re.findall(r"M([\d.]+) ", mark.path)]
        for mark in drawing.marks
        if mark.kind == "sample"
    ]


@pytest.mark.parametrize("drift", [-15.0, -0.5, 0.0, 2.0])
def test_combs_stand_apart_by_the_drift(drift):
    rows = [Comb(name="a", offset=drift, spacing=2.0), Comb(name="b", offset=0.0, spacing=2.0)]
    drawing = combs(rows, axis="axis 0", drift="drift")
    zeros = [float(re.match(r"M([\d.]+)", mark.path)[1]) for mark in drawing.marks if mark.kind == "zero"]
    first, second = strokes(drawing)
    two_pixels = second[1] - second[0]
    assert zeros[0] - zeros[1] == pytest.approx(two_pixels * drift / 2, abs=0.05)
    assert all(84 <= each <= 334.01 for each in (*first, *second))
    assert any(each == pytest.approx(zeros[1] + 4, abs=0.02) for each in second)
    assert (len([mark for mark in drawing.marks if mark.kind == "link"]) == 1) == (drift != 0)


@pytest.mark.parametrize(("offset", "spacing"), [(-0.375, 0.25), (0.0, 1.0), (15.5, 32.0), (-700.25, 1.0)])
def test_combs_of_any_grid_stay_in_their_frame(offset, spacing):
    drawing = combs([Comb(name="a very long name", offset=offset, spacing=spacing)], axis="")
    assert drawing.title.startswith("samples over input pixels: a very long name from ")
    for row in strokes(drawing):
        assert all(84 <= each <= 334.01 for each in row)
    assert [mark.words for mark in drawing.marks if mark.kind == "name"] == ["input px", "…y long name"]


def test_replicas_are_marked_where_they_stand():
    frequency = [each / 128 for each in range(65)]
    drawing = response_curves(frequency, [("", [-each * 100 for each in frequency])], scale=2)
    (band,) = [mark.path for mark in drawing.marks if mark.kind == "over warning"]
    left, wide = (float(each) for each in re.match(r"M([\d.]+) [\d.]+h([\d.]+)", band).groups())
    # the lower half of the band, up to 1/8 of a cycle per sample, comes again around 1/2
    assert (left, left + wide) == (40 + 260 * 0.75, 300)
    assert drawing.title == (
        "frequency response in dB over cycles per output sample; up to −37.5 dB where replicas stand"
    )
    one = response_curves(frequency, [("axis 0", [0.0] * 65), ("axis 1", [None] * 65)], scale=1)
    assert not [mark for mark in one.marks if mark.kind == "over warning"]
    assert [mark.words for mark in one.marks if mark.kind == "start small"] == ["axis 0", "axis 1"]


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_there_are_half_as_many_replicas_as_phases_on_one_side(scale):
    drawing = response_curves([0.0, 0.5], [("", [0.0, 0.0])], scale=scale)
    (band,) = [mark.path for mark in drawing.marks if mark.kind == "over warning"]
    assert band.count("M") == scale // 2


def test_levels_below_the_plot_stay_on_it():
    drawing = response_curves([0.0, 0.5], [("", [3.0, -120.0])], scale=2)
    (curve,) = [mark.path for mark in drawing.marks if mark.kind.startswith("curve")]
    assert curve == "M40 20L300 140"


def test_a_border_is_dark_where_something_is_missing():
    drawing = border_frame([[0.5, 0.0], [0.125, 1.0]])
    assert [mark.words for mark in texts(drawing)] == ["12.5 %", "100 %", "50 %", "0 %"]
    assert [mark.kind for mark in drawing.marks if mark.kind.startswith("dark")] == [
        "dark-1",
        "dark-4",
        "dark-3",
    ]
    assert [mark.words for mark in texts(border_frame([[0.25, 0.0]]))] == ["25 %", "0 %"]
    assert border_frame([[None, 0.0]]) is None
    assert border_frame([]) is None


def test_bars_are_as_long_as_their_numbers():
    drawing = compared([("now", 9.0e6), ("then", 4.0e6)], unit="multiply–adds")
    now, then = (
        float(re.search(r"h([\d.]+)", mark.path)[1]) for mark in drawing.marks if mark.kind.startswith("cell")
    )
    assert then / now == pytest.approx(4 / 9, abs=1e-4)
    assert drawing.title == "now 9 M multiply–adds, then 4 M multiply–adds"
    assert compared([("now", 0.0)], unit="") is None


def test_a_share_stands_beside_its_threshold():
    drawing = share(0.5, threshold=0.9, name="energy")
    (part,) = [float(re.search(r"h([\d.]+)", m.path)[1]) for m in drawing.marks if m.kind.startswith("cell")]
    (limit,) = [float(re.match(r"M([\d.]+)", m.path)[1]) for m in drawing.marks if m.kind == "limit"]
    assert part / (limit - 4) == pytest.approx(0.5 / 0.9, abs=1e-3)
    assert drawing.title == "energy 0.5 of 1; threshold 0.9"


def test_sizes_are_told_by_a_sign_as_well():
    drawing = size_strip([(60, "works"), (61, "fails"), (62, "changes"), (63, "unknown")])
    assert [mark.words for mark in texts(drawing)] == ["✓", "60", "✕", "61", "▲", "62", "–", "63"]
    assert drawing.label == "✓ works, ✕ fails, ▲ comes out as another, – does not work"
    many = size_strip([(size, "works") for size in range(100)])
    assert many.title.endswith("63 works and 36 more")
    assert many.width <= 16 * 40
    assert size_strip([]) is None


def test_a_filter_is_drawn_tap_by_tap_with_axes_in_place():
    (drawing,) = filter_grids([[0.0, 0.5, 1.0], [-1.0, 0.25, 0.75]])
    assert (drawing.width, drawing.height) == (72.0, 48.0)
    assert drawing.label == "2×3 taps"
    black = next(mark for mark in drawing.marks if mark.fill == "#000000")
    assert black.path == "M0 24h24v24h-24z"
    assert len(filter_grids([[[0.0, 1.0]], [[1.0, 0.0]]])) == 2
    assert filter_grids([0.0, 0.0]) == ()
