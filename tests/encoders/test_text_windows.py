"""Long texts in windows: every token once, from the window with the most context, the same in any batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.encoders.text import TextEncoder
from mmbert.encoders.text_windows import TextWindows
from mmbert.testing import check_encoder

LONG = "the quick brown fox jumps over the lazy dog and runs away from it all"


def tiny(**options):
    torch.manual_seed(0)
    return TextEncoder("tiny", **{"max_tokens": 400, "window": 24, "overlap": 8, **options}).eval()


@given(length=st.integers(0, 60), size=st.integers(4, 20), overlap=st.integers(0, 10))
@settings(deadline=None, max_examples=120)
def test_every_token_comes_from_the_window_with_the_most_context(length, size, overlap):
    windows = TextWindows(size, min(overlap, size - 3), 1, 1)
    places, sources = windows.places(length), windows.sources(length)
    assert len(sources) == length + 2 and len(places) == windows.count(length)
    for token in range(length + 2):  # each token stands where it is taken from
        window, place = sources[token].tolist()
        assert int(places[window, place]) == token
    spans = [sorted(set(row[row >= 0].tolist()) - {0, length + 1}) for row in places]
    assert {token for span in spans for token in span} == set(range(1, length + 1))
    for token in range(1, length + 1):  # BERT's rule, tried on all windows
        contexts = [min(token - span[0], span[-1] - token) if token in span else -1 for span in spans]
        window = int(sources[token, 0])
        assert contexts[window] == max(contexts) and window == contexts.index(max(contexts))


def test_tokens_are_those_that_the_windows_give_by_themselves():
    encoder, short = tiny(), tiny(window=None, max_tokens=24)
    short.load_state_dict(encoder.state_dict())
    inputs = encoder.processor.collate([LONG])
    found = encoder(inputs)
    assert found.tokens.shape[1] == len(LONG) + 2  # bytes, [CLS] and [SEP]
    first = short(short.processor.collate([LONG[:22]])).tokens[0]
    second = short(short.processor.collate([LONG[14:36]])).tokens[0]
    # 22 letters a window, 14 from one to the next: of letter 17 the first has 4 to its end, the second 3 before it
    assert_close(found.tokens[0, 1:19], first[1:19], rtol=0, atol=1e-5)
    assert_close(found.tokens[0, 19:30], second[5:16], rtol=0, atol=1e-5)
    assert_close(found.pooled[0], found.tokens[0].mean(0), rtol=0, atol=1e-5)


def test_a_text_that_fits_one_window_is_as_without():
    encoder, plain = tiny(), tiny(window=None, max_tokens=24)
    plain.load_state_dict(encoder.state_dict())
    batch = encoder(encoder.processor.collate(["a fox", LONG, None]))
    alone = plain(plain.processor.collate(["a fox"]))
    assert_close(batch.tokens[:1, : alone.tokens.shape[1]], alone.tokens, rtol=0, atol=1e-5)
    assert batch.mask.sum(1).tolist() == [7, len(LONG) + 2, 0] and batch.tokens[2].abs().sum() == 0


def test_an_encoder_with_windows_keeps_the_contract():
    check_encoder(TextEncoder, name="tiny", window=16, overlap=4, max_tokens=300, max_before=4)  # with pairs of texts


def test_a_frozen_encoder_remembers_texts_of_any_length_and_learns_from_every_window():
    frozen = tiny(frozen=True)
    inputs = frozen.processor.collate([LONG, "a fox", LONG])
    assert_close(frozen(inputs).tokens, frozen(inputs).tokens)
    encoder = tiny()
    encoder(encoder.processor.collate([LONG])).tokens[0, -2, 0].backward()  # the last letter's window
    rows = encoder.network.embeddings.word_embeddings.weight.grad.abs().sum(1)
    letters = encoder.processor.collate([LONG])["input_ids"][0]
    assert rows[letters[-2]] > 0


def test_a_window_needs_room_and_a_vector_of_its_own():
    with pytest.raises(ConfigError, match="overlap=22 does not fit window=24: at most 21"):
        tiny(overlap=22)
    with pytest.raises(ConfigError, match="pooling=pooler reads one window alone"):
        tiny(pooling="pooler")
    with pytest.raises(ConfigError, match="window=200 does not fit tiny: choose from 3 to 128"):
        tiny(window=200)
    with pytest.raises(ConfigError, match="max_tokens=400 does not fit tiny.*window=128"):
        tiny(window=None)


def test_alignment_reaches_over_all_windows_and_the_saved_encoder_has_them(tmp_path):
    encoder = tiny()
    found = encoder.processor.alignment(LONG)
    assert found["offsets"][-2].tolist() == [len(LONG) - 1, len(LONG)] and len(found["word_ids"]) == len(LONG) + 2
    assert (
        encoder.init_args["window"] == 24
        and "window" in encoder.identity()
        and "window" not in tiny(window=None, max_tokens=24).identity()
    )
