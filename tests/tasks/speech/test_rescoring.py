"""Rescoring: pseudo-log-likelihoods token by token as by hand, and the weight with the fewest errors."""

import math

import pytest
import torch

from mmbert.encoders.pretrained.masked_model import load_masked_model
from mmbert.encoders.pretrained.transformers import tiny_bert_parts
from mmbert.tasks.speech.rescoring import PseudoLikelihood, best_weight, rescored


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    from transformers import BertForMaskedLM

    torch.manual_seed(0)
    config, tokenizer = tiny_bert_parts({})
    folder = tmp_path_factory.mktemp("masked")
    BertForMaskedLM(config).save_pretrained(folder / "whole")
    tokenizer.save_pretrained(folder / "whole")
    return folder


def test_each_token_is_masked_by_itself(masked):
    network, tokenizer = load_masked_model(str(masked / "whole"))
    ids = tokenizer("a dog")["input_ids"]
    total = 0.0
    for place in range(1, len(ids) - 1):  # not [CLS] and [SEP]
        hidden = torch.tensor([ids[:place] + [tokenizer.mask_token_id] + ids[place + 1 :]])
        total += float(network(input_ids=hidden).logits[0, place].log_softmax(-1)[ids[place]])
    judge = PseudoLikelihood(str(masked / "whole"))
    first = judge.scores(["a dog", "", "a dog"], torch.device("cpu"))
    assert first == pytest.approx([total, 0.0, total], rel=1e-5) and total < -5
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_of_a_text_longer_than_the_model_takes_the_beginning_is_scored(masked, tmp_path):
    network, tokenizer = load_masked_model(str(masked / "whole"))
    tokenizer.model_max_length = 10**30  # as of checkpoints that do not say it
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    judge = PseudoLikelihood(str(tmp_path))
    assert judge.scores(["a" * 400], torch.device("cpu")) == judge.scores(["a" * 126], torch.device("cpu"))


def test_saved_it_scores_alike(masked, tmp_path):
    judge = PseudoLikelihood(str(masked / "whole"))
    judge.save(tmp_path / "saved")
    again = PseudoLikelihood(str(tmp_path / "saved"))
    texts = ["one", "two three"]
    assert judge.scores(texts, torch.device("cpu")) == again.scores(texts, torch.device("cpu"))


def test_the_order_follows_both_scores_and_0_leaves_it():
    scores = [(-1.0, -9.0), (-2.0, -5.0), (-2.0, -5.0), (-3.0, -1.0)]
    assert rescored(scores, 0.0) == [0, 1, 2, 3]
    assert rescored(scores, 0.3) == [3, 1, 2, 0]  # -3.7, -3.5, -3.5, -3.3
    assert rescored([], 1.0) == []


def test_the_weight_has_the_fewest_errors_on_the_grid_and_is_the_smallest_of_several():
    generator = torch.Generator().manual_seed(0)
    grid = [1.0, 0.0, 0.5, 2.0]
    for _ in range(20):
        samples = [
            {
                "scores": [tuple(pair) for pair in (-5 * torch.rand(4, 2, generator=generator)).tolist()],
                "errors": torch.randint(0, 4, (4,), generator=generator).tolist(),
            }
            for _ in range(6)
        ]
        by_hand = {}
        for weight in grid:
            best = [max(range(4), key=lambda i: s["scores"][i][0] + weight * s["scores"][i][1]) for s in samples]  # noqa: B023
            by_hand[weight] = sum(s["errors"][i] for s, i in zip(samples, best, strict=True))
        fewest = min(by_hand.values())
        chosen, errors = best_weight(samples, grid)
        assert chosen == min(weight for weight in grid if by_hand[weight] == fewest)
        assert errors == [by_hand[weight] for weight in sorted(grid)]
    assert math.isclose(best_weight([{"scores": [(-1.0, -2.0)], "errors": [3]}], grid)[0], 0.0)
