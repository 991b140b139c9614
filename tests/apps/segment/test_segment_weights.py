"""Weights of voxels: the formula as loops over voxels, on every axis, in a window as in the whole."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.survey import survey
from upstroke.apps.segment.weights import Weights, balance
from upstroke.errors import OptionError


def cells_of(labels):
    """The voxels of each cell, one after the other, by walking from face to face."""
    left, cells = {at for at in np.ndindex(labels.shape) if labels[at] > 0}, []
    while left:
        edge = [left.pop()]
        cell = list(edge)
        while edge:
            at = edge.pop()
            for axis, step in itertools.product(range(labels.ndim), (-1, 1)):
                beside = (*at[:axis], at[axis] + step, *at[axis + 1 :])
                if beside in left and labels[beside] == labels[at]:
                    left.remove(beside)
                    edge.append(beside)
                    cell.append(beside)
        cells.append(cell)
    return cells


def looped(weights, labels, spacing):
    """The formula, voxel by voxel."""
    cells, shortest = cells_of(labels), min(spacing)
    found = np.zeros(labels.shape)
    for at in np.ndindex(labels.shape):
        if labels[at] < 0:
            continue
        found[at] = weights.classes[labels[at]]
        distances = sorted(
            min(
                math.sqrt(
                    sum(
                        ((a - b) * edge / shortest) ** 2
                        for a, b, edge in zip(at, other, spacing, strict=True)
                    )
                )
                for other in cell
            )
            for cell in cells
        )
        if len(distances) > 1 and sum(distances[:2]) <= 4 * weights.sigma:
            found[at] += weights.border * math.exp(-(sum(distances[:2]) ** 2) / (2 * weights.sigma**2))
    return found


def scattered(size, *, seed):
    """Mostly background, some cells of either class that touch or do not, some voxels that are not counted."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(size, generator=generator)
    labels = torch.zeros(size, dtype=torch.int16)
    labels[draws < 0.12], labels[draws < 0.07], labels[draws < 0.02] = 1, 2, -1
    return labels


@pytest.mark.parametrize("sigma", [0.6, 1.7, 5.0])
@pytest.mark.parametrize(
    ("size", "spacing"), [((11, 19), (1.0, 1.0)), ((13, 9), (0.7, 1.9)), ((5, 8, 6), (3.0, 0.8, 1.0))]
)
def test_weights_are_the_formula_whatever_the_edges_of_a_voxel(size, spacing, sigma):
    weights = Weights(classes=(0.5, 2.0, 7.0), border=10.0, sigma=sigma)
    for seed in range(3):
        labels = scattered(size, seed=seed)
        assert set(labels.unique().tolist()) == {-1, 0, 1, 2}
        wanted = torch.from_numpy(looped(weights, labels.numpy(), spacing)).float()
        torch.testing.assert_close(weights.map(labels, spacing=spacing), wanted)
        # the unit of length is nobody's business
        longer = tuple(25.4 * each for each in spacing)
        torch.testing.assert_close(weights.map(labels, spacing=longer), wanted)


@pytest.mark.parametrize("size", [(40, 53), (14, 11, 17)])
def test_in_a_window_they_are_those_of_the_whole(size):
    weights = Weights(classes=(1.0, 2.0, 3.0), sigma=1.5)
    spacing = (2.0, 1.0, 1.5)[: len(size)]
    for seed in range(4):
        labels = scattered(size, seed=seed)
        whole = weights.map(labels, spacing=spacing)
        begin = [(3, 0, 5)[(axis + seed) % 3] for axis in range(len(size))]
        inner = [
            count - first - (2, 4, 0)[axis]
            for axis, (count, first) in enumerate(zip(size, begin, strict=True))
        ]
        cut = tuple(slice(first, first + count) for first, count in zip(begin, inner, strict=True))
        assert torch.equal(weights.map(labels, spacing=spacing, begin=begin, size=inner), whole[cut])


def test_a_gap_counts_more_the_narrower_it_is_and_one_cell_alone_has_none():
    weights = Weights(classes=(1.0, 1.0))
    labels = torch.zeros(30, 60, dtype=torch.int16)
    labels[5:25, 5:20] = 1
    assert torch.equal(weights.map(labels, spacing=(1.0, 1.0)), torch.ones(30, 60))
    middles = []
    for gap in (1, 3, 9, 19, 20):
        labels[:, 20:] = 0
        labels[5:25, 20 + gap : 40] = 1
        found = weights.map(labels, spacing=(1.0, 1.0))
        middles.append(float(found[15, 20 + gap // 2]))
        # to the nearest voxels of both, from middle to middle
        assert middles[-1] == pytest.approx(1 + (10 * math.exp(-((gap + 1) ** 2) / 50) if gap < 20 else 0))
    assert middles == sorted(middles, reverse=True)
    # a cell that reaches round the gap is one with the other
    labels[5:25, 20:], labels[5, 20:23], labels[5:25, 23:40] = 0, 1, 1
    assert torch.equal(weights.map(labels, spacing=(1.0, 1.0)), torch.ones(30, 60))


def test_cells_that_touch_by_a_corner_are_two_and_so_are_two_classes():
    weights = Weights(classes=(0.0, 0.0, 0.0), border=1.0, sigma=1.0)
    corner = torch.tensor([[1, 0], [0, 1]])
    assert float(weights.map(corner, spacing=(1.0, 1.0))[0, 1]) == pytest.approx(math.exp(-2))
    face = torch.tensor([[1, 2], [1, 2]])
    assert (weights.map(face, spacing=(1.0, 1.0)) == weights.map(face.flip(0), spacing=(1.0, 1.0))).all()
    assert float(weights.map(face, spacing=(1.0, 1.0))[0, 0]) == pytest.approx(math.exp(-0.5))


def test_classes_count_alike_over_all_files_together(tmp_path):
    """Of 40 voxels 30 are background and 10 are cells; the third class is in no file."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, cells in enumerate((2, 8)):
        mask = np.zeros((4, 5), dtype=np.uint8)
        mask.ravel()[:cells] = 255
        Image.fromarray(mask).save(tmp_path / "labels" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "images" / f"{number}.png")
    cases = find_cases(tmp_path)
    classes = Classes(values=(0, 255, 7), names=("background", "cell", "none"))
    assert balance(survey(cases, classes=classes).masks) == (40 / (2 * 30), 40 / (2 * 10), 1.0)


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        ({"sigma": 0.0}, "1, 2, 10 and the sigma 0"),
        ({"border": -1.0}, "1, 2, -1 and the sigma 5"),
        ({"classes": (1.0, math.inf)}, "1, inf, 10 and the sigma 5"),
        ({"sigma": math.nan}, "1, 2, 10 and the sigma nan"),
    ],
)
def test_weights_without_meaning_are_refused(settings, got):
    message = f"weights must be numbers from 0 up, and sigma above 0; got {got}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Weights(**{"classes": (1.0, 2.0), **settings})
