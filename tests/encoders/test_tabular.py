"""Columns as tokens: the formula by hand, gaps and unknown words, and a whole run from the command line's config."""

import json

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError, DataError
from mmbert.encoders.tabular import TabularEncoder
from mmbert.model import MultimodalModel

COLUMNS = {"sex": {"categories": ["f", "m"]}, "age": {"mean": 3.0, "std": 2.0}, "town": {"categories": ["A"]}}


def encoded(encoder, records):
    prepare = encoder.processor.prepare
    with torch.no_grad():
        return encoder(encoder.processor.collate([None if one is None else prepare(one) for one in records]))


def test_tokens_by_hand():
    torch.manual_seed(0)
    encoder = TabularEncoder(COLUMNS, out_dim=4).eval()
    torch.nn.init.normal_(encoder.missing)
    bias, words, gaps = encoder.bias, encoder.words.weight, encoder.missing
    found = encoded(encoder, [{"sex": "m", "age": 7.0, "town": "B"}, {"sex": None, "age": None, "town": "A"}, None])
    # rows of words: sex unknown, f, m, town unknown, A
    first = torch.stack([bias[0] + words[2], bias[1] + 2.0 * encoder.weight[0], bias[2] + words[3]])
    second = torch.stack([bias[0] + gaps[0], bias[1] + gaps[1], bias[2] + words[4]])
    torch.testing.assert_close(found.tokens, torch.stack([first, second, torch.zeros(3, 4)]))
    torch.testing.assert_close(found.pooled[:2], encoder.pool(torch.stack([first.mean(0), second.mean(0)])))
    assert found.mask.tolist() == [[True] * 3, [True] * 3, [False] * 3] and not found.pooled[2].any()


def test_gaps_and_unknown_words_begin_neutral():
    encoder = TabularEncoder(COLUMNS).eval()
    gap, mean = encoded(encoder, [{"age": None, "town": "A"}]), encoded(encoder, [{"age": 3.0, "town": "A"}])
    torch.testing.assert_close(gap.tokens, mean.tokens)
    unknown = encoded(encoder, [{"sex": "x"}]).tokens
    torch.testing.assert_close(unknown[0, 0], encoder.bias[0])


def test_with_layers_the_vector_is_that_of_the_class_token():
    encoder = TabularEncoder(COLUMNS, out_dim=8, layers=2).eval()
    found = encoded(encoder, [{"sex": "m", "age": 7.0, "town": "B"}])
    x = torch.cat([encoder.class_token[None, None], encoder.embed(inputs_of(encoder))], 1)
    for block in encoder.blocks:
        x = block(x, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(encoder.norm(x)[:, 0], found.pooled)
    torch.testing.assert_close(encoder.norm(x)[:, 1:], found.tokens)
    with pytest.raises(ConfigError, match="heads=3 do not divide out_dim=8"):
        TabularEncoder(COLUMNS, out_dim=8, layers=1, heads=3)


def inputs_of(encoder):
    return encoder.processor.collate([encoder.processor.prepare({"sex": "m", "age": 7.0, "town": "B"})])


def test_what_is_explained_are_columns():
    encoder = TabularEncoder(COLUMNS, out_dim=4).eval()
    torch.nn.init.normal_(encoder.missing)
    read = encoder.continuous(inputs_of(encoder))
    assert read.numbers.shape == (1, 3, 4) and read.neutral == "an empty cell"
    torch.testing.assert_close(
        encoder(read.inputs).tokens, encoded(encoder, [{"sex": "m", "age": 7, "town": "B"}]).tokens
    )
    torch.testing.assert_close(read.baseline[0], encoder.missing + encoder.bias)


def test_nothing_known_is_an_error():
    with pytest.raises(ConfigError, match=r"TabularEncoder\.learned"):
        TabularEncoder()
    assert TabularEncoder.learned({"columns": COLUMNS}, None) == {}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a table whose label is in the facts alone; test has a word and gaps that train lacks."""
    from hydra import compose, initialize_config_module

    from mmbert.training.run import run

    folder = tmp_path_factory.mktemp("facts")
    random = np.random.default_rng(0)
    lines = ["age,sex,income,text,split,label"]
    for row in range(160):
        split, sex, age = ("train", "val", "test")[(row % 8 > 4) + (row % 8 > 5)], "fm"[row % 2], random.integers(1, 90)
        income = "" if row % 5 == 0 else f"{random.lognormal(3, 1):.2f}"
        cells = (age, "x" if row == 158 else sex, income) if row != 159 else ("", "", "")
        lines.append(",".join(map(str, (*cells, "words", split, "yes" if sex == "f" else "no"))))
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    words = ["data=manifest", f"data.path={folder / 't.csv'}", "text=tiny", "image=none", "audio=none", "fusion=concat"]
    words += ["+tabular=columns", "+data.columns.facts=[sex,income]", "trainer=cpu", "trainer.max_epochs=6"]
    words += ["data.num_workers=0", "data.batch_size=16", "plots=false", "logger=csv", "optimizer.lr=0.01"]
    words += ["robustness.noise.levels=[1.0]", "seed=1"]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=words)
    (folder / "run").mkdir()
    run(cfg, folder / "run")
    return folder


@pytest.mark.slow
def test_a_run_learns_from_two_columns_and_its_model_predicts_alone(trained):
    facts = json.loads((trained / "run" / "metrics.json").read_text())
    assert facts["test/label/accuracy"] > 0.9
    assert facts["inputs"]["encoders"]["facts"]["columns"] == ["sex", "income"]  # two columns, and no pair of texts
    model = MultimodalModel.from_pretrained(trained / "run" / "model")
    saved = model.named_encoders()["facts"].processor.columns
    table = [line.split(",") for line in (trained / "t.csv").read_text().splitlines()[1:]]
    incomes = [float(cells[2]) for cells in table if cells[4] == "train" and cells[2]]
    np.testing.assert_allclose([saved["income"]["mean"], saved["income"]["std"]], [np.mean(incomes), np.std(incomes)])
    assert saved["sex"] == {"categories": ["f", "m"]}
    one, other = model.predict([{"facts": {"sex": "f", "income": 30}}, {"facts": '{"sex": "m"}'}])
    assert (one["label"]["prediction"], other["label"]["prediction"]) == ("yes", "no")
    with pytest.raises(DataError, match="no column 'age'"):
        model.predict([{"facts": {"age": 3}}])


@pytest.mark.slow
def test_its_table_is_answered_by_columns_of_the_models_names(trained):
    from mmbert.training.predict import predict_table

    model = MultimodalModel.from_pretrained(trained / "run" / "model")
    done = predict_table(model, trained / "t.csv", trained / "a.jsonl", num_workers=0)
    answers = [json.loads(line) for line in (trained / "a.jsonl").read_text().splitlines()]
    assert done.rows == len(answers) == 160 and not done.absent
    alone = model.predict([{"facts": {"sex": "f", "income": None}, "text": "words"}])[0]["label"]
    assert alone["probabilities"] == pytest.approx(answers[0]["label"]["probabilities"], abs=1e-5)
    (trained / "u.csv").write_text("sex\nf\n")
    with pytest.raises(DataError, match="column for none"):
        predict_table(model, trained / "u.csv", trained / "b.jsonl", num_workers=0)
