"""Hold the page and the text of an evaluated downscaling: the record's verdict, inert names, nothing from elsewhere."""

import base64
import copy
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray
from PIL import Image

from upstroke.apps.downscale.evaluate import evaluate
from upstroke.report.downscale_page import downscale_page
from upstroke.report.downscale_text import downscale_text
from upstroke.report.maps import Curve, Frame, draw_curves, draw_map, nice

HOSTILE = "<script>alert('$x_1$')</script>"


class Page(HTMLParser):
    """Elements with their attributes, and the words without style."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.words, self.within = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.within.append(tag)

    def handle_endtag(self, tag):
        while self.within.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self.within:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def field(units="degrees C"):
    """A square of sea with an island on a projected grid, 32 x 48 cells."""
    y, x = np.arange(32.0), np.arange(48.0)
    values = 10 + np.sin(x / 3) * np.cos(y / 4)[:, None] + np.cos(y / 2)[:, None]
    values[20:23, 5:9] = np.nan
    coords = {name: (name, at, {"units": "km"}) for name, at in (("y", y), ("x", x))}
    return xarray.DataArray(
        values, coords, ("y", "x"), name=HOSTILE, attrs={"units": units, "long_name": HOSTILE}
    )


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(field(), 2, source=f"{HOSTILE}.nc")


@pytest.fixture(scope="module")
def page(evaluation):
    return downscale_page(evaluation.as_json(), evaluation.pictures)


def test_the_page_says_what_the_record_says(evaluation, page):
    record, parsed = evaluation.as_json(), Page(page)
    verdict = record["verdict"]
    decimals = 2 - math.floor(math.log10(verdict["rmse"]))
    rmse, nearest = (f"{verdict[key]:.{decimals}f} K" for key in ("rmse", "nearest"))
    assert f"Closest to the truth: {verdict['best']}, RMSE {rmse}" in parsed.text
    assert f"nearest has {nearest}." in parsed.text
    kept = "Nearest, linear and cubic keep the mean of every coarse cell; bilinear and bicubic change it by up to"
    assert kept in parsed.text
    # the best is marked by a word in every table
    assert parsed.text.count(f"{verdict['best']} ✓ best") == 3
    for method in record["methods"]:
        assert f"{method['name']} minus the truth" in parsed.text


def test_the_page_orders_methods_by_their_error(evaluation, page):
    record = evaluation.as_json()
    rmse = {each["name"]: each["scores"]["interior"]["rmse"] for each in record["methods"]}
    table = Page(page.split('<table class="cards methods">')[1].split("<tbody>")[1].split("</tbody>")[0]).text
    places = [table.index(f"{name} ") for name in sorted(rmse, key=rmse.get)]
    assert places == sorted(places)


def test_names_come_out_inert_and_nothing_is_loaded(page):
    parsed = Page(page)
    assert not parsed.all("script")
    assert "<script" not in page.lower()
    assert HOSTILE in parsed.text
    for tag, attrs in parsed.elements:
        assert tag not in {"link", "iframe", "object", "embed"}
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in {"src", "href"}:
                assert value.startswith(("data:image/", "#"))
    assert "url(" not in page
    assert "@import" not in page


def test_pictures_are_whole_and_small(page):
    images = Page(page).all("img")
    # the truth, what methods get and five methods with their differences, enlarged and whole; rows and spectra
    assert len(images) == 2 * (2 + 5 + 5) + 3 + 4
    assert all(each["alt"] for each in images)
    for each in images:
        kind, data = re.fullmatch(r"data:image/(png|svg\+xml);base64,([A-Za-z0-9+/=]+)", each["src"]).groups()
        content = base64.b64decode(data)
        if kind == "png":
            with Image.open(io.BytesIO(content)) as image:
                assert image.size == (int(each["width"]), int(each["height"]))
        else:
            assert content.startswith(b"<?xml")
            assert b"<script" not in content
    assert len(page) < 2_000_000


def test_a_record_without_windows_has_a_page_without_spectra(evaluation, monkeypatch):
    monkeypatch.setattr("upstroke.report.downscale_page.draw_map", lambda *_, **__: bytes(24))
    monkeypatch.setattr("upstroke.report.downscale_page.draw_curves", lambda *_, **__: b"<svg/>")
    record = copy.deepcopy(evaluation.as_json()) | {"spectra": None}
    for method in record["methods"]:
        method["spectra"] = None
    parsed = Page(downscale_page(record, evaluation.pictures))
    assert "Resolves down to" not in parsed.text
    assert "None: there is no window of 8×8 coarse cells without land." in parsed.text


def test_a_coarse_model_is_said(evaluation, monkeypatch):
    monkeypatch.setattr("upstroke.report.downscale_page.draw_map", lambda *_, **__: bytes(24))
    monkeypatch.setattr("upstroke.report.downscale_page.draw_curves", lambda *_, **__: b"<svg/>")
    pair = {"largest": 2.0, "without_truth": 3, "rms": {"interior": 0.5, "coast": 0.6, "all": 0.55}}
    record = copy.deepcopy(evaluation.as_json()) | {"pair": pair, "coarse_source": "coarse.nc"}
    words = (
        "The coarse field is a model's own: block means of the fine one differ from it by 0.5 K in root mean square, "
        "2 K at most. No method that keeps the coarse values can have a lower RMSE than that. 3 coarse cells have no "
        "true value."
    )
    assert words in Page(downscale_page(record, evaluation.pictures)).text
    assert words in " ".join(downscale_text(record).split())


def test_text():
    values = field("m")
    record = evaluate(values.assign_attrs(units="m").rename("height"), 2, source="field.nc").as_json()
    text = downscale_text(record)
    head, *lines = text.splitlines()
    assert head == "field.nc  height, 16×24 coarse cells to 32×48 fine ones, factor 2"
    assert lines[1].split() == [
        "RMSE,",
        "m",
        "at",
        "coasts",
        "coarse",
        "values",
        "changed",
        "by",
        "total",
        "by",
        "resolves",
    ]
    order = [line.split()[0] for line in lines[2:7]]
    rmse = {each["name"]: each["scores"]["interior"]["rmse"] for each in record["methods"]}
    assert order == sorted(rmse, key=rmse.get)
    assert f"Closest to the truth: {order[0]}, RMSE" in text
    # narrow: no line is longer than the terminal, and no number is lost
    narrow = downscale_text(record, width=40, verbose=True)
    assert max(map(len, narrow.splitlines())) <= 40
    assert "overshoot" in narrow
    assert "ring by ring" in downscale_text(record, verbose=True)


def test_text_of_a_hostile_name_moves_no_cursor():
    hostile = field().rename("sst\x1b[2J")
    record = evaluate(hostile, 2, source="a\x1b[31m.nc").as_json()
    text = downscale_text(record, verbose=True)
    assert "\x1b" not in text
    assert "a\\x1b[31m.nc  sst\\x1b[2J, " in text


FRAME = Frame(y=np.linspace(60.0, 30.0, 13), x=np.linspace(-30.0, 10.0, 17), is_sphere=True)


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def drawn(values, **more):
    valid = np.isfinite(values)
    return pixels(draw_map(values, FRAME, valid=valid, limits=(-1.0, 1.0), unit="K", **more))


def test_a_map_has_north_up_whichever_way_the_rows_run():
    rows = np.broadcast_to(np.linspace(1, -1, 12)[:, None], (12, 16))
    falling = draw_map(rows, FRAME, valid=np.ones((12, 16), bool), limits=(-1.0, 1.0), unit="K")
    risen = Frame(y=FRAME.y[::-1], x=FRAME.x, is_sphere=True)
    rising = draw_map(rows[::-1], risen, valid=np.ones((12, 16), bool), limits=(-1.0, 1.0), unit="K")
    assert np.array_equal(pixels(falling), pixels(rising))
    shown = pixels(falling)
    middle = shown[:, shown.shape[1] // 2]
    # viridis is yellow at the top of its scale and violet at its foot
    assert middle[10:40, 1].mean() > 180
    assert middle[len(middle) // 2 : len(middle) // 2 + 60, 1].mean() < middle[10:40, 1].mean()


def test_a_difference_of_0_is_white_and_signs_part():
    values = np.zeros((12, 16))
    values[:, :4], values[:, -4:] = -1, 1
    shown = drawn(values, is_difference=True)
    row = shown[40]
    at = [row[int(part * len(row))] for part in (0.15, 0.5, 0.85)]
    assert at[0][2] > at[0][0]
    assert at[1].min() > 240
    assert at[2][0] > at[2][2]


def test_land_is_grey_and_its_coast_is_drawn():
    values = np.zeros((12, 16))
    sea = drawn(values)
    values[4:8, 4:12] = np.nan
    shown = drawn(values)
    land = (shown == (0xD4, 0xD4, 0xD0)).all(axis=-1)
    coast = (np.abs(shown - np.array((0x4A, 0x4A, 0x48))).max(axis=-1) < 40) & (
        np.abs(shown - sea).max(axis=-1) > 20
    )
    assert land.sum() > 1000
    assert coast.sum() > 100
    assert not (sea == (0xD4, 0xD4, 0xD0)).all(axis=-1).any()


def test_curves_are_the_same_every_time_and_names_are_no_formula():
    curves = [Curve(name="a $x_1$ <b>", x=[1.0, 2.0, 4.0], y=[1.0, None, 3.0], place=0)]
    one, other = (
        draw_curves(
            curves, x_label="km", y_label="K", scales=("log", "linear"), marks={"two": 2.0}, level=1.0
        )
        for _ in range(2)
    )
    assert one == other
    assert b"<b>" not in one


def test_limits_are_round():
    assert [nice(each) for each in (0.61, 2.0, 2.1, 0.008)] == pytest.approx([0.7, 2, 3, 0.01])
