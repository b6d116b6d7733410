"""Groups and their choices in several places: joined, sorted, and Hydra's own left out."""

from types import SimpleNamespace

from hydra._internal.core_plugins.file_config_source import FileConfigSource

from mmbert.cli.options.groups import Groups


def groups_of(*folders):
    """``Groups`` over folders, as Hydra's loader gives them."""
    sources = [FileConfigSource("test", f"file://{folder}") for folder in folders]
    return Groups(SimpleNamespace(get_sources=lambda: sources))


def test_the_choices_of_all_places_are_joined(tmp_path):
    for path in ("a/fusion/mean.yaml", "a/fusion/concat.yaml", "b/fusion/mine.yaml", "b/fusion/mean.yaml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "a" / "fusion" / "notes.txt").write_text("")
    groups = groups_of(tmp_path / "a", tmp_path / "b")
    assert groups.options("fusion") == ["concat", "mean", "mine"]
    assert groups.options("fusio") == []


def test_only_groups_with_choices_are_named_and_hydras_own_is_not(tmp_path):
    for path in ("text/tiny.yaml", "hydra/default.yaml", "audio/tiny.yaml", "empty/notes.txt"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text("")
    assert groups_of(tmp_path).names == ["audio", "text"]
