"""A tiny Chinese BERT in a local folder, as a hub model would lie there: one token a character."""

import pytest

CHARACTERS = "张伟在北京大学读书我爱中国李娜去上海昨天今她的人是谁哪里？。，吗了"


@pytest.fixture(scope="session")
def chinese_bert(tmp_path_factory):
    """The folder, for ``TextEncoder`` and ``encoders.text.name``."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("chinese") / "bert"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "2023", *dict.fromkeys(CHARACTERS)]
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes, max_position_embeddings=64)).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=64).save_pretrained(folder)
    return folder
