"""Text models: the random tiny one and its bytes, saved and loaded from a folder, and what is refused."""

import json
import shutil

import pytest
import torch

from mmbert.core.errors import ConfigError, WeightsError
from mmbert.encoders.pretrained.transformers import (
    apply_overrides,
    check_length,
    load_transformer,
    model_source,
    nobody_asked,
    refuse_decoder,
    tiny_bert,
)


@pytest.fixture(scope="module")
def tiny():
    return tiny_bert({"num_hidden_layers": 1})


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """The tiny model as transformers saves one."""
    place = tmp_path_factory.mktemp("bert")
    for part in tiny:
        part.save_pretrained(place)
    return str(place)


def test_the_tiny_tokenizer_spells_any_text_in_bytes(tiny):
    network, tokenizer = tiny
    assert len(network.encoder.layer) == 1
    ids = tokenizer("é🙂 a")["input_ids"]
    assert len(ids) == 1 + len("é🙂 a".encode()) + 1
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["[CLS]", "[SEP]"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "é🙂 a"
    assert tokenizer.pad_token_id == network.config.pad_token_id == 0


def test_a_saved_model_is_loaded_with_its_weights_or_anew(tiny, folder):
    network, tokenizer = load_transformer("mine", folder, True, {})
    saved = tiny[0].state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
    assert tokenizer("ab")["input_ids"] == tiny[1]("ab")["input_ids"]
    fresh, _ = load_transformer("mine", folder, False, {"num_hidden_layers": 2})
    assert len(fresh.encoder.layer) == 2
    words = "embeddings.word_embeddings.weight"
    assert not torch.equal(fresh.state_dict()[words], saved[words])


def test_half_precision_is_loaded_as_float32(tiny, tmp_path):
    half, tokenizer = tiny_bert({"num_hidden_layers": 1})
    half.half().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert {tensor.dtype for tensor in load_transformer("half", str(tmp_path), True, {})[0].parameters()} == {
        torch.float32
    }


def test_what_is_no_option_or_no_encoder_is_refused(tiny):
    with pytest.raises(ConfigError, match="'num_layer' is no option of mine \\(bert\\)"):
        apply_overrides("mine", tiny_bert({})[0].config, {"num_layer": 1})
    with pytest.raises(ConfigError, match="has a decoder"):
        refuse_decoder("mine", tiny_bert({"is_encoder_decoder": True})[0].config)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(WeightsError, match="The text model 'mine' was not found in that folder"):
        load_transformer("mine", str(tmp_path), True, {})
    assert model_source("someone/model") == "someone/model"


@pytest.mark.parametrize("length", [2, 129])
def test_a_length_must_leave_room_for_a_word_and_have_positions(tiny, length):
    network, tokenizer = tiny
    check_length("tiny", 3, network.config, tokenizer)
    check_length("tiny", 128, network.config, tokenizer)
    with pytest.raises(ConfigError, match=f"max_tokens={length} does not fit tiny: choose from 3 to 128"):
        check_length("tiny", length, network.config, tokenizer)


def changed_config(folder, place, **options):
    """A copy of a saved model whose config.json says more."""
    shutil.copytree(folder, place)
    path = place / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))
    return str(place)


@pytest.mark.parametrize("pretrained", [True, False])
def test_code_beside_a_model_is_never_run_and_nobody_is_asked(folder, tmp_path, monkeypatch, pretrained):
    names = {"AutoConfig": "mine.MyConfig", "AutoModel": "mine.MyModel"}
    place = changed_config(folder, tmp_path / "mine", auto_map=names, model_type="mine")
    (tmp_path / "mine" / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail(f"asked: {words}"))
    with pytest.raises(WeightsError, match="brings code of its own"):
        load_transformer("mine", place, pretrained, {})
    assert not (tmp_path / "ran").exists()


def test_a_known_model_with_code_beside_it_is_loaded_without_that_code(folder, tmp_path, monkeypatch):
    place = changed_config(folder, tmp_path / "mine", auto_map={"AutoModel": "mine.MyModel"})
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail(f"asked: {words}"))
    assert type(load_transformer("mine", place, False, {})[0]).__module__.startswith("transformers.")


def test_nobody_is_asked_about_a_part_either_that_transformers_loads_by_itself(monkeypatch):
    from transformers.dynamic_module_utils import resolve_trust_remote_code

    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail(f"asked: {words}"))
    with nobody_asked(), pytest.raises(ValueError, match="custom code"):
        resolve_trust_remote_code(None, "org/part", has_local_code=False, has_remote_code=True)


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_a_kernel_from_the_hub_is_refused(folder, tmp_path, name):
    place = changed_config(folder, tmp_path / "mine", **{name: "some-org/some-kernel"})
    with pytest.raises(ConfigError, match=f"{name.strip('_')}='some-org/some-kernel'.*eager, sdpa"):
        load_transformer("mine", place, False, {})


def test_an_attention_of_transformers_itself_may_be_chosen(folder, tmp_path):
    place = changed_config(folder, tmp_path / "mine", attn_implementation="eager")
    assert load_transformer("mine", place, False, {})[0].config._attn_implementation == "eager"
