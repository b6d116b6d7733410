"""A network that is far larger than its weights is refused before memory is taken."""

import pytest
import torch
from torch import nn

from mmbert.model.build_limit import MORE_BYTES, MORE_TENSORS, BuildLimit, TooLarge, numbers_of

LARGE = {
    "a matrix": lambda: nn.Linear(10**6, 10**5),
    "a table": lambda: nn.Embedding(2**31, 64),
    "a row": lambda: torch.linspace(0, 1, 2**31),
    "a range": lambda: torch.arange(2**33),
    "a window": lambda: torch.hann_window(2**31),
    "many layers": lambda: [nn.Linear(2, 2) for _ in range(MORE_TENSORS)],
    "many that add up": lambda: [nn.Linear(2**10, 2**10) for _ in range(80)],  # 80 * 4 MiB > 256 MiB
}


@pytest.mark.parametrize("case", LARGE)
def test_what_is_refused(case):
    with pytest.raises(TooLarge), BuildLimit(1000, 5):
        LARGE[case]()


def test_what_fits_is_built_as_ever():
    torch.manual_seed(0)
    plain = nn.TransformerEncoderLayer(16, 2, 32).state_dict()
    torch.manual_seed(0)
    with BuildLimit(1000, 5):
        counted = nn.TransformerEncoderLayer(16, 2, 32).state_dict()
    assert all(torch.equal(plain[name], counted[name]) for name in plain)


def test_the_weights_on_disk_count_eight_times():
    side = int((MORE_BYTES / 4) ** 0.5)
    with BuildLimit(0, 0), pytest.raises(TooLarge):
        nn.Linear(side, side + 1)
    with BuildLimit(2**10 * side, 0):
        nn.Linear(side, side + 1)


def test_rows_between_bounds():
    assert (
        numbers_of("arange", (5,)) == 5 and numbers_of("arange", (2, 6)) == 4 and numbers_of("arange", (0, 9, 3)) == 3
    )
    assert numbers_of("linspace", (0.0, 1.0, 7)) == 7 and numbers_of("arange", (3, 1)) == 0
