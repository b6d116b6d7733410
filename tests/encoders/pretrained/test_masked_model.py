"""Masked language models are loaded whole, or refused."""

import pytest
import torch

from mmbert.core.errors import WeightsError
from mmbert.encoders.pretrained.masked_model import load_masked_model
from mmbert.encoders.pretrained.transformers import tiny_bert_parts


def saved(folder, name, mask=True):
    import transformers

    config, tokenizer = tiny_bert_parts({})
    getattr(transformers, name)(config).save_pretrained(folder)
    if not mask:
        tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_whole_one_is_loaded_in_evaluation_mode_without_gradients(tmp_path):
    network, tokenizer = load_masked_model(saved(tmp_path, "BertForMaskedLM"))
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    ids = torch.tensor([tokenizer("dog")["input_ids"]])
    assert network(input_ids=ids).logits.shape == (1, 5, len(tokenizer))


def test_what_is_none_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="is no masked language model: it has no weights for cls"):
        load_masked_model(saved(tmp_path / "headless", "BertModel"))
    with pytest.raises(WeightsError, match="has no mask token"):
        load_masked_model(saved(tmp_path / "maskless", "BertForMaskedLM", mask=False))
    with pytest.raises(WeightsError, match="was not found"):
        load_masked_model(str(tmp_path / "nowhere"))
