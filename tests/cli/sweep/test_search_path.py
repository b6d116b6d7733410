"""What Hydra sees of the working folder: known groups, ``conf/`` and ``experiments/``, and nothing else."""

import pytest
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.object_type import ObjectType

from mmbert.cli.sweep.search_path import StudiesSource, WorkingFolderSearchPath, WorkingFolderSource


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a strategy, a picture folder that has a YAML file, and a study."""
    for path in ("fusion/mine.yaml", "fusion/deep/other.yaml", "pictures/cat.yaml", "experiments/study.yaml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("rank: 3\n")
    (tmp_path / "experiments" / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_known_groups_of_the_folder_are_seen(here):
    source = WorkingFolderSource("mmbert", f"here://{here}")
    assert source.is_group("") and source.is_group("fusion")
    assert not any(map(source.is_group, ("pictures", "fusion/deep", "hydra", "text")))
    assert source.is_config("fusion/mine") and not source.is_config("fusion/other")
    assert not source.is_config("pictures/cat") and not source.is_config("fusion/deep/other")
    assert source.list("fusion", ObjectType.CONFIG) == ["mine"]
    assert source.list("fusion", ObjectType.GROUP) == []
    assert source.list("", ObjectType.GROUP) == ["fusion"]


def test_studies_are_choices_of_experiment(here):
    source = StudiesSource("mmbert", f"studies://{here / 'experiments'}")
    assert source.is_group("") and source.is_group("experiment") and not source.is_group("fusion")
    assert source.is_config("experiment/study")
    assert not any(map(source.is_config, ("study", "experiment/gone", "fusion/study", "experiment/deep/study")))
    assert source.load_config("experiment/study").config == {"rank": 3}
    assert source.list("", ObjectType.GROUP) == ["experiment"] and source.list("", ObjectType.CONFIG) == []
    assert source.list("experiment", ObjectType.CONFIG) == ["study"]
    assert source.list("experiment", ObjectType.GROUP) == []


def places(plugin):
    path = ConfigSearchPathImpl()
    plugin.manipulate_search_path(path)
    return [(place.provider, place.path) for place in path.get_path()]


def test_places_come_in_order_and_only_where_there_is_such_a_folder(here):
    plugin = WorkingFolderSearchPath()
    top, studies = ("mmbert", f"here://{here}"), ("mmbert", f"studies://{here}/experiments")
    assert places(plugin) == [top, studies]
    (here / "conf").mkdir()
    plugin.config_dir = "more"
    assert places(plugin) == [("mmbert", f"file://{here}/conf"), top, studies, ("command-line", f"file://{here}/more")]
