"""Hold that cases are divided by whole groups, in order or as a seed says."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.segment.cases import Case
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.split import split
from upstroke.errors import OptionError


def cases_of(groups, parts=None):
    parts = parts or [""] * len(groups)
    return [
        Case(name=f"c{at}", group=str(group), images=(Path(f"c{at}.png"),), label=None, part=part)
        for at, (group, part) in enumerate(zip(groups, parts, strict=True))
    ]


@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=40).filter(lambda groups: len(set(groups)) > 3),
    st.sampled_from(["random", "order"]),
    st.integers(0, 99),
)
def test_groups_are_whole_and_as_few_as_reach_the_share(groups, by, seed):
    cases = cases_of(groups)
    wanted = max(1, round(0.2 * len(cases)))
    try:
        divided = split(cases, by=by, seed=seed)
    except OptionError:
        assert max(map(groups.count, groups)) > 1
        return
    inside = [{case.group for case in side} for side in (divided.train, divided.validation)]
    assert not inside[0] & inside[1]
    assert sorted(divided.train + divided.validation, key=cases.index) == cases
    assert len(divided.validation) >= wanted
    assert len(divided.validation) - max(groups.count(int(group)) for group in inside[1]) < wanted
    assert divided == split(cases, by=by, seed=seed)


def test_the_order_of_cases_does_not_change_who_is_drawn_and_the_seed_does():
    cases = cases_of(range(30))
    held = {case.name for case in split(cases, seed=3).validation}
    assert held == {case.name for case in split(cases[::-1], seed=3).validation}
    assert len({tuple(split(cases, seed=seed).as_json()["validation"]) for seed in range(5)}) == 5


def test_in_order_the_last_are_held_out():
    assert split(cases_of(range(10)), by="order", count=3).as_json() == {
        "train": [f"c{at}" for at in range(7)],
        "validation": ["c7", "c8", "c9"],
        "test": [],
    }


def test_folders_of_the_data_may_decide_and_tests_stay_out():
    parts = ["train", "train", "validation", "test", "train"]
    divided = split(cases_of(range(5), parts), by="folder")
    assert divided.as_json() == {"train": ["c0", "c1", "c4"], "validation": ["c2"], "test": ["c3"]}
    drawn = split(cases_of(range(5), parts))
    assert [case.name for case in drawn.test] == ["c3"]
    message = "a split by folder needs train and val without a common group; group 1 is in both folders; draw at random"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        split(cases_of([1, 1], ["train", "validation"]), by="folder")


def test_what_leaves_a_side_empty_is_refused():
    message = (
        "training and validation need one case or more each; 2 cases in 1 groups leave 0 and 2; add cases, hold out "
        "fewer or group them otherwise"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        split(cases_of([1, 1]))
    with pytest.raises(OptionError, match=r"leave 3 and 0"):
        split(cases_of(range(3)), count=0)
    with pytest.raises(OptionError, match=r"^share must be more than 0 and less than 1; got 1.5; "):
        split(cases_of(range(3)), share=1.5)


def test_the_hippocampus_is_divided_120_to_40_in_file_order(data_dir):
    cases = find_cases(data_dir / "medical" / "msd_hippocampus")
    divided = split(cases, by="order", count=40)
    assert (len(divided.train), len(divided.validation)) == (120, 40)
    assert [case.name for case in divided.validation] == sorted(case.name for case in cases)[120:]
