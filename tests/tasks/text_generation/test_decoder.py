"""Which weights a decoder begins with, and what cannot be one."""

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer, DistilBertConfig, RobertaConfig, RobertaModel

from mmbert.core.errors import ConfigError
from mmbert.encoders.pretrained.transformers import tiny_bert
from mmbert.tasks.text_generation.decoder import load_decoder, special_ids

SMALL = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "s", "##s", "the", "un", "##known"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("bert")
    BertModel(BertConfig(vocab_size=len(WORDS), pad_token_id=0, **SMALL)).save_pretrained(place)
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})
    tokenizer.save_pretrained(place)
    return place


def test_weights_are_the_berts_layer_by_layer(folder):
    network, tokenizer = load_decoder(str(folder), num_layers=2)
    encoder = BertModel.from_pretrained(folder)
    assert network.config.is_decoder and network.config.add_cross_attention and len(network.bert.encoder.layer) == 2
    for layer, known in zip(network.bert.encoder.layer, encoder.encoder.layer, strict=False):
        assert torch.equal(layer.attention.self.query.weight, known.attention.self.query.weight)
        assert torch.equal(layer.output.dense.weight, known.output.dense.weight)
    words = network.get_input_embeddings().weight
    assert torch.equal(words, encoder.embeddings.word_embeddings.weight)
    assert network.get_output_embeddings().weight is words  # one matrix for reading and writing
    ids = special_ids(tokenizer)
    assert (ids.begin, ids.end, ids.padding) == (2, 3, 0) == (network.config.bos_token_id, 3, 0)
    again, _ = load_decoder(str(folder), pretrained=False)
    assert not torch.equal(again.get_input_embeddings().weight, words)


def test_pieces_of_a_new_vocabulary_begin_as_what_they_were(folder):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁cat", "s", "▁The", "▁unknown", "▁é"]
    network, tokenizer = load_decoder(str(folder), vocabulary=vocabulary)
    before = BertModel.from_pretrained(folder).embeddings.word_embeddings.weight
    words = network.get_input_embeddings().weight
    assert words.shape == (9, 8) and network.get_output_embeddings().weight is words
    assert network.config.vocab_size == len(tokenizer) == 9
    place = {word: i for i, word in enumerate(WORDS)}
    for piece, old in [("[CLS]", ["[CLS]"]), ("▁cat", ["cat"]), ("s", ["s"]), ("▁The", ["the"])]:
        assert torch.equal(words[vocabulary.index(piece)], before[[place[word] for word in old]].mean(0)), piece
    torch.testing.assert_close(words[7], (before[place["un"]] + before[place["##known"]]) / 2)
    assert network(torch.tensor([[2, 4]]), encoder_hidden_states=torch.zeros(1, 1, 8)).logits.shape == (1, 2, 9)


def test_a_roberta_can_be_one(tmp_path):
    RobertaModel(RobertaConfig(vocab_size=261, pad_token_id=0, **SMALL)).save_pretrained(tmp_path)
    tiny_bert({})[1].save_pretrained(tmp_path)
    network, _ = load_decoder(str(tmp_path))
    memory = torch.randn(1, 2, 8, requires_grad=True)
    network(torch.tensor([[1, 7]]), encoder_hidden_states=memory).logits.sum().backward()
    assert memory.grad.abs().sum() > 0


def test_what_cannot_be_a_decoder_is_refused(tmp_path, folder):
    DistilBertConfig(dim=8, n_layers=1, n_heads=2, hidden_dim=8).save_pretrained(tmp_path)
    tiny_bert({})[1].save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="is a distilbert.*bert, roberta"):
        load_decoder(str(tmp_path))
    with pytest.raises(ConfigError, match="num_layers=4.*has 3 layers"):
        load_decoder(str(folder), num_layers=4)
    with pytest.raises(ConfigError, match="'hiden_size' is no option"):
        load_decoder("tiny", overrides={"hiden_size": 8})
