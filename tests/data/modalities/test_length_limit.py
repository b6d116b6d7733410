"""Where an encoder cuts: the advice that goes with it."""

import pytest

from mmbert.data.modalities.length_limit import LengthLimit


@pytest.mark.parametrize(
    ("most", "ceiling", "advice"),
    [
        (128, 512, "raise it with encoders.scan.max_tokens=... (at most 512)"),
        (128, float("inf"), "raise it with encoders.scan.max_tokens=..."),
        (512, 512, "512 is the most that this network takes"),
    ],
)
def test_advice(most, ceiling, advice):
    limit = LengthLimit("max_tokens", most, "tokens", lambda cells, folder: [], ceiling)
    assert limit.advice("scan") == advice


def test_the_unit_in_messages():
    assert LengthLimit("max_tokens", 3, "length", lambda cells, folder: []).unit == "vectors"
    assert LengthLimit("max_seconds", 3, "seconds", lambda cells, folder: []).unit == "seconds"
