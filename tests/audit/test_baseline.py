"""Hold what is new, known and gone between two checks of a model."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from upstroke.audit import since, standing

CODES = ("UP101", "UP102")


@st.composite
def findings(draw):
    names = st.sampled_from(["up", "down", "up.0"])
    return [
        {"code": code, "site": site, "kind": kind, "severity": severity, "measure": measure}
        for code, site, kind, severity, measure in draw(
            st.lists(
                st.tuples(
                    st.sampled_from(CODES), names, st.sampled_from(["resize", "add"]),
                    st.sampled_from(["error", "warning", "note"]), st.integers(0, 9),
                ),
                max_size=8,
            )
        )
    ]  # fmt: skip


def record_of(found, *, suppressed=(), skipped=(), asked=CODES):
    counts = Counter(each["severity"] for each in found)
    verdicts = [{"name": site, "verdicts": {code: {"verdict": "skipped"}}} for code, site in skipped]
    return {
        "rules": [{"code": code} for code in asked], "sites": verdicts, "findings": list(found),
        "suppressed": list(suppressed), "baseline": None,
        "summary": {"sites": 3, "errors": counts["error"], "warnings": counts["warning"], "notes": counts["note"]},
    }  # fmt: skip


def keys(found):
    return Counter((each["code"], each["site"], each["kind"]) for each in found)


@given(findings(), findings())
def test_every_finding_is_new_or_known_and_every_old_one_known_or_gone(before, now):
    result = since(record_of(now), record_of(before))
    baseline = result["baseline"]
    assert keys(result["findings"]) + keys(baseline["known"]) == keys(now)
    assert keys(baseline["known"]) + keys(baseline["gone"]) == keys(before)
    # nothing is new and gone at once
    assert not keys(result["findings"]) & keys(baseline["gone"])
    counts = Counter(each["severity"] for each in result["findings"])
    assert [result["summary"][f"{each}s"] for each in ("error", "warning", "note")] == [
        counts["error"], counts["warning"], counts["note"],
    ]  # fmt: skip


@given(findings(), findings())
def test_a_record_made_against_a_baseline_is_one_itself(before, now):
    result = since(record_of(now), record_of(before))
    assert keys(standing(result)) == keys(now)
    again = since(record_of(now), result)
    assert (again["findings"], again["baseline"]["gone"]) == ([], [])


@given(findings())
def test_without_an_earlier_record_all_is_new(now):
    result = since(record_of(now), None)
    assert (result["findings"], result["baseline"]) == (now, {"known": [], "gone": []})


FOUND = {"code": "UP101", "site": "up", "kind": "resize", "severity": "error", "measure": 3}


def new_and_gone(now, before):
    result = since(now, before)
    return len(result["findings"]), len(result["baseline"]["gone"])


def test_a_number_that_moved_is_the_same_finding():
    assert new_and_gone(record_of([FOUND | {"measure": 1, "severity": "note"}]), record_of([FOUND])) == (0, 0)


def test_another_kind_or_name_is_another_finding():
    for other in ({"kind": "transposed"}, {"site": "up2"}, {"code": "UP102"}):
        assert new_and_gone(record_of([FOUND | other]), record_of([FOUND])) == (1, 1)


def test_one_more_of_the_same_is_new():
    assert new_and_gone(record_of([FOUND] * 3), record_of([FOUND] * 2)) == (1, 0)


def test_what_is_suppressed_now_is_not_gone():
    assert new_and_gone(record_of([], suppressed=[FOUND]), record_of([FOUND])) == (0, 0)


def test_what_was_suppressed_and_is_no_more_is_new():
    assert new_and_gone(record_of([FOUND]), record_of([], suppressed=[FOUND])) == (1, 0)


def test_a_suppressed_finding_is_new_where_it_stood_nowhere():
    now = record_of([FOUND], suppressed=[FOUND, FOUND | {"site": "up2"}, FOUND | {"site": "up3"}])
    for before, new in (
        (None, [True, True, True]),
        (record_of([FOUND]), [True, True, True]),
        (record_of([FOUND] * 2, suppressed=[FOUND | {"site": "up3"}]), [False, True, False]),
        (record_of([FOUND | {"site": "up2"}]), [True, False, True]),
    ):
        assert [each["new"] for each in since(now, before)["suppressed"]] == new


def test_what_was_not_asked_or_could_not_be_read_is_not_gone():
    assert new_and_gone(record_of([], asked=["UP102"]), record_of([FOUND])) == (0, 0)
    assert new_and_gone(record_of([], skipped=[("UP101", "up")]), record_of([FOUND])) == (0, 0)
    assert new_and_gone(record_of([], skipped=[("UP102", "up")]), record_of([FOUND])) == (0, 1)
