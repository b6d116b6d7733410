"""Perceptual hashes: against the transform by its formula, under small changes, and all near pairs by brute force."""

import numpy as np
import pytest
from PIL import Image

from mmbert.data.modalities.perceptual_hash import distance, near_pairs, perceptual_hash


def scene(size=64):
    y, x = np.mgrid[:size, :size] / size
    grey = 120 + 60 * np.cos(7 * x + 2) + 50 * np.sin(5 * y * x + 1)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def test_the_bits_are_those_of_the_cosine_transform():
    image = scene(32)
    n = np.arange(32)
    basis = np.cos(np.pi * np.outer(np.arange(8), n + 0.5) / 32) * np.sqrt(2 / 32)
    basis[0] /= np.sqrt(2)
    low = (basis @ np.asarray(image, np.float64) @ basis.T).ravel()
    expected = sum(1 << (63 - place) for place, value in enumerate(low) if value > np.median(low))
    assert perceptual_hash(image) == expected


def test_small_changes_move_few_bits_and_another_picture_moves_many():
    image = scene()
    first = perceptual_hash(image)
    assert distance(first, perceptual_hash(image.resize((200, 200)))) <= 4
    assert distance(first, perceptual_hash(image.point(lambda grey: grey * 0.9))) <= 4
    assert distance(first, perceptual_hash(image.rotate(90))) > 4


@pytest.mark.parametrize("level", [0, 128])
def test_a_picture_of_one_grey_has_no_hash(level):
    assert perceptual_hash(Image.new("RGB", (9, 9), (level,) * 3)) is None


def test_the_distance_is_in_bits():
    assert distance(0b1011, 0b0010) == 2


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_near_pair_is_missed_and_each_comes_once(limit):
    random = np.random.default_rng(limit)
    hashes = [int(value) for value in random.integers(0, 2**8, 60)]  # of 8 bits, many are near
    expected = [(i, j) for j in range(60) for i in range(j) if (hashes[i] ^ hashes[j]).bit_count() <= limit]
    assert len(expected) > 3
    assert sorted(near_pairs(hashes, limit, bits=8)) == sorted(expected)
