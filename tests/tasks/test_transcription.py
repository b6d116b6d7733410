"""Speech recognition: its laws, loss, answers, refusals, and a run from a table of sounds to predictions."""

import json
import math
import subprocess
import sys

import jiwer
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import torch.nn.functional as F

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import Encoded, Fused, State
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.pretrained.transformers import tiny_bert_parts
from mmbert.tasks.transcription import Transcription
from mmbert.testing import task_tests

CELLS = ["abba", "ba", "Cab, a", "b", "c a b", "aa", "bab", "a"]
TEXTS = ["one two three four five six seven eight nine ten"] * 8
FRAMES = 12

TestTranscription = task_tests(Transcription, cells=CELLS, texts=TEXTS, wrong="☃")
TestBeamWithTimes = task_tests(
    Transcription, cells=CELLS, texts=TEXTS, wrong="☃", beam_size=8, n_best=3, word_times=True, fused=False
)


def make(cells=CELLS, **options):
    torch.manual_seed(0)
    return Transcription(4, "said", **Transcription.fit_labels(cells, "said"), **options).eval()


def sound(frames=FRAMES):
    return {"audio": {"times": np.stack([np.arange(frames) * 0.02, np.arange(1, frames + 1) * 0.02], 1)}}


def encoded(task, cell, frames=FRAMES):
    return task.encode({"said": cell}, sound(frames))


def outputs_for(task, *paths):
    """Logits that say these paths of symbols, "_" being the blank."""
    longest = max(map(len, paths))
    logits = torch.zeros(len(paths), longest, len(task.alphabet.symbols) + 1)
    for row, path in enumerate(paths):
        for frame, symbol in enumerate(path):
            logits[row, frame, 0 if symbol == "_" else task.alphabet.symbols.index(symbol) + 1] = 8.0
    return {"logits": logits, "frames": torch.tensor([len(path) for path in paths])}


def test_symbols_are_those_of_the_train_split():
    assert Transcription.fit_labels([*CELLS, None], "said") == {"symbols": [" ", "a", "b", "c"], "spaces": True}
    assert Transcription.fit_labels(["Two one", "one"], "said", unit="word")["symbols"] == ["one", "two"]
    learnt = Transcription.fit_labels(["你好，世界", "你 们"], "said")
    assert learnt == {"symbols": sorted("你好世界们"), "spaces": False}
    with pytest.raises(DataError, match="Column 'said' has no transcript"):
        Transcription.fit_labels([None, "?!"], "said")


def test_chinese_is_measured_by_characters():
    task = make(["你好，世界", "你 们"])
    assert task.main_metric == "cer" and list(task.make_metrics()) == ["cer"]
    assert task.decode(task.collate([encoded(task, "你 好！"), None])) == ["你好", None]


def test_a_transcript_that_cannot_be_said_is_refused():
    task = make()
    with pytest.raises(DataError, match="the transcript 'bad' has the character 'd', which no transcript"):
        encoded(task, "bad")
    with pytest.raises(
        DataError, match=r"nothing is left of the transcript '\.\.\.' \(small letters, punctuation taken"
    ):
        encoded(task, "...")
    with pytest.raises(DataError, match=r"is no text"):
        task.check_label({"said": ["a"]}, {})
    assert encoded(task, "abba", 5).tolist() == [2, 3, 3, 2]
    with pytest.raises(
        DataError, match=r"'abba' needs 5 tokens of sound, .*4 characters .* has 4 of 20 ms.*hop_seconds"
    ):
        encoded(task, "abba", 4)
    assert encoded(task, None) is None and task.encode({"said": "a"}, {"audio": None}) is None


def test_the_loss_is_torchs_a_mean_over_symbols():
    task = make()
    targets = task.collate([encoded(task, "abba"), None, encoded(task, "c")])
    outputs = {"logits": torch.randn(3, 9, 5), "frames": torch.tensor([9, 4, 5])}
    logs = outputs["logits"].log_softmax(-1)
    expected = 0.0
    for row, frames, ids in ((0, 9, [2, 3, 3, 2]), (2, 5, [4])):
        sample, text = logs[row, :frames, None], torch.tensor([ids])
        expected += float(F.ctc_loss(sample, text, torch.tensor([frames]), torch.tensor([len(ids)]), reduction="sum"))
    loss = task.loss(outputs, targets)
    assert loss.count == 5 and loss.total.item() == pytest.approx(expected, rel=1e-5)
    shares = task.target_probability(outputs, targets)
    assert shares[1] == 0 and 0 < shares[0] < 1


def test_rates_are_those_of_jiwer_and_answers_are_the_best_path():
    task = make()
    targets = task.collate([encoded(task, "cab a"), encoded(task, "b"), None])
    outputs = outputs_for(task, "cc_ab_ _a", "a_a", "c")
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets)
    answers = task.predict(State(Fused(torch.zeros(3, 4)), {}), outputs)
    assert [answer["prediction"] for answer in answers] == ["cab a", "aa", "c"]
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found == pytest.approx({"wer": jiwer.wer(["cab a", "b"], ["cab a", "aa"]), "cer": 2 / 6})
    assert "small letters" in task.metric_notes(metrics)["wer"]


def test_beams_give_lists_and_words_have_times():
    task = make(beam_size=8, n_best=3, word_times=True)
    outputs = outputs_for(task, "cc_ab_ _a")
    state = State(Fused(torch.zeros(1, 4)), {}, alignments={"audio": [sound(9)["audio"]]})
    (answer,) = task.predict(state, outputs)
    assert answer["prediction"] == answer["n_best"][0]["text"] == "cab a" and len(answer["n_best"]) == 3
    scores = [one["score"] for one in answer["n_best"]]
    assert scores == sorted(scores, reverse=True)
    words = [{"word": "cab", "begin": 0.0, "end": 0.1}, {"word": "a", "begin": 0.16, "end": 0.18}]
    assert answer["words"] == words
    task.connect({"audio": MelspecCNN(8, [4], [1], 8, hop_seconds=0.02)})
    assert len(task.predict(State(Fused(torch.zeros(1, 4)), {}), outputs)[0]["words"][0]) == 3
    task.between_epochs = True
    metrics = task.make_metrics()
    targets = task.collate([encoded(task, "cab a")])
    task.update(metrics, outputs, targets)
    assert metrics.compute()["wer_beam"].isnan() and metrics.compute()["wer"] == 0
    task.between_epochs = False
    task.update(metrics, outputs, targets)
    assert metrics.compute()["wer_beam"] == 0


def test_the_encoders_own_tokens_are_read_if_asked_for():
    task = Transcription(4, "said", ["a"], dims={"audio": 3}, fused=False).eval()
    audio = Encoded.from_tokens(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))
    assert task(State(Fused(torch.zeros(2, 4)), {"audio": audio}))["logits"].shape == (2, 5, 2)


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    from transformers import BertForMaskedLM

    torch.manual_seed(0)
    config, tokenizer = tiny_bert_parts({})
    folder = tmp_path_factory.mktemp("masked")
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_list_is_rescored_by_the_weight_that_validation_chooses(masked, tmp_path):
    task = make(beam_size=8, n_best=4, rescore_with=masked, rescore_weights=[0.0, 0.5, 5.0])
    assert task.tunes and not any("rescorer" in name for name in task.state_dict())
    generator = torch.Generator().manual_seed(1)
    outputs = {"logits": torch.randn(3, 8, 5, generator=generator), "frames": torch.tensor([8, 6, 7])}
    targets = task.collate([encoded(task, "ab"), None, encoded(task, "b a")])
    state = State(Fused(torch.zeros(3, 4)), {})
    plain = task.predict(state, outputs)
    data = task.tuning_data(state, outputs, targets)
    assert data[1] is None and [len(one["scores"]) for one in (data[0], data[2])] == [4, 4]
    chosen = task.tune([one for one in data if one is not None])
    errors = list(chosen["errors_by_weight"].values())
    assert sorted(task.rescore_weights)[errors.index(min(errors))] == chosen["rescore_weight"]
    task.rescore_weight.fill_(0.0)
    unchanged = task.predict(state, outputs)
    assert [a["n_best"] for a in unchanged] == [a["n_best"] for a in plain]
    task.rescore_weight.fill_(5.0)
    best = task.predict(state, outputs)
    for row in range(3):
        pairs = task.search.second_scores(task.search.found(task.log_probabilities(outputs)[row]), torch.device("cpu"))
        total = max(score + 5 * other for score, other in pairs)
        assert best[row]["n_best"][0]["score"] == pytest.approx(total, abs=1e-3)
    task.save_assets(tmp_path)
    again = Transcription(**Transcription.rebuild_args(json.loads(json.dumps(task.init_args)), tmp_path)).eval()
    again.load_state_dict(task.state_dict())
    assert again.init_args["rescore_with"] == masked  # its name stays, wherever its copy lies
    assert again.predict(state, outputs) == best and again.search.rescorer.source.startswith(str(tmp_path))
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets)
    assert set(metrics) == {f"{a}{b}" for a in ("wer", "cer") for b in ("", "_beam", "_rescored")}
    assert not any(math.isnan(value) for value in metrics.compute().values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": ["a", "a"]}, "must be different characters"),
        ({"symbols": ["ab"]}, "no single character; or set unit=word"),
        ({"symbols": ["a"], "unit": "wrod"}, "Did you mean 'word'"),
        ({"symbols": ["a"], "rescore_with": "x"}, "set n_best=10"),
        ({"symbols": ["a"], "rescore_weights": [-1.0]}, "numbers of at least 0"),
        ({"symbols": ["a"], "fused": False, "reads": "adio", "dims": {"audio": 3}}, "Did you mean 'audio'"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Transcription(4, "said", **options)


# ---- whole runs

TONES = {"a": 400, "b": 900, "c": 2000}


def speak(text, path, rate=8000):
    """Each letter a tone of 0.12 s, pauses of 0.06 s between them: a language that a tiny network learns."""
    pieces = []
    for letter in text:
        time = np.arange(int(0.12 * rate)) / rate
        pieces += [np.sin(2 * np.pi * TONES[letter] * time) * 0.3 if letter in TONES else np.zeros(960)]
        pieces.append(np.zeros(480))
    noise = np.random.default_rng(len(text)).standard_normal(sum(map(len, pieces))) * 0.001
    soundfile.write(path, (np.concatenate(pieces) + noise).astype(np.float32), rate)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken")
    random = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 24), ("val", 6), ("test", 6)):
        for number in range(count):
            text = "".join(random.choice(list("abc"), size=random.integers(2, 5)))
            speak(text, folder / f"{split}{number}.wav")
            rows.append({"audio": f"{split}{number}.wav", "transcript": text.upper(), "split": split})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return folder


ENCODER = [
    "text=none",
    "image=none",
    "audio=tiny",
    "encoders.audio.hop_seconds=0.02",
    "encoders.audio.time_strides=[1,1]",
]
TASK = ["fusion=mean", "tasks=speech", "logger=none", "plots=false", "data.num_workers=0", "optimizer.lr=0.02"]


@pytest.mark.slow
def test_a_run_from_sounds_to_answers(spoken, tmp_path, monkeypatch, capsys):
    from mmbert.cli import predict, train

    def call(command, *arguments):
        monkeypatch.setattr("sys.argv", [command.__name__, *arguments])
        return command.main()

    run = tmp_path / "run"
    options = ["tasks.said.beam_size=4", "tasks.said.n_best=2", "tasks.said.word_times=true"]
    options += ["trainer.max_epochs=40", "monitor=val/said/loss"]
    source = ["data=manifest", f"data.path={spoken}/table.csv", "data.batch_size=4"]
    call(train, *source, *ENCODER, *TASK, *options, f"hydra.run.dir={run}")
    metrics = json.loads((run / "metrics.json").read_text())
    found = pd.read_parquet(run / "predictions" / "test.parquet")
    references, answers = found["said/target"].tolist(), found["said/prediction"].tolist()
    assert metrics["test/said/cer_beam"] == pytest.approx(jiwer.cer(references, answers), abs=1e-6)
    assert metrics["test/said/cer"] < 0.3  # chance is about 1
    capsys.readouterr()
    call(predict, "--json", f"model={run}", f"audio={spoken}/test0.wav")
    printed = capsys.readouterr().out
    assert answers[0] in printed and "begin" in printed


@pytest.mark.slow
def test_two_processes_measure_every_sound_once_beside_an_attention_decoder(spoken, tmp_path):
    source = ["data=manifest", f"data.path={spoken}/table.csv", "data.batch_size=4", "trainer.max_epochs=1"]
    hybrid = ["+task@tasks.written=generation", "tasks.written.column=transcript", "tasks.written.decoder=tiny"]
    command = [sys.executable, "-m", "mmbert.cli.train", *source, *ENCODER, *TASK, *hybrid, "trainer=ddp_cpu"]
    run = tmp_path / "run"
    done = subprocess.run([*command, f"hydra.run.dir={run}"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((run / "metrics.json").read_text())
    found = pd.read_parquet(run / "predictions" / "test.parquet")
    assert found["row"].tolist() == list(range(30, 36))
    references, answers = found["said/target"].tolist(), found["said/prediction"].tolist()
    assert metrics["test/said/wer"] == pytest.approx(jiwer.wer(references, answers), abs=1e-6)
    assert {"test/written/loss", "val/said/loss"} <= set(metrics)


@pytest.mark.slow
def test_bad_transcripts_are_named_or_left_out(spoken, tmp_path, monkeypatch, capsys):
    from mmbert.cli import train

    table = pd.read_csv(spoken / "table.csv")
    table.loc[35, "transcript"], table.loc[31, "transcript"] = "abz", "ab" * 60
    table["audio"] = str(spoken) + "/" + table["audio"]
    table.to_csv(tmp_path / "bad.csv", index=False)
    source = ["data=manifest", f"data.path={tmp_path}/bad.csv", "trainer.max_epochs=1"]
    monkeypatch.setattr("sys.argv", ["mmbert-train", *source, *ENCODER, *TASK, f"hydra.run.dir={tmp_path}/a"])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    assert stopped.value.code == 2
    assert (
        "row 36 (line 37), column 'transcript': the transcript 'abz' has the character 'z'" in capsys.readouterr().err
    )
    skip = [*source, "data.on_error=skip", *ENCODER, *TASK, f"hydra.run.dir={tmp_path}/b"]
    monkeypatch.setattr("sys.argv", ["mmbert-train", *skip])
    train.main()
    skipped = (tmp_path / "b" / "skipped.csv").read_text()
    assert "'abz' has the character 'z'" in skipped and "needs 120 tokens of sound" in skipped


@pytest.mark.slow
def test_a_list_is_rescored_by_the_model_of_a_run_of_masked_language_modelling(spoken, tmp_path, monkeypatch, capsys):
    from mmbert.cli import predict, train
    from mmbert.model import MultimodalModel

    def call(command, *arguments):
        monkeypatch.setattr("sys.argv", [command.__name__, *arguments])
        return command.main()

    pd.read_csv(spoken / "table.csv")["transcript"].str.lower().to_csv(tmp_path / "t.txt", index=False, header=False)
    small = ["logger=none", "plots=false", "data.num_workers=0", "fusion.out_dim=16"]
    text = ["task=mlm", "data=text", f"data.path={tmp_path}/t.txt", "text=tiny", *small, "trainer.max_epochs=2"]
    call(train, *text, f"hydra.run.dir={tmp_path}/lm")
    source = ["data=manifest", f"data.path={spoken}/table.csv", "data.batch_size=4", "trainer.max_epochs=3"]
    rescoring = [
        "tasks.said.n_best=4",
        f"tasks.said.rescore_with={tmp_path}/lm",
        "tasks.said.rescore_weights=[0.5,2.0]",
    ]
    call(train, *source, *ENCODER, *TASK, *rescoring, f"hydra.run.dir={tmp_path}/run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    tuned = metrics["tuned"]["said"]
    assert tuned["rescore_weight"] in (0.5, 2.0) and len(tuned["errors_by_weight"]) == 2
    errors = tuned["errors_by_weight"][str(tuned["rescore_weight"])]
    val = pd.read_csv(spoken / "table.csv").query("split == 'val'")
    assert metrics["val/said/wer_rescored"] == pytest.approx(errors / len(val))  # each transcript is one word
    capsys.readouterr()
    call(predict, "--json", f"model={tmp_path}/run", f"audio={spoken}/test0.wav")
    rescored = {one["text"]: one["score"] for one in json.loads(capsys.readouterr().out)["said"]["n_best"]}
    model = MultimodalModel.from_pretrained(tmp_path / "run" / "model")
    model.named_tasks()["said"].rescore_weight.fill_(0.0)
    plain = model.predict([{"audio": f"{spoken}/test0.wav"}])[0]["said"]["n_best"]
    assert len(plain) == len(rescored) == 4
    language = MultimodalModel.from_pretrained(tmp_path / "lm" / "model")
    for answer in plain:
        second = masked_one_by_one(language, answer["text"])
        expected = answer["score"] + tuned["rescore_weight"] * second
        assert rescored[answer["text"]] == pytest.approx(expected, abs=1e-3)
        assert (second < 0) == bool(answer["text"])


@torch.no_grad()
def masked_one_by_one(language, text):
    """A text's pseudo-log-likelihood by the model of a run, through its encoder and its task."""
    tokenizer, total = language.encoders["text"].processor.tokenizer, 0.0
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    for place in range(1, ids.shape[1] - 1):
        hidden = ids.clone()
        hidden[0, place] = tokenizer.mask_token_id
        state = language.state(language.encode({"text": {"input_ids": hidden, "mask": torch.ones_like(ids).bool()}}))
        logits = language.named_tasks()["mlm"].logits(state, torch.tensor([[place]]))[0, 0]
        total += float(logits.log_softmax(-1)[ids[0, place]])
    return total
