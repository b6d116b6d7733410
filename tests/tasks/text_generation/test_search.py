"""Greedy and beam search equal one written out by hand; draws follow the probabilities; a batch changes nothing."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertLMHeadModel

from mmbert.tasks.text_generation.search import GumbelNoise, SearchOptions, SpecialIds, search_texts

IDS = SpecialIds(begin=1, end=2, padding=0)
LONGEST = 4


def decoder_of(vocabulary, seed=0):
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
        is_decoder=True,
        add_cross_attention=True,
        pad_token_id=0,
    )
    network = BertLMHeadModel(config).eval()
    for parameter in network.parameters():  # small random weights give every token the same probability
        torch.nn.init.normal_(parameter, std=0.7)
    return network


@pytest.fixture(scope="module")
def decoder():
    return decoder_of(6)


def memory_of(batch, seed=0, length=5):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (batch,), generator=generator)
    return torch.randn(batch, length, 8, generator=generator), torch.arange(length) < lengths.unsqueeze(1)


@torch.no_grad()
def shares(decoder, memory, mask, ids):
    """Log-probabilities of the next token, without any cache."""
    output = decoder(
        torch.tensor([ids]), encoder_hidden_states=memory, encoder_attention_mask=mask.long(), use_cache=False
    )
    return output.logits[0, -1].log_softmax(-1)


def beam_by_hand(decoder, memory, mask, beams, penalty):
    """The usual beam search: of the best 2·beams continuations those that end within the first ``beams`` are kept."""
    running, finished = [(0.0, [1])], []
    for length in range(1, LONGEST + 1):
        found = sorted(
            (
                (total + float(share), [*ids, token])
                for total, ids in running
                for token, share in enumerate(shares(decoder, memory, mask, ids))
            ),
            key=lambda one: -one[0],
        )[: 2 * beams]
        last = length == LONGEST
        finished += [(total / length**penalty, ids) for total, ids in found[:beams] if ids[-1] == 2 or last]
        finished = sorted(finished, key=lambda one: -one[0])[:beams]
        running = [one for one in found if one[1][-1] != 2][:beams]
        # nothing that still runs can become better, even if it ended now with its present probability
        if len(finished) == beams and running[0][0] / length**penalty < finished[-1][0]:
            break
    return finished[0][1][1:]


def ended(row):
    row = row.tolist()
    return row[: row.index(2) + 1] if 2 in row else row


def test_greedy_takes_the_most_probable_token_at_every_place(decoder):
    memory, mask = memory_of(6)
    found = search_texts(decoder, memory, mask, SearchOptions(LONGEST), IDS)
    assert found.shape == (6, LONGEST)
    assert len({tuple(row.tolist()) for row in found}) > 1  # the texts depend on what the decoder attends to
    for row in range(6):
        ids = [1]
        while len(ids) <= LONGEST and ids[-1] != 2:
            ids.append(int(shares(decoder, memory[row : row + 1], mask[row : row + 1], ids).argmax()))
        assert ended(found[row]) == ids[1:]


@pytest.mark.parametrize(("beams", "penalty"), [(2, 1.0), (3, 0.0), (3, 2.0)])
def test_beams_are_those_of_a_search_by_hand(decoder, beams, penalty):
    memory, mask = memory_of(5, seed=1)
    found = search_texts(decoder, memory, mask, SearchOptions(LONGEST, beams, penalty), IDS)
    for row in range(5):
        assert ended(found[row]) == beam_by_hand(decoder, memory[row : row + 1], mask[row : row + 1], beams, penalty)


def test_beams_that_hold_everything_find_the_best_text_of_all():
    decoder = decoder_of(4, seed=3)
    memory, mask = memory_of(2, seed=2)
    found = search_texts(decoder, memory, mask, SearchOptions(3, 40, 0.0), IDS)
    for row in range(2):
        one = memory[row : row + 1], mask[row : row + 1]
        totals = {}
        for text in itertools.product(range(4), repeat=3):
            cut = text[: text.index(2) + 1] if 2 in text else text
            totals[cut] = sum(float(shares(decoder, *one, [1, *cut[:i]])[token]) for i, token in enumerate(cut))
        assert tuple(ended(found[row])) == max(totals, key=totals.get)


@given(seed=st.integers(0, 50), beams=st.sampled_from([1, 3]), sampled=st.booleans(), extra=st.integers(0, 3))
@settings(deadline=None, max_examples=12)
def test_a_sample_has_the_same_text_alone_in_a_batch_and_with_more_padding(decoder, seed, beams, sampled, extra):
    memory, mask = memory_of(3, seed)
    options = SearchOptions(LONGEST, 1 if sampled else beams, do_sample=sampled, seed=seed, temperature=1.5)
    whole = search_texts(decoder, memory, mask, options, IDS)
    for row in range(3):
        longer = torch.cat([memory[row : row + 1], torch.full((1, extra, 8), 7.0)], 1)
        there = torch.cat([mask[row : row + 1], torch.zeros(1, extra, dtype=torch.bool)], 1)
        assert torch.equal(search_texts(decoder, longer, there, options, IDS)[0], whole[row])


def test_draws_follow_the_probabilities_and_the_seed():
    scores = torch.tensor([[1.0, 0.0, -1.0, 2.0]])
    counts = torch.zeros(4)
    for seed in range(3000):
        counts[int(GumbelNoise(seed)(torch.ones(1, 1).long(), scores).argmax())] += 1
    torch.testing.assert_close(counts / 3000, scores.softmax(-1)[0], atol=0.03, rtol=0)
    noise = GumbelNoise(3)
    first, second = (noise(torch.ones(1, length).long(), scores) for length in (1, 2))
    assert torch.equal(first, noise(torch.ones(1, 1).long(), scores)) and not torch.equal(first, second)


def test_restrictions_of_draws(decoder):
    memory, mask = memory_of(4)
    greedy = search_texts(decoder, memory, mask, SearchOptions(LONGEST), IDS)
    for only_one in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        found = search_texts(decoder, memory, mask, SearchOptions(LONGEST, do_sample=True, **only_one), IDS)
        assert torch.equal(found, greedy)
    free = [search_texts(decoder, memory, mask, SearchOptions(LONGEST, do_sample=True, seed=s), IDS) for s in range(5)]
    assert len({tuple(one.flatten().tolist()) for one in free}) > 1


def test_no_n_gram_comes_twice(decoder):
    memory, mask = memory_of(4)
    free = search_texts(decoder, memory, mask, SearchOptions(8), IDS).tolist()
    found = search_texts(decoder, memory, mask, SearchOptions(8, no_repeat_ngram_size=1), IDS)
    assert any(len(set(row)) < len(row) for row in free)
    assert all(len(set(ended(row))) == len(ended(row)) for row in found)
