"""Chinese from the table to the report: columns, texts, labels, file names, and a Chinese BERT from a local folder."""

import json

import pandas as pd
import pytest

from mmbert.cli.evaluate import evaluate_model as evaluate
from mmbert.cli.predict import main as predict
from mmbert.cli.report import main as report

SAID = [("今天真高兴，天气很好", "高兴"), ("我很难过，想哭", "难过"), ("太生气了！", "生气")]
WORDS = [
    *("data=manifest", "data.path=数据.csv", "data.columns.text=文本", "data.columns.split=部分", "data.num_workers=0"),
    *("text=bert_base_chinese", "encoders.text.name=小模型", "encoders.text.lr_scale=1", "image=none", "audio=none"),
    *("+task@tasks.mood=classification", "tasks.mood.column=情感", "tasks.mood.calibrate=temperature"),
    *("fusion=mean", "fusion.out_dim=16", "trainer=cpu", "trainer.max_epochs=6", "trainer.enable_progress_bar=false"),
    *("data.batch_size=6", "optimizer.lr=0.02", "logger=none", "hydra.run.dir=输出"),
]


def make_table(path, encoding="utf-8"):
    rows = [f"{SAID[i % 3][0]}第{i}次,{SAID[i % 3][1]},{s}" for s, n in (("train", 30), ("val", 6)) for i in range(n)]
    rows += [f"{SAID[i % 3][0]}又{i}次,{SAID[i % 3][1]},test" for i in range(6)]
    path.write_text("\n".join(["文本,情感,部分", *rows]) + "\n", encoding=encoding)


def make_bert(folder):
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = sorted({letter for text, _ in SAID for letter in text} | set("第次又0123456789"))
    vocab = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters])}
    BertTokenizer(vocab=vocab).save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(vocab), max_position_embeddings=130, **size)).save_pretrained(folder)


@pytest.mark.slow
def test_a_chinese_table_trains_is_measured_predicted_and_reported(here, train, capsys):
    make_table(here / "数据.csv")
    make_bert(here / "小模型")
    ended = train(*WORDS, base=[])
    assert ended.code == 0, ended.err
    assert "Glyph" not in ended.err  # plots do not warn of letters that no installed font has
    metrics = json.loads((here / "输出/metrics.json").read_text(encoding="utf-8"))
    assert metrics["tuned"]["mood"]["temperature"] > 0
    table = pd.read_parquet(here / "输出/predictions/test.parquet")
    assert table["mood/target"].tolist() == ["高兴", "难过", "生气"] * 2
    right = table["mood/prediction"] == table["mood/target"]
    assert metrics["test/mood/accuracy"] == pytest.approx(right.mean())
    evaluate(["model=输出", "split=val", "data.num_workers=0", "out=量"])
    measured = json.loads((here / "量/evaluation.json").read_text(encoding="utf-8"))
    assert measured["val/mood/accuracy"] == metrics["val/mood/accuracy"]
    capsys.readouterr()
    predict(["model=输出", "text=我很难过，想哭又1次", "--json"])
    assert json.loads(capsys.readouterr().out)["mood"]["prediction"] == table["mood/prediction"][1]
    predict(["model=输出", "table=数据.csv", "out=答案.jsonl", "num_workers=0", "abstain_below=1"])
    answers = [json.loads(line)["mood"] for line in (here / "答案.jsonl").read_text(encoding="utf-8").splitlines()]
    unsure = [max(answer["probabilities"].values()) < 1 for answer in answers]
    assert len(answers) == 42 and [answer["prediction"] is None for answer in answers] == unsure
    assert set(answers[0]["probabilities"]) == {"高兴", "难过", "生气"}
    report(["输出", "--out", "报告"])
    page = (here / "报告/report.html").read_text(encoding="utf-8")
    assert "高兴" in page or "\\u9ad8\\u5174" in page


def test_a_table_in_gb18030_is_told_to_be_no_utf_8(here, train):
    make_table(here / "数据.csv", "gb18030")
    words = ["data.path=数据.csv", "data.columns.text=文本", "+task@tasks.mood=classification"]
    ended = train(*words, "tasks.mood.column=情感")
    assert ended.code == 2 and "数据.csv is not UTF-8" in ended.err and "Save it as UTF-8" in ended.err
