"""Hold that records of pictures are plain data, that one picture is held at a time, and what is refused."""

import gc
import json
import math
import re
import weakref

import numpy
import pytest
import torch

from upstroke import diagnose
from upstroke.describe import describe_picture, describe_pictures, picture_arrays
from upstroke.errors import ShapeError
from upstroke.files.pictures import Picture, Skipped


def picture(seed, shape=(64, 51), *, strength=0.0):
    grey = 128 + 20 * numpy.random.default_rng(seed).standard_normal(shape)
    pattern = numpy.add.outer(numpy.arange(shape[0]) % 2, numpy.arange(shape[1]) % 3)
    return Picture(file=f"{seed}.png", grey=grey + strength * pattern, notes=("noise",))


def test_one_picture_says_what_the_diagnostics_say():
    one = picture(0, strength=3.0)
    record = describe_picture(one, (2, 3))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["kind"], record["path"], record["set"]) == ("picture", "0.png", None)
    [found] = record["pictures"]
    psv = diagnose.picture_subgrid_variance(torch.from_numpy(one.grey), (2, 3))
    assert found["psv"]["value"] == psv.value.item()
    assert found["psv"]["amplitude"] == math.sqrt(psv.value)
    assert (found["size"], found["notes"]) == ([64, 51], ["noise"])
    assert found["stands_out"]


def test_a_set_lists_the_most_suspicious_first_and_what_it_could_not_use():
    record = describe_pictures(
        [
            picture(0),
            Skipped(file="a.txt", reason="no picture"),
            picture(1, (1, 9)),
            picture(2, strength=3.0),
        ],
        (2, 3),
        path="here",
        seed=7,
    )
    assert [each["file"] for each in record["pictures"]] == ["2.png", "0.png"]
    reason = "1.png: a picture must hold at least one period per axis; got shape (1, 9) for period (2, 3)"
    assert record["skipped"] == [
        {"file": "a.txt", "reason": "no picture"},
        {"file": "1.png", "reason": reason},
    ]
    assert (record["path"], record["set"]["pictures"], record["set"]["seed"]) == ("here", 2, 7)


def test_no_picture_is_kept():
    gone = []

    def read():
        for seed in range(4):
            gc.collect()
            assert all(each() is None for each in gone)
            one = picture(seed, (8, 9))
            gone.append(weakref.ref(one.grey))
            yield one
            del one

    assert len(describe_pictures(read(), (2, 3), path="here")["pictures"]) == 4


def test_nothing_to_measure_is_refused():
    small = picture(0, (1, 9))
    reason = "0.png: a picture must hold at least one period per axis; got shape (1, 9) for period (2, 3)"
    with pytest.raises(ShapeError, match=f"^{re.escape(reason)}$"):
        describe_picture(small, (2, 3))
    message = f"here must hold pictures of at least one period; none is; of the first: {reason}"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        describe_pictures([small], (2, 3), path="here")
    message = "here must hold pictures of at least one period; none is; there are none"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        describe_pictures([], (2, 3), path="here")


def test_the_arrays_show_the_same_numbers_as_the_record():
    one = picture(0, (500, 301), strength=3.0)
    arrays, [found] = picture_arrays(one, (2, 3)), describe_picture(one, (2, 3))["pictures"]
    assert arrays["phase_means"].tolist() == found["phase_means"]
    assert [level for *_, level in arrays["peaks"]] == [*found["peaks_db"][0][1:], *found["peaks_db"][1]]
    assert [place for *place, _ in arrays["peaks"]] == [
        [0, 1 / 3], [0, 2 / 3 - 1], [0.5, 0], [0.5, 1 / 3], [0.5, 2 / 3 - 1],
    ]  # fmt: skip
    # blocks of 3, of which the last columns do not make one
    assert arrays["picture"].shape == (166, 100)
    assert arrays["picture"][1, 2] == pytest.approx(one.grey[3:6, 6:9].mean())
    assert (arrays["detail"] == one.grey[238:262, 138:162]).all()


def test_the_plotted_spectrum_keeps_a_line_and_its_place():
    wave = numpy.cos(2 * math.pi * 20 / 480 * numpy.arange(480))
    spectrum = picture_arrays(Picture(file="w.png", grey=numpy.tile(wave, (240, 1))), (2, 2))["spectrum"]
    assert spectrum.shape == (240, 240)
    assert spectrum.max() == 0
    down, right = numpy.unravel_index(spectrum.argmax(), spectrum.shape)
    assert (down, abs(right - 120)) == (120, 10)


def test_a_flat_picture_has_no_spectrum():
    flat = picture_arrays(Picture(file="f.png", grey=numpy.full((9, 8), 7.0)), (2, 2))
    assert (flat["spectrum"] == -150).all()
