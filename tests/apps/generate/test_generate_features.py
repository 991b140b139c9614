"""Hold the built-in features by what they must tell, what they must not, and by their seed."""

import re

import numpy as np
import pytest
import torch
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter

from strategies import seeded
from upstroke.apps.generate import features as module
from upstroke.apps.generate.distances import feature_distances
from upstroke.apps.generate.features import own_features
from upstroke.apps.generate.values import signed
from upstroke.errors import OptionError, ShapeError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def faces(data_dir):
    held = loadmat(data_dir / "faces" / "olivetti" / "olivettifaces.mat")["faces"]
    order = np.random.default_rng(0).permutation(400)
    upright = held.T.reshape(400, 1, 64, 64).swapaxes(2, 3)[order]
    return upright.reshape(400, 1, 32, 2, 32, 2).mean(axis=(3, 5)).astype(np.uint8)


@pytest.fixture(scope="module")
def learned(faces):
    return own_features(faces[:200], steps=80)


def blurred(pictures, sigma):
    return np.stack([gaussian_filter(each.astype(float), (0, sigma, sigma)) for each in pictures]).astype(
        np.uint8
    )


def test_other_faces_are_at_no_distance_and_changed_ones_are(faces, learned):
    seen, other = faces[:200], faces[200:]
    known = learned(seen)

    def distance(pictures):
        return feature_distances(learned(pictures), known, subsets=30)

    alike = distance(other)
    assert abs(alike.kid) < 3 * alike.kid_spread
    grid = np.tile(np.array([[0, 1], [1, 0]]), (16, 16))
    changed = {
        "noise": noise(200, 1, 32, 32),
        "grid": (other + 10 * grid).clip(0, 255).astype(np.uint8),
        "contrast": (other * 0.7 + 40).astype(np.uint8),
        "few of them": other[:8].repeat(25, axis=0),
    }
    measured = {name: distance(pictures) for name, pictures in changed.items()}
    for name, found in measured.items():
        assert found.kid > alike.kid + 3 * found.kid_spread, name
        assert found.fid > 1.5 * alike.fid, name
    noisy = measured.pop("noise")
    assert noisy.kid > 20 * max(each.kid for each in measured.values())


def test_distances_grow_with_blur(faces, learned):
    known = learned(faces[:200])
    found = [
        feature_distances(learned(blurred(faces[200:], sigma)), known, subsets=30)
        for sigma in (0.0, 0.5, 1.0, 2.0, 4.0)
    ]
    for kind in ("fid", "kid"):
        values = [getattr(each, kind) for each in found]
        assert values == sorted(values), kind
    assert found[2].kid > found[0].kid + 3 * found[2].kid_spread


def test_training_makes_the_parts_of_a_picture_recognisable(faces):
    """The share of unseen pictures whose other part is the nearest one."""
    other = signed(faces[200:300])
    shares = []
    for steps in (0, 80):
        network = own_features(faces[:200], steps=steps).network
        generator = seeded(1)
        with torch.no_grad():
            told = torch.stack([network(module._changed(other, generator)) for _ in range(2)])
            one, two = torch.nn.functional.normalize(told - told.mean(dim=(0, 1)), dim=2)
        shares.append(((one @ two.T).argmax(dim=1) == torch.arange(100)).double().mean().item())
    # 0.07 of 100 before and 0.2 after; guessing gives 0.01
    assert shares[1] > 2 * shares[0]


def test_the_seed_says_all_and_the_process_keeps_its_own():
    pictures = noise(20, 3, 9, 16)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = own_features(pictures, steps=3, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    again, other, longer = (own_features(pictures, steps=steps, seed=seed) for steps, seed in ((3, 1), (3, 2), (4, 1)))  # fmt: skip
    assert torch.equal(again(pictures), first(pictures))
    assert again.as_json() == first.as_json()
    prints = {each.as_json()["fingerprint"] for each in (first, other, longer)}
    assert len(prints) == 3
    assert first.as_json() == {
        "network": "built-in",
        "scope": "trained on these pictures alone: compare numbers of one fingerprint only",
        "features": 64,
        "trained_on": 20,
        "size": [3, 9, 16],
        "steps": 3,
        "seed": 1,
        "fingerprint": first.as_json()["fingerprint"],
    }


def test_features_of_a_picture_do_not_know_its_company(monkeypatch):
    pictures = noise(30, 1, 8, 8)
    network = own_features(pictures, steps=2)
    whole = network(pictures)
    assert whole.shape == (30, 64)
    torch.testing.assert_close(network(pictures[7:9]), whole[7:9])
    monkeypatch.setattr(module, "AT_ONCE", 7)
    torch.testing.assert_close(network(pictures), whole)
    assert network(pictures[:0]).shape == (0, 64)


@pytest.mark.parametrize("size", [(8, 8), (17, 40), (32, 32), (64, 64), (128, 128)])
def test_pictures_of_any_size_have_as_many_features(size):
    assert own_features(noise(8, 3, *size), steps=1)(noise(2, 3, *size)).shape == (2, 64)


def test_the_loss_is_that_of_finding_the_partner():
    told = torch.randn(6, 4, generator=seeded(0), dtype=torch.float64)
    wanted = 0.0
    for i in range(6):
        cosine = [
            float(torch.nn.functional.cosine_similarity(told[i], told[j], dim=0)) / 0.2 for j in range(6)
        ]
        others = [np.exp(cosine[j]) for j in range(6) if j != i]
        wanted -= np.log(np.exp(cosine[(i + 3) % 6]) / sum(others)) / 6
    assert module._telling_apart(told).item() == pytest.approx(wanted)


def test_a_part_is_cut_out_and_never_what_lies_beyond():
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    ramps = torch.stack([y, x])[None].repeat(50, 1, 1, 1)
    # brightness and contrast change both ramps alike
    found = module._changed(ramps, seeded(0))
    assert found.shape == ramps.shape
    for axis, n in ((0, 20), (1, 30)):
        along = found[:, axis].movedim(1 + axis, -1)
        step = (along[..., 1:-1].diff(dim=-1)).flatten(1)
        # between 0.6 and 1 of the slope, times 0.9 to 1.1
        assert step.min() > 0.6 * 0.9 - 1e-3
        assert step.max() < 1.1 + 1e-3
        assert found[:, axis].min() > -0.11
        assert found[:, axis].max() < 1.1 * (n - 1) + 0.11
    assert found.std(dim=0).min() > 0.3


@pytest.mark.parametrize(
    ("shape", "steps", "error", "message"),
    [
        ((7, 1, 16, 16), 5, OptionError, "a feature network is trained on at least 8 pictures in 0 or more steps; got 7 pictures and 5 steps"),
        ((9, 1, 16, 16), -1, OptionError, "a feature network is trained on at least 8 pictures in 0 or more steps; got 9 pictures and -1 steps"),
        ((9, 1, 7, 16), 5, ShapeError, "pictures must be at least 8 pixels on a side to have features; got 7x16"),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_learned_from_are_refused(shape, steps, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        own_features(noise(*shape), steps=steps)


def test_pictures_of_another_size_are_refused():
    network = own_features(noise(8, 1, 8, 8), steps=0)
    message = "this feature network was trained on pictures of 1x8x8; got 3x8x8; resize them"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        network(noise(2, 3, 8, 8))
