"""Hold the HTML page of a checked model: the verdicts of the record, inert names, nothing from elsewhere."""

import copy
import re
from html.parser import HTMLParser

import jinja2
import pytest

from check_records import (
    GAINS,
    HOSTILE,
    SCALES,
    TAPS,
    found,
    join,
    network,
    ok,
    passed_over,
    record,
    site,
    small,
)
from upstroke.report.check_page import check_page
from upstroke.report.html import page
from upstroke.report.svg import grey_levels, level_axis, numbered_gains, tap_grids, tiled_gains

VOID = {"meta"}


class Page(HTMLParser):
    """All elements with their attributes, the text within each, and whether every one is closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "attrs": dict(attrs), "text": ""}
        assert len(element["attrs"]) == len(attrs)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "attrs": dict(attrs), "text": ""})

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data
        if self.open and self.open[-1]["tag"] != "style":
            self.text.append(data)

    def all(self, kind):
        return [each for each in self.elements if kind in (each["attrs"].get("class") or "").split()]

    def words(self):
        return " ".join(" ".join(self.text).split())


def words(element):
    return " ".join(element["text"].split())


def cells(parsed, row, most):
    """The words of the cells of a row of a table."""
    at = parsed.elements.index(row)
    rest = parsed.elements[at + 1 :]
    end = next((i for i, each in enumerate(rest) if each["tag"] in ("tr", "table")), len(rest))
    return tuple(words(each) for each in rest[:end] if each["tag"] == "td")[:most]


def rows(parsed):
    """Severity, place, measure and message of each row of the findings."""
    return [cells(parsed, row, 4) for row in parsed.all("finding")]


def cards(parsed):
    """The heads of the cards of findings, one for each rule."""
    heads = []
    for card in parsed.all("card"):
        at = parsed.elements.index(card)
        heads.append(words(next(each for each in parsed.elements[at:] if each["tag"] == "header")))
    return heads


def test_the_page_shows_the_findings_of_the_record_and_no_others():
    parsed = Page(check_page(small()))
    assert cards(parsed) == [
        "UP102 unbalanced phases ✕error 1 site; threshold −40 dB",
        "UP101 uneven overlap ▲warning 1 site; threshold 0 taps apart",
    ]
    assert rows(parsed) == [
        ("✕error", "up", "−6.2 dB", "a checkerboard"),
        ("▲warning", "up", "3 taps apart", "1 to 4 taps"),
    ]


def test_findings_of_one_rule_stand_together_the_worst_first():
    parsed = Page(check_page(network(joins=9)))
    assert cards(parsed) == [
        "UP203 sizes that do not work ✕error the model as a whole; threshold 1 sample",
        "UP101 uneven overlap ▲warning 1 site; threshold 0 taps apart",
        "UP103 uneven overlap in the gradient ▲warning 2 strided layers; threshold 0 taps apart",
        "UP201 skip drift ▲warning 9 joins; threshold 0 input pixels",
    ]
    of_joins = [row for row in rows(parsed) if "join" in row[1]]
    assert [row[2] for row in of_joins] == [f"{n} input pixels" for n in range(16, 7, -1)]
    assert "3 more" in parsed.words()
    assert [words(each) for each in parsed.all("shown")] == [
        "At up.down0, the worst of these:",
        "At up.join8, the worst of these:",
    ]


def test_remedies_and_fixes_stand_with_their_findings():
    data = small()
    data["findings"][0]["fix"] = "exact: one layer in place of two"
    parsed = Page(check_page(data))
    told = [
        words(each)
        for each in parsed.elements
        if each["tag"] == "dl" and "remedies" in (each["attrs"].get("class") or "")
    ]
    assert told == [
        "What to domake it balanced",
        "What to domake it balanced What upstroke fix doesexact: one layer in place of two",
    ]
    (remark,) = parsed.all("aside")
    assert words(remark) == (
        "The remedies change the code or the training of the model; an ONNX file has to be exported anew."
    )
    assert not Page(check_page({**small(), "source": {**small()["source"], "words": "PyTorch"}})).all("aside")


def test_every_verdict_of_every_subject_is_there():
    """The page and the record say the same of sites, joins, strided layers, outputs and the model."""
    data = network(joins=3)
    data["sites"][0]["verdicts"]["UP102"] = ok("balanced")
    parsed = Page(check_page(data))
    subjects = [*data["sites"], *data["joins"], *data["reductions"], *data["outputs"], data]
    expected = sorted(
        (code, verdict.get("severity", verdict["verdict"]), verdict["words"])
        for each in subjects
        for code, verdict in each["verdicts"].items()
    )
    shown = [cells(parsed, row, 4) for row in parsed.all("verdict-row")]
    shown += [cells(parsed, row, 6)[2:] for row in parsed.all("quiet-row")]
    assert sorted((code, state[1:], why) for code, state, _, why in shown) == expected


def test_status_is_a_word_everywhere():
    parsed = Page(check_page(small()))
    known = {"error", "warning", "note", "ok", "skipped", "partly checked", "not judged"}
    for badge in parsed.all("badge"):
        assert words(badge)[1:] in known
    assert [words(each) for each in parsed.all("state")] == ["✓ ok", "✓ ok", "✕ error", "○ skipped"]
    assert [words(each) for each in parsed.all("verdict")] == ["✕1 error, 1 warning"]
    assert "in 1 of 3 sites; 2 sites are fine; 1 operator could not be read" in parsed.words()
    assert "Found 3 upsampling sites, 1 operator that could not be read" in parsed.words()


def test_findings_of_which_nothing_is_said_are_told_apart():
    meant = {"UP102": {**found("stripes", "UP102"), "suppressed": "by design"}}
    data = record(
        [site("up", "transposed", meant)],
        suppressed=[{"code": "UP102", "site": "up", "reason": "by design"}],
        baseline={"known": [{}, {}], "gone": []},
    )
    parsed = Page(check_page(data))
    assert [words(each) for each in parsed.all("state")] == ["⊘ suppressed"]
    assert "suppressed: by design" in parsed.words()
    assert "1 suppressed; 2 known from the baseline" in parsed.words()
    assert "UP102 up by design" in parsed.words()
    data["suppressed"], data["sites"][0]["verdicts"]["UP102"] = [], found("stripes", "UP102")
    assert [words(each) for each in Page(check_page(data)).all("state")] == ["≡ known"]


def shape(text):
    """Tags and attribute names in order, and all values that are no text of the record."""
    own = {"title", "aria-label"}
    return [
        (each["tag"], {key: None if key in own else value for key, value in each["attrs"].items()})
        for each in Page(text).elements
    ]


def probed(name):
    """What a probe measured of one output of this name."""
    constant = {
        "period": [2, 3], "peaks_db": [[[0, 1], -8.0]], "worst_db": -8.0, "worst_gain_db": None, "channel": 1,
        "picture": [[0.25, 0.75, 0.5], [0.5, 0.25, 1.0]], "reason": None,
    }  # fmt: skip
    drift = {"offset": None, "error": None, "reason": name}
    output = {
        "name": name, "shape": [1, 2, 8, 9], "size": [4, 5], "noise": [{"period": [2, 3], "reason": name}],
        "constant": [constant], "drift": [drift],
    }  # fmt: skip
    return {"outputs": [output], "reason": name, "seed": 7}


def test_a_probe_is_told_drawn_and_listed():
    moved = {"name": "cat", "nominal": [0.5, -1.0], "measured": [0.0, 1.0], "agrees": False, "reason": None}
    geometry = {"tolerance": 0.05, "joins": [moved], "outputs": []}
    parsed = Page(check_page({**small(), "probe": {"values": probed("out"), "geometry": geometry}}))
    text = parsed.words()
    assert "Test signals through the real model" in text
    assert "period 2x3: loudest image −8.0 dB against what noise makes" in text
    assert "of output out like this, channel 1: a part of it, black is 0.25, white 1." in text
    assert "Where samples sit, measured" in text
    assert {words(each) for each in parsed.elements if each["tag"] == "tr"} >= {
        "joins 1 nominal0.5, −1", "seed7"
    }  # fmt: skip
    assert "join cat: grids say apart by 0.50, −1.00 px, measured 0.00, 1.00 px" in text
    for nothing in (None, {}, {"values": None}):
        assert "Probe" not in Page(check_page({**small(), "probe": nothing})).words()


def test_what_is_tried_of_sizes_stands_with_the_model():
    parsed = Page(check_page(network()))
    text = parsed.words()
    assert "3 of 9 sizes work; period 4, remainders 0" in text
    assert "61 fails: Sizes of tensors must match" in text
    assert "62 comes out as 60" in text


def test_a_strip_of_sizes_reads_its_own_axis():
    data = network()
    (along,) = data["sizes"]["along"]
    along.update(axes=[1], failed=[{"size": [64, 61], "error": "no", "place": None}], changed=[])
    (strip,) = {
        each["attrs"]["aria-label"] for each in Page(check_page(data)).elements
        if each["attrs"].get("aria-label", "").startswith("sizes: ")
    }  # fmt: skip
    assert strip.startswith("sizes: 60 works, 61 fails, 62 unknown, 63 unknown, 64 works")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_out_inert(name):
    def everywhere(word):
        data = small(name=word, fine=f"fine {word}", skipped=f"skipped {word}", model=word)
        data["source"].update(words=word, inputs=[{"name": word, "shape": [1, word]}])
        for each in data["sites"]:
            each.update(words=word, operator=word, ends_at=word, chain=[{"name": word, "operator": word}])
            for verdict in each["verdicts"].values():
                verdict["words"] = word
        for each in data["findings"]:
            each.update(message=word, remedy=word, title=word)
        for each in data["joins"]:
            each.update(operator=word, kind=word)
        for each in data["skipped"]:
            each.update(reason=word, operator=word)
        for each in data["rules"]:
            each.update(title=word, reason=word)
        data.update(version=word, schema=word)
        return check_page(data)

    def deep(word):
        """A name in every place where the network, its joins, its sizes, a probe or a suppression are shown."""
        data = network(name=word, joins=8)
        for kind in ("joins", "reductions", "outputs"):
            for each in data[kind]:
                each.update(operator=word, name=f"{word}{each['name'][-5:]}")
        for each in data["joins"]:
            each.update(
                reason=word, kind="add", branches=[{**part, "site": word} for part in each["branches"]]
            )
            each["branches"][1].update(grid=None, lost=word)
        for each in data["network"]["steps"]:
            each.update(place={"grid": None, "lost": word})
        for each in data["findings"]:
            each.update(fix=word, site=word)
        data["sizes"].update(how=word, reason=word)
        for each in data["sizes"]["along"]:
            each["failed"][0].update(error=word, place=word)
        data.update(
            probe={"values": probed(word), word: {"values": [{"name": word, "value": word}]}},
            suppressed=[{"code": "UP101", "site": word, "reason": word}],
        )
        return check_page(data)

    assert shape(deep(name)) == shape(deep("plain"))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\ud800-\udfff]", deep(name))
    hostile = everywhere(name)
    assert shape(hostile) == shape(everywhere("plain"))
    hostile.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\ud800-\udfff]", hostile)
    if name.isprintable():
        assert f"fine {name}" in [each["text"] for each in Page(hostile).elements]


def test_the_page_needs_nothing_beside_it():
    text = check_page(small())
    parsed = Page(text)
    assert not {"script", "link", "iframe", "img", "object", "base", "form"} & {
        e["tag"] for e in parsed.elements
    }
    for each in parsed.elements:
        assert not any(
            key.startswith("on") or key in ("src", "srcset", "xlink:href") for key in each["attrs"]
        )
        assert each["attrs"].get("href", "#").startswith("#")
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [e["attrs"]["content"] for e in parsed.elements if "http-equiv" in e["attrs"]]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_link_leads_somewhere_and_no_place_is_there_twice():
    data = small(name="a b#c", fine="a b#c")
    parsed = Page(check_page(data))
    places = [each["attrs"]["id"] for each in parsed.elements if "id" in each["attrs"]]
    assert len(places) == len(set(places))
    links = {each["attrs"]["href"].removeprefix("#") for each in parsed.elements if "href" in each["attrs"]}
    assert links <= set(places)
    assert {"site-1", "site-2", "site-3", "site-4", "rule-1", "rule-2"} <= links


def test_every_link_of_a_network_leads_somewhere():
    for joins in (1, 9, 60):
        parsed = Page(check_page(network(name="a b#c", joins=joins)))
        places = [each["attrs"]["id"] for each in parsed.elements if "id" in each["attrs"]]
        assert len(places) == len(set(places))
        links = {
            each["attrs"]["href"].removeprefix("#") for each in parsed.elements if "href" in each["attrs"]
        }
        assert links <= set(places)
        assert {"site-1", "join-1", "reduction-2", "output-1", f"join-{joins + 2}"} <= links


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (record([]), "Nothing to check"),
        (record([site("up", "resize", {"UP102": ok("even")})]), "Nothing wrong found"),
        (
            record([site("up", "unread", {"UP102": passed_over("?")}, known=False, skipped="no operator")]),
            "Nothing could be checked",
        ),
        (record([site("up", "resize", {"UP202": found("corners", "UP202")})]), "1 note"),
    ],
)
def test_the_verdict_in_large(data, verdict):
    (shown,) = Page(check_page(data)).all("verdict")
    assert words(shown)[1:] == verdict


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_figures_of_any_number_of_axes(axes):
    bad = {"UP102": found("a checkerboard", "UP102")}
    parsed = Page(check_page(record([site("up", "transposed", bad, axes=axes)])))
    drawings = [each for each in parsed.elements if each["tag"] == "svg"]
    planes = 2 if axes == 3 else 1
    # levels, the flat grey, what it becomes, its numbers, its filter: of the finding and of the site
    of_each = 1 + 1 + 3 * planes
    # and of the site alone its taps, and a response for each scale
    assert len(drawings) == 1 + 2 * of_each + planes + len(set(SCALES[axes]))
    for each in drawings:
        assert each["attrs"]["role"] == ("group" if each is drawings[0] else "img")
        assert each["attrs"]["aria-label"]
        assert each["attrs"]["aria-label"] in each["text"]
    assert drawings[1]["attrs"]["aria-label"] == (
        "image gain: layer −6.2 dB, chain −7.5 dB; error above −40 dB"
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_no_number_is_needed(axes):
    bad = {"UP102": found("a checkerboard", "UP102", measure=None)}
    full = site("up", "transposed", bad, axes=axes)
    for key in full:
        if key not in ("name", "operator", "kind", "words", "chain", "verdicts"):
            parsed = Page(check_page(record([{**full, key: None}])))
            assert "None" not in parsed.words()
    holes = copy.deepcopy(full)
    holes.update(
        size_in=[None] * axes, size_out=[None] * axes, pattern={"gain": _none(GAINS[axes]), "out": 0, "in": 0}
    )
    holes["coverage"] = _none(TAPS[axes])
    joined = join("j", {}, sites=(None, None), kind=None)
    data = record([holes], inputs=[("x", None), (None, [None, 3])], joins=[joined])
    data["rules"][1]["threshold"] = data["findings"][0]["threshold"] = None
    data["source"]["operators"] = data["version"] = None
    assert "None" not in Page(check_page(data)).words()


def _none(nested):
    return [_none(each) for each in nested] if isinstance(nested, list) else None


def test_a_hundred_sites_are_folded_and_stay_below_a_megabyte_and_a_half():
    sites = [
        site(
            f"net.block{i}.up",
            "transposed",
            {code: found("words " * 12, code) for code in ("UP101", "UP102")},
        )
        for i in range(100)
    ]
    text = check_page(record(sites))
    assert len(text.encode()) < 1_500_000
    parsed = Page(text)
    folded = [each for each in parsed.elements if each["tag"] == "details"]
    # one for each site, the rest of each rule's findings, the words
    assert len(folded) == 103
    assert len(parsed.all("site")) == 100
    assert not any("open" in each["attrs"] for each in folded)


def test_sites_that_are_fine_are_folded_and_others_open():
    parsed = Page(check_page(small()))
    shown = ["open" in each["attrs"] for each in parsed.all("site")]
    assert shown == [False, False, True, True]


def test_greys_are_relative_to_the_largest_gain():
    assert grey_levels([[0.5, 2.0]]) == (0.0, 2.0)
    assert grey_levels([[0.5, -2.0]]) == (-2.0, 2.0)
    flat, tiled = tiled_gains([0.0, 1.0])
    assert flat.marks[0].fill == "#808080"
    assert {mark.fill for mark in tiled.marks} == {"#000000", "#ffffff", None}
    assert [mark.words for each in numbered_gains([0.0, 1.0]) for mark in each.marks if mark.words] == [
        "0",
        "1",
    ]
    assert tiled_gains([1.0] * 40) == ()
    assert tiled_gains([0.0, 0.0]) == ()


def test_axes_are_not_swapped_in_a_grid():
    (drawing,) = tap_grids([[1, 2, 3], [4, 5, 6]])
    numbers = {(mark.y, mark.x): mark.words for mark in drawing.marks if mark.kind == "number"}
    assert [numbers[place] for place in sorted(numbers)] == ["1", "2", "3", "4", "5", "6"]
    assert drawing.width > drawing.height
    assert drawing.title == "taps per phase: 1 2 3; 4 5 6"


def test_levels_beyond_the_axis_stay_on_it():
    drawing = level_axis([("layer", -200.0), ("chain", 12.0)], threshold=-40.0, severity="error")
    dots = [float(re.match(r"M([\d.]+)", mark.path)[1]) for mark in drawing.marks if mark.kind == "dot"]
    rail = next(mark for mark in drawing.marks if mark.kind == "rail")
    start, length = (float(each) for each in re.match(r"M([\d.]+) [\d.]+h([\d.]+)", rail.path).groups())
    assert [dot + 5 for dot in dots] == [start, start + length]
    assert [mark.words for mark in drawing.marks if mark.kind == "level"] == ["−200 dB", "12 dB"]
    assert level_axis([("layer", None)], threshold=-40.0, severity="error") is None


def captions(parsed):
    return [words(each) for each in parsed.elements if each["tag"] == "figcaption"]


BAD = {"UP102": found("a checkerboard", "UP102")}


@pytest.mark.parametrize(
    ("kind", "changes", "pair"),
    [
        (
            "transposed",
            {},
            (
                ": input channel 1 to output channel 3, of all pairs (8 channels in, 4 out) the one whose "
                "phases differ most"
            ),
        ),
        (
            "shuffle",
            {"in_channels": None, "out_channels": None},
            ": input channel 1 to output channel 3, of all pairs the one whose phases differ most",
        ),
        ("transposed", {"in_channels": 1, "out_channels": 1}, ""),
        ("resize", {"in_channels": None, "out_channels": None}, ": in every channel alike"),
    ],
)
def test_the_pattern_says_which_pair_of_channels_it_is_and_of_what(kind, changes, pair):
    parsed = Page(check_page(record([site("up", kind, BAD, **changes)])))
    assert [each for each in captions(parsed) if each.startswith("A constant")][-1] == (
        f"A constant in one channel becomes this{pair}. It shows the layer alone, not what the whole network "
        "makes of a flat picture. Grey levels are gains: black is −1, white 1, the largest gain in absolute "
        "value, middle grey 0."
    )


def test_a_map_of_one_cell_has_no_levels_no_order_and_no_pattern():
    nothing = dict.fromkeys(
        ["image_gain_db", "chain_image_gain_db", "bias_db", "pattern_db", "strang_fix_order", "pattern",
         "worst_filter", "response"]
    )  # fmt: skip
    one_cell = {"UP102": ok("no pattern can form", note=True)}
    (element,) = Page(check_page(record([site("up", "transposed", one_cell, **nothing)]))).all("site")
    assert captions(Page(check_page(record([site("up", "transposed", one_cell, **nothing)])))) == [
        "Taps per phase: how many make each of the output samples that one cell becomes."
    ]
    for absent in ("Strang", "Image gain", "biases", "dB"):
        assert absent not in element["text"]


@pytest.mark.parametrize(
    ("chain", "biases", "rows"),
    [(-7.5, -7.5, 2), (-7.5, -7.0, 3), (None, -7.0, 2), (-7.5, None, 2)],
)
def test_biases_have_a_row_where_they_are_louder_than_the_chain(chain, biases, rows):
    data = record([site("up", "transposed", BAD, chain_image_gain_db=chain, bias_db=biases)])
    parsed = Page(check_page(data))
    # with the finding and with the site
    assert len(parsed.all("dot")) == 2 * rows
    is_told = "biases −7 dB" in parsed.elements[parsed.elements.index(parsed.all("panels")[0]) + 2][
        "attrs"
    ].get("aria-label", "")
    assert is_told == (biases == -7.0)
    assert is_told == ("the pattern that the biases add" in captions(parsed)[0])


@pytest.mark.parametrize("gain", [[[-0.0202, 0.000123], [1.0, 0.5]], [0.1, -1.23456e-7]])
def test_numbers_in_cells_are_short_and_leave_room_on_either_side(gain):
    for drawing in numbered_gains(gain):
        period = len(gain[0]) if isinstance(gain[0], list) else len(gain)
        wide = drawing.width / period
        for mark in drawing.marks:
            digits = mark.words.split("e")[0].replace(".", "").lstrip("−0")
            assert len(digits) <= 3
            # a digit of 13 px type is at most 8 px wide
            assert 8 * len(mark.words) + 12 <= wide


def test_ok_with_a_measure_of_zero_shows_no_measure():
    verdicts = {"UP101": ok("9 taps in every phase", measure=0.0, unit="taps apart")}
    parsed = Page(check_page(record([site("up", "transposed", verdicts)])))
    (row,) = parsed.all("verdict-row")
    assert words(row) == "UP101 ✓ok – 9 taps in every phase"


def test_the_words_of_the_page_are_explained_on_it():
    parsed = Page(check_page(small()))
    (glossary,) = parsed.all("glossary")
    at = parsed.elements.index(glossary)
    terms = [words(each) for each in parsed.elements[at:] if each["tag"] == "dt"]
    assert terms == [
        "Site", "Chain", "Cell", "Phase", "Taps per phase", "Image gain", "Pattern of the biases",
        "Strang–Fix order", "Grid (sample i sits at)", "Frequency response", "Drift", "Numbers of channels",
    ]  # fmt: skip
    assert not Page(check_page(record([]))).all("glossary")


def test_rules_are_headed_by_what_they_find():
    parsed = Page(check_page(small()))
    heads = [words(each) for each in parsed.elements if each["tag"] == "h3"][-3:]
    assert heads == ["UP101 uneven overlap", "UP102 unbalanced phases", "UP202 grid that depends on the size"]


def test_a_misspelt_name_in_a_template_raises():
    with pytest.raises(jinja2.UndefinedError):
        page("page.html", {})


def _themes():
    style = check_page(record([])).split("<style>")[1].split("</style>")[0]
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    return [dict(re.findall(r"--([\w-]+): (#\w{6})", each)) for each in (light, dark)]


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_reach_the_contrast_of_wcag_aa(theme):
    colours = _themes()[theme]
    states = ("error", "warning", "note", "ok", "skipped")
    pairs = [(word, ground) for word in ("ink", "quiet", "link", *states) for ground in ("ground", "sheet")]
    pairs += [(state, f"{state}-ground") for state in states]
    for word, ground in pairs:
        low, high = sorted(_luminance(colours[each]) for each in (word, ground))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (word, ground)


def test_a_pattern_of_unequal_periods_keeps_its_proportions():
    _, tiled = tiled_gains([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])
    # three periods of 2 rows, two of 4 columns, of square samples
    assert tiled.height / tiled.width == pytest.approx(6 / 8)
