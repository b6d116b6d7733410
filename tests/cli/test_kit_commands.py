"""mmbert-check-fusion, mmbert-new-fusion and mmbert-list, in this process, in an empty folder."""

import re
import sys
from pathlib import Path

import pytest

from mmbert.cli import check_fusion, new_fusion, scaffold
from mmbert.cli import list as listing
from mmbert.cli.app import run_plain
from mmbert.cli.options.catalogue import entries, first_work, group_names
from mmbert.core.errors import ConfigError

COVERS = ("check_fusion", "list", "new_fusion")

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def here(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    yield here
    for name in ("my_fusion", "leaky", "plain_module"):
        sys.modules.pop(name, None)


@pytest.fixture
def generated(here):
    scaffold.write_files(new_fusion.contents("my_fusion", seeds=2), here)
    return here


def run(command, capsys, *words):
    """Exit code, and what is printed."""
    capsys.readouterr()
    code = 0
    try:
        run_plain(getattr(command, "answer", None) or command.print_groups, "mmbert-it", [*words])
    except SystemExit as leaving:
        code = leaving.code
    return code, *capsys.readouterr()


# ------------------------------------------------------------------------------------------------- mmbert-check-fusion


def test_what_is_generated_passes_and_is_measured(generated, capsys):
    words = ["my_fusion", "--no-tracing", "--set", "hidden=8", "--beside", "concat", "--dims", "text=6,image=5,audio=4"]
    code, out, _ = run(check_fusion, capsys, *words)
    assert code == 0 and "MyFusion: keeps the contract" in out and "FAIL" not in out
    assert len(re.findall(r"(?m)^  pass  ", out)) >= 15
    assert re.search(r"(?m)^  audio +0\.\d+ +0\.\d+$", out) and "note:" not in out
    assert re.search(r"(?m)^  > MyFusion +\d[\d,]+ +\d+\.\d\d +\d+\.\d$", out)
    assert re.search(r"(?m)^  concat +149,888 +0\.29 ", out)


def test_a_broken_law_is_told_with_a_counter_example_and_exit_code_1(here, capsys):
    (here / "leaky.py").write_text(
        "import torch\nfrom mmbert.fusion.mean import MeanFusion\n\n\nclass Leaky(MeanFusion):\n"
        "    def fuse(self, inputs):\n        fused = super().fuse(inputs)\n        return fused - fused.mean(0)\n"
    )
    words = ["leaky.Leaky", "--no-tracing", "--no-costs", "--only", "samples are independent"]
    code, out, _ = run(check_fusion, capsys, *words)
    assert code == 1 and "Leaky: breaks the contract" in out
    seen = r"seen: with \['text', 'image', 'audio'\]: for sample \d \(.*\) alone, pooled\[\d\] is 0, was -?\d"
    assert re.search(seen, out) and "likely cause: statistics over the batch" in out
    assert "Scale of pooled" not in out


def test_a_modality_that_does_not_learn_is_noted(here, capsys):
    (here / "leaky.py").write_text(
        "import torch\nfrom mmbert.fusion.concat import ConcatFusion\nfrom mmbert.core.types import Encoded\n\n\n"
        "class Leaky(ConcatFusion):\n    def fuse(self, inputs):\n        x = inputs['audio']\n"
        "        faint = Encoded(x.tokens, x.mask, x.pooled.detach() + 1e-4 * (x.pooled - x.pooled.detach()))\n"
        "        return super().fuse({**inputs, 'audio': faint})\n"
    )
    words = ["leaky.Leaky", "--no-tracing", "--only", "shapes", "--dims", "text=8,image=8,audio=8", "--beside", ""]
    code, out, _ = run(check_fusion, capsys, *words)
    assert code == 0 and "note: audio receives 0.0001 of the gradient" in out


def test_an_adapter_is_checked_with_the_module_it_wraps(here, capsys):
    (here / "plain_module.py").write_text(
        "from torch import nn\n\n\nclass Total(nn.Module):\n    def forward(self, vectors): return sum(vectors)\n"
    )
    words = ["adapter", "--no-tracing", "--no-costs", "--only", "padding changes nothing"]
    words += ["--set", "module._target_=plain_module.Total", "--set", "project_to=8"]
    code, out, _ = run(check_fusion, capsys, *words)
    assert code == 0 and "AdapterFusion: keeps the contract" in out
    code, _, err = run(check_fusion, capsys, "plain_module.Total", "--no-costs")
    assert code == 2 and "is no Fusion" in err and "adapter --set module._target_=plain_module.Total" in err


WRONG = [
    (["conct"], "There is no strategy 'conct'.*Did you mean 'concat'?"),
    (["my_fusion.MyFusoin"], "my_fusion.py has no 'MyFusoin'. Did you mean 'MyFusion'?"),
    (["my_fusio.MyFusion"], "no module 'my_fusio'.*Did you mean 'my_fusion'?"),
    (["my_fusion", "--set", "hiden=3"], "my_fusion.MyFusion takes no hiden. Did you mean 'hidden'?"),
    (["my_fusion", "--set", "hidden"], "an option and its value are wanted"),
    (["my_fusion", "--set", "hidden=[1"], "the value cannot be read"),
    (["my_fusion", "--set", "hidden.x=1"], "hidden has no entries"),
    (["mmbert.fusion.adapter.AdapterFusion"], "AdapterFusion needs module, which has no default"),
    (["concat", "--dims", "text"], "widths by modality are wanted"),
    (["concat", "--beside", "maen"], "no built-in strategy 'maen'. Did you mean 'mean'?"),
    (["concat", "--only", "shape"], "no law 'shape'. Did you mean 'shapes'"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_word_is_told(generated, capsys, words, message):
    code, out, err = run(check_fusion, capsys, *words)
    assert code == 2 and re.search(message, err) and not out


# --------------------------------------------------------------------------------------------------- mmbert-new-fusion


def test_four_files_are_written_and_none_is_overwritten(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mmbert-new-fusion", "my_fusion"])
    new_fusion.main()
    told = capsys.readouterr().out
    files = ["my_fusion.py", "fusion/my_fusion.yaml", "test_my_fusion.py", "experiments/compare_my_fusion.yaml"]
    assert all((here / name).is_file() and name in told for name in files)
    assert len((here / "test_my_fusion.py").read_text().splitlines()) == 3
    (here / "my_fusion.py").unlink()
    with pytest.raises(SystemExit):
        new_fusion.main()
    assert "fusion/my_fusion.yaml exists already, and nothing was written" in capsys.readouterr().err
    assert not (here / "my_fusion.py").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("concat", "The package has a strategy 'concat'"),
        ("torch", "a Python module 'torch' already"),
        ("json", "a Python module 'json' already"),
        ("MyFusion", "use small letters"),
        ("class", "use small letters"),
        ("my-fusion", "use small letters"),
    ],
)
def test_a_name_that_another_module_has_is_refused(here, name, message):
    with pytest.raises(ConfigError, match=message):
        new_fusion.contents(name)


def test_options_of_the_study_are_held_against_what_there_is(here):
    files = new_fusion.contents("mine", "test/label/f1", "mean,concat", 3)
    study = files["experiments/compare_mine.yaml"]
    assert "metric: test/label/f1" in study and "baseline: {fusion: mean}" in study
    assert "fusion: mine,mean,concat" in study and "seed: 0,1,2\n" in study
    for given, message in (
        ({"metric": "val/label/f1"}, "a metric of the test split"),
        ({"baselines": "maen"}, "Did you mean 'mean'"),
        ({"baselines": ""}, "a name at least"),
        ({"seeds": 0}, "at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            new_fusion.contents("mine", **given)


def test_what_is_generated_trains_as_a_study(generated, train):
    import hydra

    from mmbert.cli.options.check import check_words
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    add_working_folder()
    with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="train"):
        cfg = check_words(["experiment=compare_my_fusion"], "train", sweep=True)
    assert cfg.fusion._target_ == "my_fusion.MyFusion"
    assert dict(cfg.hydra.sweeper.params) == {"fusion": "my_fusion,concat,mean", "seed": "0,1"}
    ended = train("fusion=my_fusion", "plots=false")
    assert ended.code == 0, ended.err
    assert (generated / "out" / "metrics.json").is_file()


# --------------------------------------------------------------------------------------------------------- mmbert-list


def test_every_group_and_every_choice_is_listed_with_a_line(here, capsys):
    code, out, _ = run(listing, capsys)
    assert code == 0 and re.search(r"(?m)^  fusion +\d+  ", out)
    for group in group_names():
        for entry in entries(group):
            assert entry.summary, f"conf/{group}/{entry.name}.yaml does not say what it is"
    code, out, _ = run(listing, capsys, "fusion", "encoders", "tasks")
    names = [path.stem for group in ("fusion", "text", "audio", "task") for path in (CONF / group).glob("*.yaml")]
    assert code == 0 and all(re.search(rf"(?m)^  {name} ", out) for name in names)


def test_a_strategy_of_ones_own_is_listed_with_its_paper_and_what_it_needs(generated, capsys):
    source = (generated / "my_fusion.py").read_text()
    work = 'Doe and Roe 2020, "A Title", arXiv:2001.00001'
    (generated / "my_fusion.py").write_text(source.replace('Paper: who, when, "title", where', f"Paper: {work}"))
    _, out, _ = run(listing, capsys, "fusion")
    mine = out.partition("  my_fusion* ")[2].partition("  product")[0]
    assert "My fusion: what it does in a line." in mine and work in mine and "needs each modality's vector" in mine
    assert re.search(r"(?s)  cross_attention .*?needs each modality's tokens", out)


def test_weights_and_extras_are_named(here, capsys):
    _, out, _ = run(listing, capsys, "text", "logger")
    assert re.search(
        r"(?s)  bert_base .*?Devlin et al\. 2019, arXiv:1810\.04805\n +needs its weights, fetched once", out
    )
    assert re.search(r"(?s)  minilm .*?needs nothing: its weights are installed", out)
    assert re.search(r"(?s)  mlflow .*?needs mmbert\[mlflow\]", out)


def test_an_unknown_group_is_told(here, capsys):
    code, _, err = run(listing, capsys, "fuson")
    assert code == 2 and "There is no group 'fuson'. Did you mean 'fusion'?" in err


@pytest.mark.parametrize(
    ("text", "work"),
    [
        ('As Kendall, Gal & Cipolla 2018, "Multi-Task\nLearning", arXiv:1705.07115.', "Kendall, Gal & Cipolla 2018, "),
        ("Ba et al. 2016, arXiv:1607.06450", "Ba et al. 2016, arXiv:1607.06450"),
        ('After Foo 2001, "Old". Paper: Bar and Baz 2002, "New".', 'Bar and Baz 2002, "New"'),
        ("In 2019 nothing happened.", ""),
    ],
)
def test_a_work_is_found_in_a_docstring(text, work):
    assert first_work([text]).startswith(work) and bool(first_work([text])) == bool(work)
