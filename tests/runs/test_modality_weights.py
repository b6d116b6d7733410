"""Curves of modality weights from what a run noted epoch by epoch."""

from mmbert.runs.modality_weights import curves_over_epochs


def test_epochs_are_put_in_order_counted_from_one_and_gaps_left_out():
    noted = [
        {"epoch": 1, "gate": {"modalities": ["text", "image"], "mean": [0.75, None]}},
        {"epoch": 0, "gate": {"modalities": ["text", "image"], "mean": [0.5, 0.25]}},
    ]
    assert curves_over_epochs(noted) == {"gate": {"text": [(1, 0.5), (2, 0.75)], "image": [(1, 0.25)]}}
    assert curves_over_epochs([]) == {}
