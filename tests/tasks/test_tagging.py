"""Tags by word: first tokens carry them, what the cut leaves out is missed, and Chinese works by character."""

import json
import math

import pytest
import torch
from torch import tensor

from mmbert.core.errors import ConfigError, DataError, InputError
from mmbert.core.types import UNLABELLED, Encoded, Fused, State
from mmbert.data.datamodule import MultimodalData
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.tagging import Tagging
from mmbert.testing import check_task, task_tests
from mmbert.testing.task_samples import alignment

TAGS = ["O", "B-PER", "I-PER"]
TestTagging = task_tests(Tagging)
# texts whose cut leaves words without a token are tried by the laws' long words; other schemes and units here
TestCharacters = task_tests(
    Tagging,
    cells=["B M E S", "O O", "S O B E", "B E", "O", "B M M E"],
    texts=["张伟在北", "北京", "大 学读书", "中国", "我", "中国大学"],
    unit="character",
)
TestPartsOfSpeech = task_tests(
    Tagging, cells=["DET NOUN", "VERB", "NOUN VERB DET NOUN", "DET"], texts=["the dog", "eat", "men eat the dog", "the"]
)


def task_of(tags=TAGS, **options):
    torch.manual_seed(0)
    return Tagging(4, "tags", tags, dropout=0.0, **options)


def logits_for(task, *by_token):
    """(1, L, C) logits whose best tags are the given ones, and their mask."""
    rows = [10.0 * (tensor(task._numbers[tag]) == torch.arange(len(task.tags))) for tag in by_token]
    return {"logits": torch.stack(rows)[None], "mask": torch.ones(1, len(rows), dtype=torch.bool)}


def scores(task, outputs, targets):
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets)
    return {name: float(value) for name, value in metrics.compute().items()}


def test_the_first_token_of_a_word_carries_its_tag_and_the_others_carry_none():
    task = task_of()
    text = alignment("perchance Ann")  # the made-up tokenizer: [CLS] perc hanc e Ann [SEP]
    target = task.encode({"tags": ["O", "B-PER"]}, {"text": text})
    assert target.tolist() == [[0, 1, 0], [1, 4, 1]]
    targets = task.collate([target])
    outputs = {"logits": torch.randn(1, 6, 3, requires_grad=True)}
    loss = task.loss(outputs, targets)
    by_hand = sum(-outputs["logits"][0, place].log_softmax(-1)[tag] for place, tag in ((1, 0), (4, 1)))
    assert loss.total.item() == pytest.approx(by_hand.item()) and int(loss.count) == 2
    loss.total.backward()
    assert outputs["logits"].grad.abs().sum(-1)[0].gt(0).tolist() == [False, True, False, False, True, False]


def test_lenient_and_strict_are_both_there_and_differ():
    task = task_of()
    targets = task.collate([task.encode({"tags": "B-PER I-PER"}, {"text": alignment("Ann Lee")})])
    found = scores(task, logits_for(task, "O", "I-PER", "I-PER", "O"), targets)
    assert (found["f1_lenient"], found["f1_strict"], found["accuracy"], found["f1_lenient_PER"]) == (1.0, 0.0, 0.5, 1.0)
    assert "strict" in task.metric_notes(task.make_metrics())["f1_strict"] and task.scheme == "IOB2"
    assert task.metric_notes(task.make_metrics())["f1_strict"].endswith("the scheme IOB2")


def test_words_of_a_text_that_was_taken_away_count_as_outside():
    task = task_of()
    targets = task.collate([task.encode({"tags": "B-PER I-PER"}, {"text": alignment("Ann Lee")})])
    outputs = logits_for(task, "O", "B-PER", "I-PER", "O")
    assert scores(task, outputs, targets)["f1_strict"] == 1.0
    found = scores(task, {**outputs, "mask": ~outputs["mask"]}, targets)
    assert found["f1_lenient"] == found["accuracy"] == 0.0 and found["cut_words"] == 2.0


def test_words_that_the_cut_leaves_out_are_missed_entities_and_counted():
    task = task_of()
    whole = alignment("Ann saw Lee Roy")
    cut = {**whole, "offsets": whole["offsets"][:3], "word_ids": whole["word_ids"][:3]}  # [CLS] Ann saw
    targets = task.collate([task.encode({"tags": ["B-PER", "O", "B-PER", "I-PER"]}, {"text": cut})])
    assert targets["places"].tolist() == [[1, 2, -1, -1]] and int(task.count(targets)) == 2
    found = scores(task, logits_for(task, "O", "B-PER", "O"), targets)
    assert found["cut_words"] == 2.0 and found["recall_lenient"] == 0.5 and found["precision_lenient"] == 1.0
    assert found["accuracy"] == 0.5 and found["f1_strict"] == pytest.approx(2 / 3)


def test_characters_that_share_a_token_go_on_with_its_entity():
    task = task_of(["O", "B-T", "I-T"], unit="character")
    text = "2023年"
    found = {"text": text, "word_ids": tensor([-1, 0, 0, -1]), "offsets": tensor([[0, 0], [0, 4], [4, 5], [0, 0]])}
    target = task.encode({"tags": ["B-T", *["I-T"] * 4]}, {"text": found})
    assert target[:, 2].tolist() == [1, UNLABELLED, UNLABELLED, UNLABELLED, 2] and target[:, 1].tolist() == [
        1,
        1,
        1,
        1,
        2,
    ]
    outputs = logits_for(task, "O", "B-T", "I-T", "O")
    assert scores(task, outputs, task.collate([target]))["f1_strict"] == 1.0
    (answer,) = task.predict(State(Fused(torch.zeros(1, 4)), {}, {}, {"text": [found]}), outputs)
    assert answer["entities"] == [{"type": "T", "text": text, "start": 0, "end": 5}]


def test_predictions_are_tags_by_word_and_entities_with_their_places():
    task = task_of()
    text = "I saw Ann Lee\u0301 ."
    found = alignment(text)
    state = State(Fused(torch.zeros(2, 4)), {}, {}, {"text": [found, None]})
    one = logits_for(task, "O", "O", "O", "B-PER", "I-PER", "O", "O")["logits"]
    (answer, without) = task.predict(state, {"logits": one.expand(2, -1, -1)})
    assert answer["prediction"] == ["O", "O", "B-PER", "I-PER", "O"]
    assert answer["entities"] == [{"type": "PER", "text": "Ann Lee\u0301", "start": 6, "end": 14}]
    assert without == {"prediction": [], "words": [], "entities": []}
    with pytest.raises(InputError, match=r"predict needs state.alignments\['text'\]"):
        task.predict(State(Fused(torch.zeros(1, 4)), {}), {"logits": one})


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (["O"], r"1 tags for a text of 2 words \(unit=white_space\)\.$"),
        (["O"] * 3, r"3 tags for a text of 2 words .*It has 3 with unit=punctuation"),
        (["O", "B-LOC"], "the tag 'B-LOC' does not occur in the train split.*B-PER"),
        ('["O"', "looks like a list but is none"),
        (5, "is no list of tags"),
        ({"words": ["hi", ",", "Ann"], "tags": ["O"] * 3}, "unit=punctuation"),
    ],
)
def test_tags_that_do_not_fit_their_text_are_refused(cell, message):
    task = task_of()
    with pytest.raises(DataError, match=message):
        task.check_label({"tags": cell}, {"text": "hi, Ann"})
    with pytest.raises(DataError, match=message):
        task.encode({"tags": cell}, {"text": alignment("hi, Ann")})


def test_options_are_checked():
    with pytest.raises(ConfigError, match="unit=words on column 'tags' is unknown.*white_space"):
        task_of(unit="words")
    with pytest.raises(ConfigError, match="scheme=IOB on column 'tags' is unknown.*IOB2"):
        task_of(scheme="IOB")
    with pytest.raises(ConfigError, match="'B-PER' on column 'tags' is none of the scheme IOE2"):
        task_of(scheme="IOE2")
    with pytest.raises(DataError, match="no tags in the train split"):
        Tagging.fit_labels([None, "["], "tags")
    with pytest.raises(DataError, match="the one tag 'O'"):
        Tagging.fit_labels(["O O"], "tags")


def test_what_is_learnt_of_the_train_split():
    assert Tagging.fit_labels(["O I-B", "B-A O", None, "[broken"], "tags") == {
        "tags": ["O", "B-A", "I-B"],
        "scheme": "IOB2",
    }
    task = Tagging(4, "tags", **Tagging.fit_labels(["NOUN VERB"], "tags"))
    assert (
        task.scheme == "none"
        and task.main_metric == "accuracy"
        and list(task.make_metrics()) == ["accuracy", "cut_words"]
    )
    assert "plain classes" in task.metric_notes(task.make_metrics())["accuracy"] and Tagging.main_metric == "f1_lenient"


def test_the_check_takes_the_options_a_user_would_give():
    check_task(
        Tagging,
        scheme="IOBES",
        tags=["O", "S-ACT", "B-ACT", "I-ACT", "E-ACT"],
        hidden_dim=8,
        cells=["S-ACT O"] * 4,
        texts=["a b"] * 4,
    )


def chinese_model(folder, **options):
    torch.manual_seed(0)
    encoder = TextEncoder(str(folder), max_tokens=16, pretrained=True)
    cells = [json.dumps(tags, ensure_ascii=False) for _, tags in CHINESE]
    task = Tagging(16, "标签", **Tagging.fit_labels(cells, "标签"), unit="character", dropout=0.0, **options)
    return MultimodalModel({"text": encoder}, MeanFusion({"text": encoder.out_dim}, 16), {"实体": task})


CHINESE = [
    ("张伟在北京", ["B-人名", "I-人名", "O", "B-地名", "I-地名"]),
    ("李娜去了上海。", ["B-人名", "I-人名", "O", "O", "B-地名", "I-地名", "O"]),
    ("我爱中国", ["O", "O", "B-地名", "I-地名"]),
    ("2023今天", ["O"] * 6),
]


def test_chinese_is_tagged_by_character_from_table_to_answer(chinese_bert, tmp_path):
    lines = [
        json.dumps({"文本": text, "标签": tags, "split": split}, ensure_ascii=False)
        for split in ("train", "val", "test")
        for text, tags in CHINESE
    ]
    (tmp_path / "表.jsonl").write_text("\n".join(lines), "utf-8")
    model = chinese_model(chinese_bert)
    data = MultimodalData(tmp_path / "表.jsonl", columns={"text": "文本"}, num_workers=0, batch_size=4)
    data.bind(
        {"text": model.named_encoders()["text"].processor}, {"实体": model.named_tasks()["实体"].without_weights()}
    )
    (batch,) = data.loader("test")
    task = model.named_tasks()["实体"]
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(model(batch.inputs).outputs["实体"], batch.targets["实体"]).mean.backward()
        optimizer.step()
    loaded = MultimodalModel.from_pretrained(model.eval().save_pretrained(tmp_path / "model"))
    (first, second) = loaded.predict([{"text": "张伟在北京"}, {"text": "李娜 去了上海。"}])
    assert first["实体"]["prediction"] == CHINESE[0][1]
    assert [one["text"] for one in second["实体"]["entities"]] == ["李娜", "上海"]
    assert second["实体"]["entities"][1] == {"type": "地名", "text": "上海", "start": 5, "end": 7}
    found = scores(task, model(batch.inputs).outputs["实体"], batch.targets["实体"])
    assert found["f1_strict"] == 1.0 and found["f1_lenient_地名"] == 1.0 and found["cut_words"] == 0.0


def test_enriched_words_are_tagged_and_words_alone_too():
    """Text tokens carry what other modalities add; a sample that lacks them is tagged by its text."""
    dims = {"text": 6, "image": 5}
    task, fusion = task_of(["O", "B-A"]), MeanFusion(dims, 4).eval()
    assert task.reads_tokens and task.aligned_to == ("text",)
    torch.manual_seed(0)
    text = Encoded.from_tokens(torch.randn(2, 4, 6), torch.ones(2, 4, dtype=torch.bool))
    image = Encoded.from_tokens(torch.randn(2, 1, 5), tensor([[True], [False]]))
    with_image, without = (
        task(State(fusion({"text": text, "image": x}), {}))["logits"] for x in (image, image.absent())
    )
    assert not torch.allclose(with_image[0], without[0]) and torch.allclose(with_image[1], without[1])
    assert math.isfinite(float(without.detach().sum()))
