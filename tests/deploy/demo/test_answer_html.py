"""What is shown of an explained sample."""

from mmbert.deploy.demo.answer_html import answer_page
from mmbert.deploy.demo.sample_shares import ModalityContribution, SampleShares

GLAD = {"prediction": "<glad>", "probabilities": {"<glad>": 0.8, "sad": 0.2}}
SAD = {"prediction": "sad", "probabilities": {"<glad>": 0.3, "sad": 0.7}}


def test_answers_shares_and_what_is_left_are_shown_and_escaped():
    parts = {"mood": {"text": ModalityContribution(0.3, 0.75), "image": ModalityContribution(-0.1, 0.25)}}
    answers = {"mood": GLAD, "size": {"prediction": 1.23456}, "tags": {"prediction": [], "probabilities": {}}}
    left = {"mood": SAD, "size": {"prediction": 1.2}, "tags": {"prediction": []}}
    page = answer_page(SampleShares(answers, {"text": left, "image": answers}, parts), ["text", "image"], "nothing")
    assert "&lt;glad&gt;" in page and "<glad>" not in page
    for shown in ("80 %", "width:75.00%", "text 75 % · image 25 %", "φ = -0.100", "without text", "1.235", "none"):
        assert shown in page
    assert '<span class="other">sad</span> <span class="soft">70 %</span>' in page and "not explained" in page


def test_a_lone_modality_and_one_that_changes_nothing_are_said():
    parts = {"mood": {"text": ModalityContribution(0.0, float("nan"))}}
    page = answer_page(SampleShares({"mood": GLAD}, {}, parts), ["text"], "nothing")
    assert "nothing to take away" in page and "no modality changes it" in page
