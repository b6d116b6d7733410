"""mmbert-check-encoder, in this process, in an empty folder."""

import re
import sys

import pytest

from mmbert.cli import check_encoder, new_encoder, scaffold
from mmbert.cli.app import run_plain


@pytest.fixture
def generated(here, monkeypatch):
    """The folder one stands in, with ``my_encoder`` for ready features."""
    monkeypatch.syspath_prepend(here)
    scaffold.write_files(new_encoder.contents("my_encoder", "features"), here)
    yield here
    sys.modules.pop("my_encoder", None)


def run(capsys, *words):
    """Exit code, and what is printed."""
    capsys.readouterr()
    code = 0
    try:
        run_plain(check_encoder.answer, "mmbert-check-encoder", [*words])
    except SystemExit as leaving:
        code = leaving.code
    return code, *capsys.readouterr()


def test_what_is_generated_passes(generated, capsys):
    code, out, _ = run(capsys, "my_encoder", "--set", "width=3")
    assert code == 0 and "MyEncoder: keeps the contract" in out and "FAIL" not in out
    assert len(re.findall(r"(?m)^  pass  ", out)) == 18


def test_a_broken_law_is_reported_with_a_counter_example_and_exit_code_1(generated, capsys):
    source = (generated / "my_encoder.py").read_text()
    (generated / "my_encoder.py").write_text(
        source.replace("self.dropout(self.norm(tokens))", "tokens - tokens.mean()")
    )
    code, out, _ = run(capsys, "my_encoder.MyEncoder", "--only", "samples are independent")
    assert code == 1 and "MyEncoder: breaks the contract" in out
    assert re.search(r"seen: for sample 0 alone, tokens\[0, 0\] is -?\d", out)
    assert "likely cause: padding to the longest is read, batch statistics" in out


WRONG = [
    (["my_encode"], "There is no encoder 'my_encode'.*Did you mean 'my_encoder'?"),
    (["tiny"], "Which 'tiny'\\? Write one of audio/tiny, image/tiny, text/tiny"),
    (["my_encoder", "--set", "widht=3"], "my_encoder.MyEncoder takes no widht. Did you mean 'width'?"),
    (["mmbert.fusion.mean.MeanFusion"], "MeanFusion needs dims"),
    (
        ["mmbert.encoders.processors.text.TextProcessor", "--set", "tokenizer=1", "--set", "max_tokens=1"],
        "is no Encoder",
    ),
    (["text/none"], "none.yaml names no class"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_word_is_answered(generated, capsys, words, message):
    code, out, err = run(capsys, *words)
    assert code == 2 and re.search(message, err) and not out


def test_a_file_is_found_by_group_and_name(here, capsys):
    code, out, _ = run(capsys, "image/tiny", "--only", "shapes")
    assert code == 0 and "ImageEncoder: keeps the contract" in out


def test_weights_are_loaded_once_and_copied(here, capsys, monkeypatch):
    from mmbert.encoders.image import ImageEncoder

    given = []

    class Fetching(ImageEncoder):
        def __init__(self, name="tiny", pretrained=True, frozen=False, lr_scale=1.0):
            given.append(pretrained)
            super().__init__(name, False, frozen=frozen, lr_scale=lr_scale)

        @classmethod
        def rebuild_args(cls, args, folder):
            return {**args, "pretrained": False}

    monkeypatch.setattr("mmbert.encoders.image.Fetching", Fetching, raising=False)
    (here / "image").mkdir()
    (here / "image" / "fetching.yaml").write_text(
        "# @package encoders.image\n_target_: mmbert.encoders.image.Fetching\nname: tiny\npretrained: true\n"
    )
    monkeypatch.setattr("mmbert.cli.options.signatures.signature_of", lambda target: None)
    code, _, err = run(capsys, "fetching", "--only", "shapes", "--only", "samples are independent")
    assert code == 0, err
    assert given.count(True) == 1 and given.count(False) == 3
