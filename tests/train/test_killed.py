"""Hold that a run that is killed anywhere and resumed ends as one that is not, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed_runs.py")


@pytest.fixture(scope="module")
def told():
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    # nothing but the answer: no advert and no warning of others on either stream
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_every_run_was_killed_and_could_be_resumed(told):
    assert len(told) == 9
    assert {each["run"]: (each["killed"], each["resumed"]) for each in told} == {
        each["run"]: (-9, 0) for each in told
    }


def test_weights_checkpoints_and_numbers_are_those_of_the_unbroken_run(told):
    assert [(each["run"], each["other"]) for each in told if each["other"]] == []


def test_files_half_written_are_left_and_then_swept(told):
    assert all(each["left"] for each in told if "-write-" in each["run"])
    assert all(each["swept"] for each in told)
