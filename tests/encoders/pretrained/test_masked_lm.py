"""Heads taken from transformers' masked language models give their logits, and go back into whole models."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    ModernBertConfig,
    RobertaConfig,
)

from mmbert.core.errors import ConfigError
from mmbert.encoders.pretrained.masked_lm import language_model_head, write_masked_model
from mmbert.encoders.text import TextEncoder

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 0}
SIZES |= {"intermediate_size": 64, "max_position_embeddings": 40}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
CONFIGS = [BertConfig(**SIZES), RobertaConfig(**SIZES), AlbertConfig(**SIZES, embedding_size=16)]
CONFIGS += [ModernBertConfig(**SIZES, **ENDS)]


class NoTokenizer:
    def save_pretrained(self, folder):
        pass


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_a_head_and_its_network_give_the_whole_models_logits_there_and_back(config, tmp_path):
    torch.manual_seed(0)
    whole = AutoModelForMaskedLM.from_config(config).eval()
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    whole.save_pretrained(tmp_path / "whole")
    network = AutoModel.from_pretrained(tmp_path / "whole").eval()
    head, own = language_model_head(network, str(tmp_path / "whole"), True)
    ids = torch.randint(3, 50, (2, 7))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        wanted = whole(**given).logits
        found = head.eval()(network(**given).last_hidden_state, network.get_input_embeddings().weight)
        torch.testing.assert_close(found, wanted)
        (tmp_path / "again").mkdir()
        write_masked_model(network, NoTokenizer(), head, tmp_path / "again")
        again = AutoModelForMaskedLM.from_pretrained(tmp_path / "again").eval()
        torch.testing.assert_close(again(**given).logits, wanted)
    assert own
    embeddings = network.get_input_embeddings().weight.numel()
    assert sum(p.numel() for p in head.parameters()) < embeddings + 3 * 32 * 33  # they are not registered twice


def test_a_checkpoint_without_a_head_gives_a_random_one(tmp_path):
    network = TextEncoder("tiny").network
    network.save_pretrained(tmp_path)
    head, own = language_model_head(network, str(tmp_path), True)
    assert not own and {name for name, _ in head.named_parameters()} == {
        "bias",
        *(f"masked.cls.predictions.transform.{name}" for name in ("dense.weight", "dense.bias")),
        *(f"masked.cls.predictions.transform.LayerNorm.{name}" for name in ("weight", "bias")),
    }


def test_adapters_cannot_be_written_as_a_plain_model(tmp_path):
    encoder = TextEncoder("tiny", lora={"r": 2})
    with pytest.raises(ConfigError, match="low-rank adapters"):
        write_masked_model(encoder.network, NoTokenizer(), None, Path(tmp_path))
