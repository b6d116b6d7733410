"""Pairs of texts are tokenised, cut into windows and scored as transformers itself does it for SQuAD."""

import pytest
import torch
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.data.modalities.text_pair import TextPair
from mmbert.encoders.processors.text_pairs import count_tokens, cut_before
from mmbert.encoders.text import TextEncoder

QUESTION = "张伟在哪里读书？"
CONTEXT = "昨天李娜去上海，今天她的人在北京。张伟在北京大学读书，我爱中国吗？李娜去北京大学了。"
SIZE, STRIDE = 24, 6


def reader(folder, **options):
    return TextEncoder(
        str(folder), **{"max_tokens": 200, "window": SIZE, "overlap": STRIDE, "max_before": 10, **options}
    )


def of_transformers(tokenizer, question=QUESTION, context=CONTEXT, size=SIZE, stride=STRIDE):
    more = {"return_overflowing_tokens": True, "return_offsets_mapping": True, "padding": "max_length"}
    return tokenizer(question, context, truncation="only_second", max_length=size, stride=stride, **more)


def windows_of(encoder, inputs):
    """The first sample's windows: places of their tokens, -1 beyond the end; and where each token is taken from."""
    (windows,) = encoder.windows.of_rows({name: tensor[:1] for name, tensor in inputs.items()})
    length = int(inputs["mask"][0].sum()) - windows.leading - windows.trailing
    return windows.places(length), windows.sources(length)


def test_windows_are_those_of_transformers(chinese_bert):
    encoder = reader(chinese_bert)
    inputs = encoder.processor.collate([TextPair(QUESTION, CONTEXT)])
    alignment = encoder.processor.alignment(TextPair(QUESTION, CONTEXT))
    expected = of_transformers(encoder.processor.tokenizer)
    places, _ = windows_of(encoder, inputs)
    assert len(places) == len(expected["input_ids"]) > 3
    for number, row in enumerate(places):
        real = row[row >= 0]
        assert int(sum(expected["attention_mask"][number])) == len(real)
        for name in ("input_ids", "token_type_ids"):
            assert inputs[name][0, real].tolist() == expected[name][number][: len(real)], (number, name)
        of_context = [part == 1 for part in expected.sequence_ids(number)][: len(real)]
        offsets = [
            list(pair) if here else [0, 0]
            for pair, here in zip(expected["offset_mapping"][number], of_context, strict=False)
        ]
        assert alignment["offsets"][real].tolist() == offsets
        assert (alignment["word_ids"][real] >= 0).tolist() == of_context  # no token of the question can be an answer
    assert alignment["text"] == CONTEXT


def test_logits_are_those_of_transformers(chinese_bert):
    from transformers import BertForQuestionAnswering

    encoder = reader(chinese_bert).eval()
    torch.manual_seed(1)
    model = BertForQuestionAnswering.from_pretrained(chinese_bert).eval()
    inputs = encoder.processor.collate([TextPair(QUESTION, CONTEXT), "张伟", TextPair("谁？", "李娜去上海")])
    expected = of_transformers(encoder.processor.tokenizer)
    names = ("input_ids", "token_type_ids", "attention_mask")
    with torch.no_grad():
        found = model.qa_outputs(encoder(inputs).tokens)  # (B, L, 2)
        theirs = model(**{name: torch.tensor(expected[name]) for name in names})
    windows = torch.stack([theirs.start_logits, theirs.end_logits], 2)  # (windows, SIZE, 2)
    _, sources = windows_of(encoder, inputs)
    assert_close(found[0], windows[sources[:, 0], sources[:, 1]], rtol=0, atol=1e-5)
    short = of_transformers(encoder.processor.tokenizer, "谁？", "李娜去上海")
    with torch.no_grad():
        alone = model(**{name: torch.tensor(short[name]) for name in names})
    real_tokens = sum(short["attention_mask"][0])
    assert_close(found[2, :real_tokens, 0], alone.start_logits[0, :real_tokens], rtol=0, atol=1e-5)


def test_the_text_alone_is_cut_and_never_what_goes_before_it(chinese_bert):
    encoder = reader(chinese_bert, window=None, max_tokens=20)
    inputs = encoder.processor.collate([TextPair(QUESTION, CONTEXT)])
    tokenizer = encoder.processor.tokenizer
    expected = tokenizer(QUESTION, CONTEXT, truncation="only_second", max_length=20)
    assert inputs["input_ids"][0].tolist() == expected["input_ids"]
    assert inputs["before"][0].tolist() == [True] * (len(QUESTION) + 2) + [False] * (18 - len(QUESTION))


def test_a_long_first_text_is_cut_to_max_before(chinese_bert):
    encoder = reader(chinese_bert, max_before=5)
    inputs = encoder.processor.collate([TextPair(QUESTION, CONTEXT)])
    assert inputs["input_ids"][0].tolist() == encoder.processor.tokenizer(QUESTION[:5], CONTEXT)["input_ids"]
    tokenizer = encoder.processor.tokenizer
    assert cut_before("2023 2023 张", tokenizer, 2).split() == ["2023", "2023"]
    assert count_tokens(cut_before(CONTEXT, tokenizer, 7), tokenizer) == 7 and cut_before("谁", tokenizer, 7) == "谁"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_before": 16}, "window=24 leaves no room for the second of two texts.*window of at least 26"),
        ({"window": None, "max_tokens": 12}, "max_tokens=12 leaves no room .*max_tokens of at least 14"),
    ],
)
def test_options_without_room_for_the_second_text_are_refused(chinese_bert, options, message):
    encoder = reader(chinese_bert, **options)
    with pytest.raises(ConfigError, match=message):
        encoder.processor.prepare(TextPair("谁？", CONTEXT))
    assert encoder.processor.prepare(CONTEXT) == CONTEXT  # texts alone have room


def test_packed_pairs_are_the_pairs_and_texts_alone_are_kept_as_ever(chinese_bert):
    processor = reader(chinese_bert).processor
    pair = TextPair(QUESTION, CONTEXT)
    mixed = processor.collate([processor.unpack(*processor.pack(pair)), None, "张伟"])
    plain = processor.collate([pair, None, "张伟"])
    assert mixed.keys() == plain.keys() and all(torch.equal(mixed[name], plain[name]) for name in plain)
    assert "before" not in processor.collate(["张伟", "李娜"]) and (processor.pack("张伟")[0] >= 0).all()
