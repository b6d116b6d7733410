"""What a YAML file and its class tell of a choice: summary, paper, needs, options."""

import pytest

from mmbert.cli.options.catalogue import Entry, entries, first_work, group_names
from mmbert.core.errors import ConfigError

FILE = """\
# @package fusion
# Mine, after Zadeh et al. and others. A second sentence.
# Try: fusion.rank=3
# Needs: a graphics card.
# Paper: Doe, Roe and Poe 2020, "A Title", arXiv:2001.00001
_target_: mmbert.fusion.mean.MeanFusion
defaults: [base]
rank: 4
# no part of the head
dropout: 0.5
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with ``fusion/mine.yaml`` and a ``fusion/mean.yaml`` that the package has as well."""
    (tmp_path / "fusion").mkdir()
    (tmp_path / "fusion" / "mine.yaml").write_text(FILE)
    (tmp_path / "fusion" / "mean.yaml").write_text("rank: 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_choice(here):
    mine = Entry("fusion", "mine", here / "fusion" / "mine.yaml", own=True)
    assert mine.summary == "Mine, after Zadeh et al. and others."
    assert mine.options == {"rank": 4, "dropout": 0.5}
    assert mine.target == "mmbert.fusion.mean.MeanFusion"
    assert mine.paper == 'Doe, Roe and Poe 2020, "A Title", arXiv:2001.00001'
    assert mine.needs == "a graphics card, each modality's vector"
    assert len(mine.head) == 5


def test_of_two_files_of_one_name_the_packages_is_taken(here):
    found = {entry.name: entry for entry in entries("fusion")}
    assert list(found) == sorted(found)
    assert found["mine"].own and not found["mean"].own
    assert found["mean"].path.parent != here / "fusion"
    assert {"fusion", "text", "trainer"} <= set(group_names())


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "x.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="x.yaml is no YAML"):
        Entry("fusion", "x", tmp_path / "x.yaml").options  # noqa: B018


@pytest.mark.parametrize(
    ("head", "needs"),
    [
        ("# Weights: 5 MB, no download.", "nothing: its weights are installed"),
        ("# Weights: 5 MB.", "its weights, fetched once"),
        ("# Run pip install 'mmbert[clip]' first.", "mmbert[clip]"),
    ],
)
def test_what_weights_need(tmp_path, head, needs):
    (tmp_path / "x.yaml").write_text(f"{head}\npretrained: true\n")
    entry = Entry("image", "x", tmp_path / "x.yaml")
    assert entry.needs == needs
    assert entry.target is None and entry.signature() is None


@pytest.mark.parametrize(
    ("texts", "work"),
    [
        (["As Roe 2019 has it."], ""),
        (['Roe 2019, "One". Poe & Doe (2020), arXiv:2.3.'], 'Roe 2019, "One"'),
        (['Roe 2019, "One". Paper: Poe & Doe (2020), arXiv:20.03.'], "Poe & Doe 2020, arXiv:20.03"),
        (["nothing", 'Zadeh et al. 2017,\n  "Two  lines"'], 'Zadeh et al. 2017, "Two lines"'),
    ],
)
def test_the_first_work_with_a_title_or_a_number(texts, work):
    assert first_work(texts) == work
