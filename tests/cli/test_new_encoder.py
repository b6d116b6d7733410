"""mmbert-new-encoder, in this process, in an empty folder."""

import importlib
import sys

import pytest

from mmbert.cli import new_encoder, scaffold
from mmbert.cli.encoder_templates import TEMPLATES
from mmbert.core.errors import ConfigError
from mmbert.testing import check_encoder

COVERS = ("encoder_templates", "scaffold")


@pytest.fixture
def here(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    yield here
    for kind in TEMPLATES:
        sys.modules.pop(f"my_{kind}", None)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_is_generated_keeps_the_contract_and_its_file_names_every_option(here, kind):
    import inspect

    import yaml

    scaffold.write_files(new_encoder.contents(f"my_{kind}", kind), here)
    made = getattr(importlib.import_module(f"my_{kind}"), f"My{kind.capitalize()}")
    check_encoder(made, out_dim=8)
    head, _, _ = (here / kind / f"my_{kind}.yaml").read_text().partition("\n")
    assert head == f"# @package encoders.{kind}"
    given = yaml.safe_load((here / kind / f"my_{kind}.yaml").read_text())
    defaults = {name: one.default for name, one in inspect.signature(made).parameters.items()}
    assert given == {"_target_": f"my_{kind}.My{kind.capitalize()}", **defaults}


def test_three_files_are_written(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mmbert-new-encoder", "my_audio", "--kind", "audio"])
    new_encoder.main()
    printed = capsys.readouterr().out
    files = ["my_audio.py", "audio/my_audio.yaml", "test_my_audio.py"]
    assert all((here / name).is_file() and name in printed for name in files)
    assert len((here / "test_my_audio.py").read_text().splitlines()) == 3
    assert "mmbert-check-encoder my_audio\nmmbert-train audio=my_audio\n" in printed


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("minilm", "text", "The package has a file 'minilm'"),
        ("torch", "text", "a Python module 'torch' already"),
        ("MyEncoder", "text", "small letters"),
        ("my_encoder", "txt", "no such kind of input. Did you mean 'text'"),
    ],
)
def test_a_name_or_kind_that_cannot_be_used_is_refused(here, name, kind, message):
    with pytest.raises(ConfigError, match=message):
        new_encoder.contents(name, kind)


def test_what_is_generated_trains(here, train):
    scaffold.write_files(new_encoder.contents("my_text", "text"), here)
    from mmbert.cli.sweep.search_path import add_working_folder

    add_working_folder()
    ended = train("text=my_text", "encoders.text.out_dim=8", "plots=false")
    assert ended.code == 0, ended.err
    assert (here / "out" / "metrics.json").is_file()
