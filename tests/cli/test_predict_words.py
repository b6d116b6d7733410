"""The words of mmbert-predict: what is typed arrives unchanged, and mistakes are told in one line."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from mmbert.cli.predict import (
    main,
    model_folder,
    named_inputs,
    predict_inputs,
    prediction_text,
    print_answers,
    probability,
    probability_text,
    run_na_values,
    set_threshold,
)
from mmbert.core.errors import ConfigError

COVERS = ("predict",)


@pytest.mark.parametrize("text", ["What, then? {seven} [a:b]", "a=b=c", "null", "", " two  spaces ", "ü 七"])
def test_a_sentence_arrives_as_typed(text):
    assert named_inputs([f"text={text}", "image=a b.png"]) == {"text": text, "image": "a b.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seven.png"], "'seven.png' is not of the form key=value"),
        (["text=a", "text=b"], "'text' is given twice"),
    ],
)
def test_words_that_make_no_sense_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        named_inputs(words)


def test_a_model_and_something_to_judge_are_asked_for(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="Which model"):
        predict_inputs(["text=a"])
    with pytest.raises(ConfigError, match="there is no such folder"):
        predict_inputs(["model=nowhere", "text=a"])
    with pytest.raises(ConfigError, match="at least one modality"):
        predict_inputs([f"model={tmp_path}"])


def test_a_run_folder_stands_for_the_model_in_it(tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):  # the second is what is written last
        (tmp_path / "model" / name).write_bytes(b"")
    assert model_folder(str(tmp_path)) == tmp_path / "model"
    assert model_folder(str(tmp_path / "model")) == tmp_path / "model"


def test_a_mistake_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["model=nowhere", "text=a"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "mmbert-predict: model=nowhere: there is no such folder.\n"


def test_help_needs_nothing_heavy():
    program = "import sys; from mmbert.cli.predict import main; main(['--help']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: mmbert-predict model=FOLDER")


def test_answers_are_written_as_a_person_would():
    assert prediction_text(["even", "prime"]) == "even, prime"
    assert prediction_text([]) == "none"
    assert prediction_text(1 / 3) == "0.3333"
    assert prediction_text({"text-image": 1 / 3, "text-audio": -0.5}) == "text-image 0.3333, text-audio -0.5"
    assert prediction_text({}) == "no answer"  # a sample with one modality has no pair
    assert probability_text({"prediction": "b", "probabilities": {"a": 0.25, "b": 0.75}}) == "0.75"
    assert probability_text({"prediction": ["a"], "probabilities": {"a": 0.9, "b": 0.1}}) == "0.90"
    assert probability_text({"prediction": 3.0}) == ""


def test_words_that_counted_as_empty_in_the_run_do_so_again(tmp_path):
    assert run_na_values(tmp_path / "model") == []
    (tmp_path / "config.yaml").write_text("data:\n  path: a.csv\n")
    assert run_na_values(tmp_path / "model") == []
    (tmp_path / "config.yaml").write_text("data:\n  na_values: [NA, -9]\n")
    assert run_na_values(tmp_path / "model") == ["NA", -9]


def test_where_a_task_abstains_its_surest_class_is_told():
    answer = {"prediction": None, "probabilities": {"a": 0.25, "b": 0.6, "c": 0.15}}
    assert prediction_text(answer["prediction"]) == "no answer"
    assert probability_text(answer) == "b 0.60, too low"


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "high", ""])
def test_a_threshold_is_a_probability(value):
    with pytest.raises(ConfigError, match=f"abstain_below={value}: a number of at least 0 and at most 1 is wanted"):
        probability({"abstain_below": value}, "abstain_below")
    assert probability({"abstain_below": "0.7"}, "abstain_below") == 0.7 and probability({}, "abstain_below") is None


def test_a_threshold_is_set_where_tasks_can_abstain():
    able, other = SimpleNamespace(abstain_below=None), SimpleNamespace()
    set_threshold({"mood": able, "value": other}, 0.7)
    assert able.abstain_below == 0.7 and not hasattr(other, "abstain_below")
    set_threshold({"mood": able}, None)
    assert able.abstain_below == 0.7
    with pytest.raises(ConfigError, match=r"none of the model's tasks \(value\) answers with one class a sample"):
        set_threshold({"value": other}, 0.7)


def test_texts_have_no_column_of_probabilities_and_lines_stay_lines(capsys):
    print_answers({"short": {"prediction": "One fox.\nTwo birds.", "sentences": [0, 2]}})
    shown = capsys.readouterr().out
    assert "probability" not in shown and "\\n" not in shown
    assert [line for line in shown.splitlines() if "One fox." in line] != [
        line for line in shown.splitlines() if "Two birds." in line
    ]
    print_answers({"short": {"prediction": "a"}, "mood": {"prediction": "x", "probabilities": {"x": 0.75, "y": 0.25}}})
    assert {"probability", "0.75"} <= set(capsys.readouterr().out.replace("┃", " ").replace("│", " ").split())


def test_tags_stand_behind_their_words(capsys):
    print_answers(
        {
            "names": {"prediction": ["B-PER", "O"], "words": ["Ada", "sings"], "entities": []},
            "said": {"prediction": "one two", "words": [{"word": "one"}, {"word": "two"}]},
            "none": {"prediction": [], "words": [], "entities": []},
        }
    )
    shown = capsys.readouterr().out
    assert "Ada/B-PER sings/O" in shown and "one two" in shown and "none" in shown and "{" not in shown


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        ("serve", "serve_model", ["max_batch=0"]),
        ("export", "export_saved_model", ["check=mde"]),
        ("compress", "compress_model", ["methods=[witout]"]),
        ("explain", "explain_model", ["samples=20"]),
        ("attack", "attack_run", ["shadows=3"]),
    ],
)
def test_a_mistake_in_a_word_is_told_before_anything_heavy_is_imported(module, function, words, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    code = (
        f"import sys\nfrom mmbert.cli import {module} as command\nfrom mmbert.core.errors import MmbertError\n"
        f"try:\n    command.{function}(['model={tmp_path}', *{words}])\n"
        "except MmbertError:\n    print('refused', sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "refused []\n"


def test_a_folder_without_a_model_is_told_as_that(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no model in this folder \(no config\.json\)"):
        model_folder(str(tmp_path))
