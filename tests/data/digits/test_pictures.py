"""The demo set's pictures: real scans, none in two splits, spoiled as far as the options say."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from mmbert.data.digits.build import SHARES
from mmbert.data.digits.pictures import HEIGHT, WIDTH, PictureDifficulty, draw_number, scans_by_split

CLEAN = PictureDifficulty(noise=0, blur=0, occlusion=0, rotation=0, contrast=1)


@pytest.fixture(scope="module")
def scans():
    return scans_by_split(SHARES, seed=0)


def pixels(number, scans, seed, difficulty=CLEAN):
    return np.asarray(draw_number(number, scans, np.random.default_rng(seed), difficulty), float) / 255


def test_every_scan_is_in_exactly_one_split_under_its_own_digit(scans):
    loaded = load_digits()
    owner = {}
    total = 0
    for split, by_digit in scans.items():
        assert sorted(by_digit) == list(range(10))
        for digit, images in by_digit.items():
            assert len(images) > 10
            total += len(images)
            for image in images:
                assert owner.setdefault(image.tobytes(), (split, digit)) == (split, digit)
    assert total == len(owner) == 1797  # no two of the scans are alike, so their bytes are their names
    truth = {(image / 16).tobytes(): digit for image, digit in zip(loaded.images, loaded.target, strict=True)}
    assert {name: digit for name, (_, digit) in owner.items()} == truth
    sizes = {split: sum(map(len, by_digit.values())) for split, by_digit in scans.items()}
    for split, share in SHARES.items():
        assert sizes[split] / 1797 == pytest.approx(share / 9, abs=0.01)


def test_another_seed_deals_other_scans(scans):
    other = scans_by_split(SHARES, seed=1)
    assert not np.array_equal(other["test"][3], scans["test"][3])
    again = scans_by_split(SHARES, seed=0)
    assert np.array_equal(again["test"][3], scans["test"][3])


def test_a_clean_picture_shows_as_many_digits_as_the_number_has(scans):
    """A one and a zero, drawn at one seed, differ from the ten beside them only where they should."""
    rng = np.random.default_rng(0)
    for seed in rng.integers(10**6, size=20):
        ink = {n: 1 - pixels(n, scans["train"], seed) for n in (0, 10)}
        columns = {n: np.flatnonzero(image.max(0) > 0.3) for n, image in ink.items()}
        assert np.ptp(columns[10]) > np.ptp(columns[0])  # two digits are wider than one
        assert all(image.shape == (HEIGHT, WIDTH) for image in ink.values())


def test_tens_stand_left_of_ones():
    """Scans made up of one grey each: the darker the digit, the larger it is."""
    greys = {digit: np.full((1, 8, 8), 0.3 * (digit + 1)) for digit in range(3)}
    for seed in range(10):
        for number, expected in {10: (0.6, 0.3), 12: (0.6, 0.9)}.items():
            ink = 1 - pixels(number, greys, seed)
            rows = ink[ink.max(1) > 0.25]
            across = np.flatnonzero(np.median(rows, 0) > 0.25)
            left, right = np.median(rows[:, across[2:6]]), np.median(rows[:, across[-6:-2]])
            assert (left, right) == pytest.approx(expected, abs=0.05)


def test_a_classifier_of_scans_reads_clean_pictures(scans):
    """What is drawn is what the number says: a support vector machine learns it from pictures of other scans."""

    def data(split, count, start):
        numbers = [i % 13 for i in range(count)]
        return np.stack([centred(pixels(n, scans[split], start + i)) for i, n in enumerate(numbers)]), numbers

    def centred(image):  # the ink's box, stretched to 16 x 24: place and size are not what is tested
        ink = 1 - image
        ys, xs = np.flatnonzero(ink.max(1) > 0.3), np.flatnonzero(ink.max(0) > 0.3)
        box = ink[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
        rows = np.linspace(0, len(box) - 1, 16).round().astype(int)
        wide = np.zeros((16, 40))
        columns = np.linspace(0, box.shape[1] - 1, min(40, max(4, round(16 * box.shape[1] / box.shape[0]))))
        wide[:, : len(columns)] = box[rows][:, columns.round().astype(int)]
        return wide.ravel()

    model = SVC(C=10).fit(*data("train", 1300, 0))
    assert model.score(*data("test", 260, 10**6)) > 0.85  # chance is 0.08


@pytest.mark.parametrize("name", ["noise", "blur", "occlusion", "rotation", "contrast"])
def test_every_option_spoils_pictures(scans, name):
    value = {"noise": 0.3, "blur": 2.0, "occlusion": 1.0, "rotation": 30.0, "contrast": 0.1}[name]
    spoiled = PictureDifficulty(**{**vars(CLEAN), name: value})
    moved = [np.abs(pixels(8, scans["train"], i, spoiled) - pixels(8, scans["train"], i)).mean() for i in range(30)]
    assert np.mean(moved) > 0.01


def test_noise_is_as_strong_as_declared(scans):
    """Noise is drawn from 0 up to the option: over empty paper of middling grey the mean deviation is half of it."""
    noisy = PictureDifficulty(noise=0.2, blur=0, occlusion=0, rotation=0, contrast=0.0)
    spread = []
    for seed in range(300):
        image = pixels(1, scans["train"], seed, noisy)
        if 0.4 < np.median(image) < 0.6:  # far from black and white, where noise is cut off
            spread.append(np.median(np.abs(image - np.median(image))) / 0.6745)
    assert len(spread) > 20
    assert max(spread) < 0.23
    assert np.mean(spread) == pytest.approx(0.1, abs=0.03)


def test_pictures_vary(scans):
    images = {pixels(5, scans["train"], seed, PictureDifficulty()).tobytes() for seed in range(50)}
    assert len(images) == 50
