"""The text towers of CLIP, SigLIP and CLAP as text encoders: transformers' own numbers, contract, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch.testing import assert_close

from hub_folders import AUDIO_MODELS, IMAGE_MODELS, letters, saved
from mmbert.core.errors import ConfigError, WeightsError
from mmbert.encoders.attention_weights import encoder_attention
from mmbert.encoders.pretrained.text_towers import padded_to
from mmbert.encoders.text import TextEncoder
from mmbert.testing import check_encoder

TEXTS = ["a", "seven trains", "the blue"]
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Whole models with a tokenizer beside them, by name."""
    place = tmp_path_factory.mktemp("towers")
    made = {name: (IMAGE_MODELS | AUDIO_MODELS)[name] for name in ("clip", "siglip", "clap")}
    found = {name: saved(make, place / name) for name, make in made.items()}
    for folder in found.values():
        letters().save_pretrained(folder)
    return found


def theirs(name: str, folder: str, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """transformers' own text tower: states of the text's tokens, and the pooled vector."""
    model = transformers.AutoModel.from_pretrained(folder).eval().text_model
    padding = {"padding": "max_length", "max_length": 16} if name == "siglip" else {}  # as SigLIP asks for
    ids = letters()(text, return_tensors="pt", **padding)["input_ids"]
    with torch.no_grad():
        made = model(input_ids=ids)
    return made.last_hidden_state[0, : len(text) + 2], made.pooler_output[0]


@pytest.mark.parametrize("name", ["clip", "siglip", "clap"])
@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_tokens_and_vector_are_those_of_transformers_in_every_batch(
    name: str, pooling: str, towers: dict[str, str]
) -> None:
    encoder = TextEncoder(towers[name], pooling=pooling, max_tokens=14).eval()
    with torch.no_grad():
        together = encoder(encoder.processor.collate([*TEXTS, None]))
        for row, text in enumerate(TEXTS):
            states, pooled = theirs(name, towers[name], text)
            alone = encoder(encoder.processor.collate([text]))
            for found in (alone.rows(torch.tensor([0])), together.rows(torch.tensor([row]))):
                assert int(found.mask.sum()) == len(text) + 2
                assert_close(found.tokens[found.mask], states, **TOLERANCE)
                assert_close(found.pooled[0], pooled if pooling == "pooler" else states.mean(0), **TOLERANCE)
    assert not together.mask[3].any() and not together.pooled[3].any()
    assert (together.pooled[0] - together.pooled[1]).abs().max() > 0.01


@pytest.mark.parametrize(("name", "pooling"), [("clip", "pooler"), ("siglip", "pooler"), ("siglip", "mean")])
def test_the_contract_is_kept(name: str, pooling: str, towers: dict[str, str]) -> None:
    check_encoder(TextEncoder, name=towers[name], pooling=pooling, max_tokens=10)  # room for more padding


def test_what_a_tower_cannot_do_is_refused(towers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="pooling=cls: the first token of .* reads no other.*pooling=pooler"):
        TextEncoder(towers["clip"], pooling="cls", max_tokens=14)
    with pytest.raises(ConfigError, match="max_tokens=128 does not fit .*: choose from 3 to 16"):
        TextEncoder(towers["siglip"])
    with pytest.raises(ConfigError, match="SiglipTextModel reads its padding too"):
        TextEncoder(towers["siglip"], max_tokens=14).encode_injected({}, None)  # type: ignore[arg-type]
    for name in ("clip", "siglip"):  # the vector is no mean of the tokens that the weights are of
        encoder = TextEncoder(towers[name], pooling="pooler", max_tokens=14).eval()
        assert encoder_attention(encoder, encoder.processor.collate(TEXTS)) is None


def test_a_tower_saved_alone_is_the_same(towers: dict[str, str], tmp_path: Path) -> None:
    for name in towers:
        whole = TextEncoder(towers[name], pooling="pooler", max_tokens=14)
        place = tmp_path / name
        whole.network.save_pretrained(place)
        letters().save_pretrained(place)
        alone = TextEncoder(str(place), pooling="pooler", max_tokens=14)
        assert_close(alone.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_ids_are_padded_to_the_full_length() -> None:
    ids = torch.tensor([[5, 6], [7, 2]])
    assert padded_to(ids, 4, torch.tensor(2)).tolist() == [[5, 6, 2, 2], [7, 2, 2, 2]]


def test_a_tokenizer_that_needs_a_package(towers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(*args: object, **options: object) -> None:
        raise ImportError("\nSiglipTokenizer requires the SentencePiece library but it was not found\nin your setup.")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", no_library)
    with pytest.raises(WeightsError, match="model '.*' needs a package for its texts: pip install sentencepiece$"):
        TextEncoder(towers["siglip"], max_tokens=14)
