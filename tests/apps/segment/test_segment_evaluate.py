"""Hold evaluation of folders: scores from labels, which cases are judged, what is shown, what is refused."""

import json
import re
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image
from thresholds import thresholds_for

from upstroke.apps.segment import answers
from upstroke.apps.segment.answers import TrainedOn
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.evaluate import evaluate
from upstroke.apps.segment.views import view
from upstroke.errors import FileError, OptionError, UpstrokeError
from upstroke.files.volumes import read_volume

AFFINE = np.diag([-2.0, 1.0, 3.0, 1.0])


def save(path, values, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def labels(seed):
    """Two boxes in a volume of 9 x 11 x 6 voxels."""
    found = np.zeros((9, 11, 6), np.uint8)
    found[2:5, 3 : 7 + seed % 2, 1:4], found[5:8, 4:9, 2:5] = 1, 5
    return found


@pytest.fixture
def folders(tmp_path):
    """Four cases: predicted exactly, a little small, without a class, and shifted."""
    data, made = tmp_path / "data", tmp_path / "made"
    for number, name in enumerate("abcd"):
        true = labels(number)
        predicted = true.copy()
        if name == "b":
            predicted[2] = 0
        if name == "c":
            predicted[predicted == 5] = 0
        if name == "d":
            predicted = np.roll(predicted, 1, axis=2)
        save(data / "images" / f"{name}.nii.gz", (true * 40).astype(np.float32))
        save(data / "labels" / f"{name}.nii.gz", true)
        save(made / f"{name}.nii.gz", predicted)
    return made, data


def test_predictions_are_judged_by_name_the_worst_first(folders):
    made, data = folders
    found = evaluate(made, data)
    record = found.as_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert [case["name"] for case in record["cases"]] == ["c", "d", "b", "a"]
    scores = {case["name"]: case["scores"] for case in record["cases"]}
    assert [part["dice"] for part in scores["a"]] == [1.0, 1.0]
    assert scores["b"][0]["dice"] == pytest.approx(2 * 2 / 5)
    assert (scores["b"][0]["volume_error"], scores["b"][0]["true_volume"]) == (
        pytest.approx(-1 / 3),
        3 * 5 * 3 * 6.0,
    )
    assert scores["b"][0]["hausdorff95"] == 2.0
    assert (scores["c"][1]["presence"], scores["c"][1]["dice"], scores["c"][1]["hausdorff95"]) == (
        "missed",
        0.0,
        None,
    )
    assert scores["d"][1]["hausdorff95"] == 3.0
    second = record["classes"][1]
    assert (second["value"], second["cases"]) == (5, {"both": 3, "missed": 1, "invented": 0, "absent": 0})
    assert (second["dice"]["count"], second["hausdorff95"]["count"]) == (4, 3)
    means = [np.mean([case[at]["dice"] for case in scores.values()]) for at in range(2)]
    assert found.dice == pytest.approx(np.mean(means))
    assert (record["unit"], record["ndim"], record["selection"]["learnt_from"]) == ("mm", 3, None)


def test_pictures_are_of_the_worst_cases_alone(folders):
    found = evaluate(*folders, pictures=2)
    assert [each["case"] for each in found.pictures] == ["c", "d"] == found.as_json()["pictures"]


def test_a_slice_is_chosen_where_labels_differ_most_and_turned_as_radiologists_look(folders):
    _, data = folders
    volume = read_volume(data / "images" / "c.nii.gz")
    true = (labels(0) > 0).astype(np.int64)
    predicted = true.copy()
    predicted[5:7, 4:9, 2], predicted[5, 4, 3] = 0, 0
    shown = view(volume, true, predicted)
    # spacings are 2, 1, 3, so slices lie across the third axis, from foot to head
    assert (shown.axis, shown.index, shown.slices, shown.plane, shown.errors) == (2, 2, 6, "axial", 10)
    assert shown.sides == ("R", "A", "L", "P")
    # the first index runs to the left already, the second to the front, which is at the top
    whole = np.flip(true[:, :, 2].T, 0)
    row, column = shown.corner
    rows, columns = shown.true.shape
    assert (shown.true == whole[row : row + rows, column : column + columns]).all()
    assert shown.spacing == (1.0, 2.0)
    assert shown.whole == (11, 9)


def test_of_slices_that_differ_alike_the_one_with_the_most_truth_is_shown(folders):
    _, data = folders
    volume = read_volume(data / "images" / "c.nii.gz")
    true = np.zeros((9, 11, 6), np.int64)
    true[2:4, 2:4, 2], true[2:6, 2:6, 4], true[2:6, 2:6, 5] = 1, 1, -1
    predicted = np.maximum(true, 0)
    # nothing differs: the fourth slice has the most truth, and what is not counted is none
    assert view(volume, true, predicted).index == 4
    # two voxels differ in slices 0 (without any truth), 2 and 3; more truth is in 2
    predicted[0, 0, [0, 3]] = predicted[1, 1, [0, 3]] = 1
    predicted[2, 2:4, 2] = 0
    assert view(volume, true, predicted).index == 2
    # three differ where nothing is outlined: that is the worst one all the same
    predicted[2, 2, 0] = 1
    assert view(volume, true, predicted).index == 0


def test_a_large_picture_is_shown_where_it_differs_most(tmp_path):
    Image.fromarray(np.zeros((300, 400), np.uint8)).save(tmp_path / "x.png")
    true = np.ones((300, 400), np.int64)
    predicted = true.copy()
    predicted[250:280, 20:50] = 0
    predicted[10, 300:310] = 0
    shown = view(read_volume(tmp_path / "x.png"), true, predicted)
    assert shown.true.shape == (256, 256)
    assert (shown.predicted == 0).sum() == 900
    assert shown.errors == 910


class Known:
    """A network that says 1 everywhere, and what it learnt from."""

    kind = "run"
    classes = Classes(values=(0, 1, 5), names=("background", "head", "tail"))

    def __init__(self, training, held_out):
        self.trained_on = TrainedOn(training=training, held_out=held_out)

    def has(self, case):
        return True

    def check(self, volume):
        pass

    def labels(self, case, volume):
        return np.ones(volume.size, np.int64)


@pytest.mark.parametrize(
    ("training", "held_out", "which", "judged", "is_training_data", "learnt_from"),
    [
        (("a", "b"), ("c", "d"), None, {"c", "d"}, True, 0),
        (("a", "b"), ("c", "d"), "all", {"a", "b", "c", "d"}, True, 2),
        (("a", "other"), ("c",), None, {"a", "b", "c", "d"}, False, 1),
        (("a", "other"), ("c",), "validation", {"c"}, False, 0),
        (("x", "y"), ("z",), None, {"a", "b", "c", "d"}, False, 0),
    ],
)
def test_held_out_cases_are_judged_of_the_data_that_a_run_was_made_from(
    folders, monkeypatch, training, held_out, which, judged, is_training_data, learnt_from
):
    known = Known(training, held_out)
    monkeypatch.setattr("upstroke.apps.segment.evaluate.opened", lambda *_, **__: known)
    record = evaluate(*folders, which=which).as_json()
    assert {case["name"] for case in record["cases"]} == judged
    chosen = record["selection"]
    assert (chosen["is_training_data"], chosen["learnt_from"]) == (is_training_data, learnt_from)
    assert record["classes"][1]["cases"]["missed"] == len(judged)


def test_a_run_says_what_it_learnt_from_in_its_settings(tmp_path):
    split = {"train": ["a"], "validation": ["b"], "test": []}
    (tmp_path / "config.json").write_text(json.dumps({"settings": {"cases": split}}))
    assert answers._trained_on(tmp_path) == TrainedOn(training=("a",), held_out=("b",))
    (tmp_path / "config.json").write_text("{}")
    assert answers._trained_on(tmp_path) is None


def test_cases_without_a_prediction_are_named_and_not_judged(folders):
    made, data = folders
    (made / "a.nii.gz").unlink()
    record = evaluate(made, data).as_json()
    assert record["selection"]["without_answer"] == ["a"]
    assert len(record["cases"]) == 3


def refused(made, data, error, message, **options):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        evaluate(made, data, **options)


def test_what_cannot_be_judged_is_refused_in_a_sentence(folders, tmp_path):
    made, data = folders
    path = made / "b.nii.gz"
    values = labels(1)
    save(path, values[:8])
    refused(made, data, FileError, f"{path}: a prediction must have the size of its image, 9x11x6; got 8x11x6; predict it again, at full size")  # fmt: skip
    save(path, values, affine=AFFINE + np.eye(4)[:, [3, 0, 1, 2]])
    refused(made, data, FileError, f"{path}: a prediction must lie where its image does, to 0.05 of a voxel; its affine is another; predict again, or give it the image's affine")  # fmt: skip
    save(path, values * 2)
    refused(made, data, FileError, f"{path}: predictions must hold the values of the labels, 0, 1, 5; got 2; write class numbers as the labels have them, or name the class in dataset.json")  # fmt: skip
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UpstrokeError, match=re.escape(str(path))):
        evaluate(made, data)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, data, FileError, f"{empty} must hold predictions under the names of the images, such as a.nii.gz; got none for the 4 cases; name a folder that upstroke segment predict wrote, or a run")  # fmt: skip
    refused(made, data, OptionError, f"held-out cases are known of a run that says what it was trained on; got {made}; ask for all cases", which="validation")  # fmt: skip
    refused(tmp_path / "none", data, FileError, f"{tmp_path / 'none'} must be a run, a model or a folder of predictions; there is nothing of that name")  # fmt: skip
    (empty / "config.json").write_text("{}")
    refused(empty, data, FileError, f"{empty} must hold a finished run; its model.safetensors is missing; train to the end")  # fmt: skip
    shutil.rmtree(data / "labels")
    with pytest.raises(FileError):
        evaluate(made, data)


def test_labels_that_lie_elsewhere_than_their_image_are_refused(folders):
    made, data = folders
    path = data / "labels" / "c.nii.gz"
    save(path, labels(1), affine=AFFINE + np.eye(4)[:, [3, 0, 1, 2]])
    refused(made, data, FileError, f"{path} must lie where its image {data / 'images' / 'c.nii.gz'} does; their affines put corners more than 0.05 voxels apart; resample the mask to its image")  # fmt: skip


def test_labels_of_one_value_alone_are_named(folders):
    made, data = folders
    for name in "abcd":
        save(data / "labels" / f"{name}.nii.gz", labels(0) * 0)
    refused(made, data, FileError, "predictions cannot be judged by the labels of a, b, c and more: masks must hold two classes or more; they hold only the value 0; outline something in them")  # fmt: skip


def test_a_class_that_no_label_has_is_judged_where_it_has_a_name(folders):
    made, data = folders
    invented = labels(0)
    invented[0, 0, 0] = 7
    save(made / "a.nii.gz", invented)
    refused(made, data, FileError, f"{made / 'a.nii.gz'}: predictions must hold the values of the labels, 0, 1, 5; got 7; write class numbers as the labels have them, or name the class in dataset.json")  # fmt: skip
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "seven": 7}}))
    record = evaluate(made, data).as_json()
    (seven,) = (each for each in record["classes"] if each["name"] == "seven")
    assert seven["cases"] == {"both": 0, "missed": 0, "invented": 1, "absent": 3}


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_network_of_other_axes_is_named_before_labels_that_it_does_not_know(
    folders, tmp_path, monkeypatch, ndim
):
    made, data = folders
    path, size = data / "images" / "a.nii.gz", "3, 9x11x6"
    if ndim == 3:
        data = tmp_path / "flat"
        path, size = data / "images" / "a.png", "2, 9x11"
        for kind in ("images", "labels"):
            (data / kind).mkdir(parents=True)
            Image.fromarray(labels(0)[:, :, 2]).save(data / kind / "a.png")
    network = thresholds_for(monkeypatch)(ndim=ndim)
    asked = answers.Network(model=network, kind="model", trained_on=None, tile=None)
    monkeypatch.setattr("upstroke.apps.segment.evaluate.opened", lambda *_, **__: asked)
    refused(made, data, FileError, f"{path} must have {ndim} axes of space, as the images of the training had; it has {size}; use a model of such images")  # fmt: skip
    assert network.seen == []


def test_labels_that_a_network_does_not_know_are_refused(folders, monkeypatch):
    made, data = folders
    known = Known(("x",), ("y",))
    known.classes = Classes(values=(0, 1), names=("background", "head"))
    monkeypatch.setattr("upstroke.apps.segment.evaluate.opened", lambda *_, **__: known)
    path = data / "labels" / "a.nii.gz"
    with pytest.raises(
        FileError, match=f"^{re.escape(f'{path}: labels must be one of 0 (background), 1 (head)')}"
    ):
        evaluate(made, data)
