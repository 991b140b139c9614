"""Hold that outlines of COCO become masks by the centres of pixels, and that contradictions are named."""

import json
import re
from pathlib import Path

import matplotlib.path
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.segment.coco import Outline, Polygons, annotated, filled, read_coco
from upstroke.errors import FileError

SIZE = (9, 13)


def as_formula(ring, size):
    """Even-odd, one pixel at a time: crossings strictly above and below the centre, at or left of it."""
    corners = np.array(ring, dtype=float).reshape(-1, 2)
    mask = np.zeros(size, dtype=bool)
    for row, column in np.ndindex(*size):
        x, y = column + 0.5, row + 0.5
        count = 0
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if (y0 <= y) != (y1 <= y):
                count += (x - x0) * abs(y1 - y0) >= (y - y0) * (x1 - x0) * np.sign(y1 - y0)
        mask[row, column] = count % 2
    return mask


# halves, so that centres lie on edges and corners again and again
halves = st.integers(-6, 32).map(lambda number: number / 2)
rings = st.lists(st.tuples(halves, halves), min_size=3, max_size=7).map(
    lambda ring: [c for xy in ring for c in xy]
)


@given(rings)
def test_pixels_are_filled_by_their_centres(ring):
    assert (filled(ring, SIZE) == as_formula(ring, SIZE)).all()


def test_away_from_edges_matplotlib_says_the_same():
    random = np.random.default_rng(0)
    for _ in range(20):
        angles = np.sort(random.uniform(0, 2 * np.pi, 9))
        corners = np.c_[6.5 + 6 * np.cos(angles), 4.5 + 4 * np.sin(angles)]
        centres = np.c_[[(c + 0.5, r + 0.5) for r, c in np.ndindex(*SIZE)]]
        inside = matplotlib.path.Path(corners).contains_points(centres).reshape(SIZE)
        assert (filled(corners.ravel().tolist(), SIZE) == inside).all()


@given(st.tuples(halves, halves))
def test_neighbours_share_no_pixel_and_leave_none_out(point):
    x, y = min(max(point[0], 0), 13), min(max(point[1], 0), 9)
    frame = [(0, 0), (13, 0), (13, 9), (0, 9)]
    parts = [[*frame[at], *frame[(at + 1) % 4], x, y] for at in range(4)]
    assert (sum(filled(part, SIZE).astype(int) for part in parts) == 1).all()


def test_whole_boxes_have_their_area_and_a_ring_in_a_ring_of_its_own_path_is_a_hole():
    assert filled([2, 1, 7, 1, 7, 4, 2, 4], SIZE).sum() == 15
    keyhole = [1, 1, 9, 1, 9, 8, 1, 8, 1, 1, 3, 3, 3, 6, 6, 6, 6, 3, 3, 3]
    assert filled(keyhole, SIZE).sum() == 8 * 7 - 9


def test_an_object_is_the_union_of_its_rings_and_the_later_object_wins():
    first = Outline(value=1, rings=((0, 0, 6, 0, 6, 6, 0, 6), (2, 2, 9, 2, 9, 4, 2, 4)))
    second = Outline(value=2, rings=((5, 0, 8, 0, 8, 3, 5, 3),))
    mask = Polygons(source=Path("x"), size=SIZE, outlines=(first, second)).labels()
    assert (mask == 2).sum() == 9
    assert (mask == 1).sum() == 36 + 6 - 3 - 2
    assert (Polygons(source=Path("x"), size=SIZE, outlines=(second, first)).labels() == 1).sum() == 42


def record(**changes):
    return {
        "images": [{"id": 5, "file_name": "a.png", "height": 3, "width": 4}],
        "categories": [
            {"id": 0, "name": "things", "supercategory": "none"},
            {"id": 2, "name": "cat", "supercategory": "things"},
            {"id": 1, "name": "dog", "supercategory": "things"},
        ],
        "annotations": [
            {"id": 9, "image_id": 5, "category_id": 2, "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]]}
        ],
        **changes,
    }


def stored(tmp_path, **changes):
    path = tmp_path / "_annotations.coco.json"
    path.write_text(json.dumps(record(**changes)))
    return path


def test_a_heading_is_no_class_and_background_is_no_category(tmp_path):
    found, names = read_coco(stored(tmp_path))
    assert names == {1: "dog", 2: "cat"}
    assert found["a.png"].labels().tolist() == [[0, 2, 2, 0], [0, 2, 2, 0], [0, 0, 0, 0]]
    found, names = read_coco(stored(tmp_path, annotations=[]))
    assert not found["a.png"].labels().any()


@pytest.mark.parametrize("counts", [[1, 2, 3, 1, 5], "123O2"])
def test_runs_go_down_the_columns(tmp_path, counts):
    shape = {"size": [3, 4], "counts": counts}
    annotation = {"id": 1, "image_id": 5, "category_id": 1, "iscrowd": 1, "segmentation": shape}
    found, _ = read_coco(stored(tmp_path, annotations=[annotation]))
    assert found["a.png"].labels().T.ravel().tolist() == [0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]


def packed(runs):
    """COCO's rleToString."""
    text = ""
    for at, run in enumerate(runs):
        number = run - runs[at - 2] if at > 2 else run
        more = True
        while more:
            bits = number & 31
            number >>= 5
            more = number != -1 if bits & 16 else number != 0
            text += chr((bits | 32 if more else bits) + 48)
    return text


def test_long_runs_are_unpacked(tmp_path):
    runs = [0, 1000, 3, 40000, 1, 7, 12]
    shape = {"size": [1, sum(runs)], "counts": packed(runs)}
    image = {"id": 5, "file_name": "a.png", "height": 1, "width": sum(runs)}
    annotation = {"id": 1, "image_id": 5, "category_id": 1, "segmentation": shape}
    found, _ = read_coco(stored(tmp_path, images=[image], annotations=[annotation]))
    assert found["a.png"].outlines[0].runs == tuple(runs)


ANNOTATION = record()["annotations"][0]
IMAGE = record()["images"][0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"images": None},
            " must be a COCO file of outlines; it lists no images; export it as COCO segmentation",
        ),
        ({"images": [IMAGE, IMAGE]}, ": its images have the id 5 twice; export it again"),
        (
            {"images": [IMAGE, {**IMAGE, "id": 6}]},
            ": two of its 2 images have the same file name; export it again",
        ),
        (
            {"images": [{**IMAGE, "height": 0}]},
            ": image 5 needs file_name, height and width; export it again",
        ),
        (
            {"annotations": [{**ANNOTATION, "image_id": 7}]},
            ": annotation 9 speaks of image 7, which is missing; export again",
        ),
        (
            {"annotations": [{**ANNOTATION, "category_id": 7}]},
            ": annotation 9 speaks of category 7, which is missing; export again",
        ),
        (
            {"annotations": [{**ANNOTATION, "segmentation": []}]},
            ": annotation 9 has no outline, only a box perhaps; export it as COCO segmentation",
        ),
        (
            {"annotations": [{**ANNOTATION, "segmentation": [[1, 2, 3, 4]]}]},
            ": annotation 9 must have polygons of three corners or more, x and y in turn; export it again",
        ),
        (
            {"annotations": [{**ANNOTATION, "segmentation": [[9, 0, 12, 0, 12, 2]]}]},
            ": annotation 9 lies outside of its picture of 4x3 pixels (9, 0, 12, 2); export it again",
        ),
        (
            {"annotations": [{**ANNOTATION, "segmentation": {"size": [3, 4], "counts": [1, 2]}}]},
            ": annotation 9 must have runs that fill its picture of 4x3 pixels; export it again",
        ),
        (
            {"annotations": [{**ANNOTATION, "category_id": [1]}]},
            ": annotation 9 speaks of category [1], which is missing; export again",
        ),
        (
            {"annotations": [{**ANNOTATION, "segmentation": [[0, 0, 10**400, 0, 3, 2]]}]},
            ": annotation 9 must have polygons of three corners or more, x and y in turn; export it again",
        ),
        (
            {"annotations": [{**ANNOTATION, "segmentation": {"size": 3, "counts": [12]}}]},
            ": annotation 9 must have runs that fill its picture of 4x3 pixels; export it again",
        ),
        (
            {"images": [{**IMAGE, "height": 2**30}]},
            ": image 5 has more than 1073741824 pixels, 4x1073741824; cut it",
        ),
    ],
)
def test_contradictions_are_named(tmp_path, changes, words):
    path = stored(tmp_path, **changes)
    with pytest.raises(FileError, match=f"^{re.escape(str(path) + words)}$"):
        read_coco(path)


def test_pictures_that_are_missing_or_elsewhere_are_named(tmp_path):
    path = stored(tmp_path)
    message = f"{path}: 1 of its 1 pictures are not there (a.png); copy them beside it"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        annotated(path)
    path = stored(tmp_path, images=[{**IMAGE, "file_name": "../a.png"}])
    with pytest.raises(FileError, match=r"lies outside of its folder"):
        annotated(path)
    path.write_text("{")
    with pytest.raises(FileError, match=r"is not a whole JSON file"):
        annotated(path)


def test_the_tumours_have_the_area_of_their_polygons(data_dir):
    found, names = read_coco(data_dir / "medical" / "brain_tumor_coco" / "val" / "_annotations.coco.json")
    assert names == {1: "object"}
    assert len(found) == 20
    for polygons in found.values():
        for outline in polygons.outlines:
            (ring,) = outline.rings
            x, y = np.array(ring).reshape(-1, 2).T
            area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
            edge = np.hypot(np.diff(x, append=x[0]), np.diff(y, append=y[0])).sum()
            assert abs(filled(ring, polygons.size).sum() - area) < 0.2 * edge + 1


CATEGORIES = [
    {"id": 0, "name": "cells", "supercategory": "none"},
    {"id": 1, "name": "cells", "supercategory": "cells"},
    {"id": 2, "name": "nuclei", "supercategory": "cells"},
]


@pytest.mark.parametrize("used", [(1,), (2,), (1, 2)])
def test_classes_have_the_same_values_whichever_of_them_a_part_of_the_data_outlines(tmp_path, used):
    annotations = [{**ANNOTATION, "id": at, "category_id": at} for at in used]
    found, names = read_coco(stored(tmp_path, categories=CATEGORIES, annotations=annotations))
    assert names == {1: "cells", 2: "nuclei"}
    assert tuple(outline.value for outline in found["a.png"].outlines) == used


def test_pictures_beside_the_folder_of_annotations_are_found_as_cvat_exports_them(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    path = stored(tmp_path).rename(tmp_path / "annotations" / "instances_default.json")
    (tmp_path / "images" / "a.png").touch()
    found, _ = annotated(path)
    assert list(found) == [tmp_path / "images" / "a.png"]
