"""Masked language modelling: what is hidden and when, BERT's own numbers, context, export, and Chinese."""

import json
import math

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import UNLABELLED
from mmbert.data.datamodule import MultimodalData
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.mlm import MaskedLanguageModel
from mmbert.testing import check_task, task_tests

TestMaskedLanguageModel = task_tests(MaskedLanguageModel)
H = 8
CHINESE = ["使用语言模型来预测下一个词的概率", "我们在北京学习中文", "今天天气很好", "你好", "他喜欢语言"]


def test_the_laws_hold_alone_and_with_whole_words():
    report = check_task(MaskedLanguageModel, whole_words=True, context=False, share=0.4, raise_on_failure=False)
    assert report.broken == []


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny BERT of characters and a few English pieces, with its own head, as a local folder."""
    characters = sorted({character for text in CHINESE for character in text})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, "play", "##ing", "dog", "the", "."]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(handle_chinese_chars=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{name.strip('[]').lower()}_token": name for name in words[:5]}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, **sizes)
    model = BertForMaskedLM(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("bert")
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def model_of(bert, others=False, **options):
    torch.manual_seed(0)
    encoders = {"text": TextEncoder(str(bert), max_tokens=32)}
    if others:
        encoders["pose"] = FeatureEncoder(5)
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    tasks = {"mlm": MaskedLanguageModel(H, dims, **options)}
    return MultimodalModel(encoders, CrossAttentionFusion(dims, H, num_heads=2, dropout=0.0), tasks).eval()


def changed(model, texts, draws=None, targets=None):
    task, processor = model.tasks["mlm"], model.encoders["text"].processor
    inputs = processor.collate(texts)
    given = task.collate([True] * len(texts)) if targets is None else targets
    made, found = task.change_inputs({"text": inputs}, draws or range(len(texts)), given)
    return inputs, made["text"], {**given, **found}


def test_loss_and_metrics_are_those_of_transformers_own_model(bert):
    model, reference = model_of(bert), AutoModelForMaskedLM.from_pretrained(bert).eval()
    task = model.tasks["mlm"]
    _, text, targets = changed(model, CHINESE)
    with torch.no_grad():
        outputs = model({"text": text}, targets={"mlm": targets}).outputs["mlm"]
        loss = task.loss(outputs, targets)
        logits = reference(input_ids=text["input_ids"], attention_mask=text["mask"].long()).logits
    labels = targets["words"]
    wanted = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=UNLABELLED)
    torch.testing.assert_close(loss.mean, wanted, rtol=1e-5, atol=1e-5)
    assert int(loss.count) == int(task.count(targets)) == sum(max(1, round(0.15 * len(t))) for t in CHINESE)
    metrics = task.make_metrics()
    for row in range(len(CHINESE)):
        part = {name: tensor[row : row + 1] for name, tensor in targets.items()}
        task.update(metrics, {name: tensor[row : row + 1] for name, tensor in outputs.items()}, part)
    right = (logits.argmax(-1) == labels)[labels != UNLABELLED].float().mean()
    assert math.isclose(float(metrics.compute()["accuracy"]), float(right), rel_tol=1e-6)
    assert math.isclose(float(metrics.compute()["perplexity"]), math.exp(float(wanted)), rel_tol=1e-4)


def test_the_score_of_a_sample_is_the_geometric_mean_over_its_hidden_words(bert):
    model, reference = model_of(bert, share=0.4), AutoModelForMaskedLM.from_pretrained(bert).eval()
    task = model.tasks["mlm"]
    _, text, targets = changed(model, [*CHINESE, None])
    with torch.no_grad():
        outputs = model({"text": text}, targets={"mlm": targets}).outputs["mlm"]
        shares = reference(input_ids=text["input_ids"], attention_mask=text["mask"].long()).logits.softmax(-1)
    for row, words in enumerate(targets["words"][:-1]):
        places = (words != UNLABELLED).nonzero().flatten()
        right = torch.stack([shares[row, place, words[place]] for place in places])
        found = task.target_score(outputs, targets)[row]
        torch.testing.assert_close(found, right.prod() ** (1 / len(places)), rtol=1e-4, atol=1e-6)
    assert float(task.target_score(outputs, targets)[-1]) == 0 and task.answers_in == ("text",)
    assert task.target_score({}, {"counted": torch.ones(2, dtype=torch.bool)}).tolist() == [0, 0]


def test_special_tokens_copies_and_absent_texts_are_never_hidden(bert):
    model = model_of(bert, share=1.0, masked=1.0, replaced=0.0)
    task, texts = model.tasks["mlm"], ["the dog", None, "[MASK] dog 漢", "play"]
    inputs, text, targets = changed(model, texts, targets=task.collate([True, True, True, None]))
    special = torch.isin(inputs["input_ids"], torch.arange(5))
    assert (targets["words"][special] == UNLABELLED).all() and torch.equal(
        text["input_ids"][special], inputs["input_ids"][special]
    )
    assert [int(row) for row in (targets["words"] != UNLABELLED).sum(1)] == [2, 0, 1, 0]  # 漢 is unknown
    assert task.labelled(targets).tolist() == [True, False, True, False]
    assert task.decode(targets) == [["the", "dog"], None, ["dog"], None]


def test_draws_decide_and_workers_and_batches_do_not(bert):
    model = model_of(bert)
    task = model.tasks["mlm"].without_weights()
    _, text, _ = changed(model, CHINESE, [5, 6, 7, 8, 9])
    again = task.change_inputs(
        {"text": model.encoders["text"].processor.collate(CHINESE[:1])}, [5], task.collate([True])
    )[0]["text"]
    assert again["input_ids"][0].tolist() == text["input_ids"][0, : again["input_ids"].shape[1]].tolist()
    _, other, _ = changed(model, CHINESE, [15, 16, 17, 18, 19])
    assert not torch.equal(text["input_ids"], other["input_ids"])


def test_training_draws_anew_in_each_epoch_and_validation_never(bert, tmp_path):
    rows = [{"text": text, "split": split} for split in ("train", "val", "test") for text in CHINESE]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = model_of(bert)
    data = MultimodalData(tmp_path / "t.jsonl", batch_size=5, num_workers=0)
    data.bind({"text": model.encoders["text"].processor}, {"mlm": model.tasks["mlm"].without_weights()})
    one, other = (data.dataset("train")[(epoch, 0)].draw for epoch in (0, 1))
    assert one != other
    first, second = (next(iter(data.val_dataloader())).targets["mlm"]["words"] for _ in range(2))
    assert torch.equal(first, second) and (first >= 0).any()


def test_context_begins_as_the_language_model_alone_and_learns(bert):
    model = model_of(bert, others=True)
    task, alone = model.tasks["mlm"], model_of(bert, others=True, context=False)
    _, text, targets = changed(model, CHINESE[:3])
    pose = model.encoders["pose"].processor.collate([torch.randn(3, 5), None, torch.randn(2, 5)])
    inputs, targets = {"text": text, "pose": pose}, {"mlm": targets}
    with torch.no_grad():
        before = model(inputs, targets=targets).outputs["mlm"]["masked_logits"]
        torch.testing.assert_close(before, alone(inputs, targets=targets).outputs["mlm"]["masked_logits"])
    task.loss(model(inputs, targets=targets).outputs["mlm"], targets["mlm"]).total.backward()
    assert task.context.weight.grad.abs().sum() > 0
    with torch.no_grad():
        task.context.weight.sub_(task.context.weight.grad)
        after = model(inputs, targets=targets).outputs["mlm"]["masked_logits"]
        silent = {**inputs, "pose": {**pose, "features": torch.zeros_like(pose["features"])}}
        without = model(silent, targets=targets).outputs["mlm"]["masked_logits"]
    assert not torch.allclose(after, before) and not torch.allclose(after[0], without[0])
    torch.testing.assert_close(after[1], without[1])  # that sample has no pose


def test_a_sample_without_text_adds_nothing(bert):
    model = model_of(bert, others=True)
    task = model.tasks["mlm"]
    _, text, targets = changed(model, ["今天天气很好", None])
    pose = model.encoders["pose"].processor.collate([torch.randn(3, 5), torch.randn(2, 5)])
    with torch.no_grad():
        both = task.loss(model({"text": text, "pose": pose}, targets={"mlm": targets}).outputs["mlm"], targets)
        first = {name: tensor[:1] for name, tensor in targets.items()}
        part = {name: {key: t[:1] for key, t in x.items()} for name, x in (("text", text), ("pose", pose))}
        one = task.loss(model(part, targets={"mlm": first}).outputs["mlm"], first)
    torch.testing.assert_close(both.total, one.total)
    assert both.count == one.count == 1


@pytest.mark.parametrize("how", ["segmenter", "segmentation"])
def test_whole_words_of_chinese(bert, how):
    options = {"segmenter": "jieba"} if how == "segmenter" else {"segmentation": "words"}
    model = model_of(bert, share=0.3, masked=1.0, replaced=0.0, **options)
    task, processor = model.tasks["mlm"], model.encoders["text"].processor
    text, words = CHINESE[0], ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的", "概率"]
    cells = {"words": " ".join(words)}
    label = task.encode(cells, {"text": processor.alignment(text)})
    for draw in range(12):
        _, _, targets = changed(model, [text], [draw], task.collate([label]))
        chosen = (targets["words"][0] != UNLABELLED)[1:-1].tolist()
        place, count = 0, 0
        for word in words:
            inside = set(chosen[place : place + len(word)])
            assert len(inside) == 1, (draw, word)
            count += len(word) * inside.pop()
            place += len(word)
        assert 3 <= count <= 5  # of 16 characters


def test_without_a_segmentation_characters_are_words_and_a_wrong_one_is_refused(bert):
    model = model_of(bert, segmentation="words", share=0.3)
    task, processor = model.tasks["mlm"], model.encoders["text"].processor
    aligned = {"text": processor.alignment(CHINESE[2])}
    nothing = task.encode({"words": None}, aligned)
    _, _, targets = changed(model, [CHINESE[2]], targets=task.collate([nothing]))
    assert int(task.count(targets)) == 2  # of six characters
    with pytest.raises(DataError, match="the segmentation has 2 characters"):
        task.encode({"words": "今 天"}, aligned)
    assert task.encode({"words": "今天"}, {"text": None}) is True


def test_what_does_not_fit_is_refused(bert):
    with pytest.raises(ConfigError, match="encoders.text.frozen=false"):
        encoders = {"text": TextEncoder(str(bert), frozen=True, max_tokens=32)}
        MultimodalModel(encoders, CrossAttentionFusion({"text": 32}, H), {"mlm": MaskedLanguageModel(H, {"text": 32})})
    with pytest.raises(ConfigError, match="needs a text encoder of transformers"):
        encoders = {"text": FeatureEncoder(5)}
        MultimodalModel(encoders, CrossAttentionFusion({"text": 5}, H), {"mlm": MaskedLanguageModel(H, {"text": 5})})
    with pytest.raises(ConfigError, match="reads the encoder 'txt'. Did you mean 'text'"):
        MaskedLanguageModel(H, {"text": 5}, text="txt")
    with pytest.raises(ConfigError, match="together at most 1"):
        MaskedLanguageModel(H, {"text": 5}, masked=0.8, replaced=0.3)
    with pytest.raises(ConfigError, match="exclude each other"):
        MaskedLanguageModel(H, {"text": 5}, segmenter="jieba", segmentation="words")


def test_a_saved_model_fills_masks_and_goes_to_transformers_and_back(bert, tmp_path):
    model = model_of(bert, others=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    loaded = MultimodalModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    samples = [{"text": "今天[MASK]气很[MASK]", "pose": [[0.1] * 5]}, {"text": "你好"}, {"pose": [[0.2] * 5]}]
    answers = loaded.predict(samples)
    assert answers == model.predict(samples)
    assert [len(answer["mlm"]["candidates"]) for answer in answers] == [2, 0, 0]
    first = answers[0]["mlm"]["candidates"][0]
    assert len(first) == 5 and list(first.values()) == sorted(first.values(), reverse=True)
    assert answers[0]["mlm"]["prediction"][0] == next(iter(first))

    folder = loaded.export_text_encoder(tmp_path / "plain")
    plain, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    text = loaded.encoders["text"].processor.collate(["今天[MASK]气很[MASK]", "你好"])
    assert tokenizer(["今天[MASK]气很[MASK]"])["input_ids"][0] == text["input_ids"][0].tolist()
    with torch.no_grad():
        tokens = loaded.encoders["text"](text)
        mine = loaded.tasks["mlm"].head(tokens.tokens, loaded.tasks["mlm"].embeddings)
        theirs = plain(input_ids=text["input_ids"], attention_mask=text["mask"].long()).logits
        torch.testing.assert_close(mine[text["mask"]], theirs[text["mask"]])
        again = TextEncoder(str(folder), max_tokens=32).eval()  # text.name=FOLDER
        torch.testing.assert_close(again(text).tokens, tokens.tokens)
    with pytest.raises(ConfigError, match="'pose' is a FeatureEncoder, no text encoder"):
        model.export_text_encoder(tmp_path / "no", "pose")
    with pytest.raises(ConfigError, match="no encoder 'txt'. Did you mean 'text'"):
        model.export_text_encoder(tmp_path / "no", "txt")


def test_beside_other_tasks_it_is_trained_and_not_measured(bert):
    model = model_of(bert)
    other = Classification(H, "label", ["x", "y"])
    both = MultimodalModel(model.named_encoders(), model.fusion, {"mlm": model.tasks["mlm"], "label": other})
    task = both.tasks["mlm"]
    inputs = {"text": both.encoders["text"].processor.collate(["今天"])}
    targets = task.collate([True])
    outputs = task(both(inputs).state, targets)
    loss = task.loss(outputs, targets)
    assert outputs == {} and float(loss.total.detach()) == 0 and float(loss.count) == 0 and loss.total.requires_grad
    task.update(task.make_metrics(), outputs, targets)
    assert task.decode(targets) == [None]


def test_it_learns_by_heart_what_was_hidden(bert):
    model = model_of(bert)
    task = model.tasks["mlm"]
    _, text, targets = changed(model, CHINESE)
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.01), []
    for _ in range(60):
        loss = task.loss(model({"text": text}, targets={"mlm": targets}).outputs["mlm"], targets).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_predictions_of_a_table_say_what_stood_behind_the_masks(bert):
    model = model_of(bert, masked=1.0, replaced=0.0)
    task = model.tasks["mlm"]
    _, text, targets = changed(model, CHINESE)
    output = model({"text": text}, targets={"mlm": targets})
    given = task.predict(output.state, output.outputs["mlm"])
    assert [len(one["prediction"]) for one in given] == [len(row) for row in task.decode(targets)]
    assert pd.Series([json.dumps(one) for one in given]).notna().all()
