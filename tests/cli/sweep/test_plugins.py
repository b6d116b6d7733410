"""Our launchers and sweepers under Hydra's names: imported when they are looked up, and not before."""

from types import SimpleNamespace

import pytest

from mmbert.cli.sweep import plugins
from mmbert.core.errors import ConfigError


def test_a_class_of_ours_is_found_by_hydras_name():
    from mmbert.cli.sweep.sweeper import StudySweeper

    known = plugins.LazyPluginClasses({"hydra.Other": int})
    assert known["hydra_plugins.mmbert.StudySweeper"] is StudySweeper
    assert known["hydra.Other"] is int
    assert set(known.keys()) == {
        "hydra.Other",
        *(f"hydra_plugins.mmbert.{name}" for name in ("StudySweeper", "SlotsLauncher", "RayLauncher", "OptunaSweeper")),
    }


@pytest.mark.parametrize("name", ["StudySweeper", "hydra_plugins.other.StudySweeper", "hydra_plugins.mmbert.Gone"])
def test_another_name_is_unknown(name):
    assert plugins.own_module(name) is None
    with pytest.raises(KeyError, match=name):
        plugins.LazyPluginClasses()[name]


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(plugins.OWN_PLUGINS, "Absent", "no_such_package")
    with pytest.raises(ConfigError, match=r"no_such_package is not installed: pip install 'mmbert\[no_such_package\]'"):
        plugins.LazyPluginClasses()["hydra_plugins.mmbert.Absent"]


def test_registering_twice_changes_nothing():
    hydras = SimpleNamespace(class_name_to_class={"hydra.Other": int})
    plugins.register_own(hydras)
    first = hydras.class_name_to_class
    assert isinstance(first, plugins.LazyPluginClasses) and dict(first) == {"hydra.Other": int}
    plugins.register_own(hydras)
    assert hydras.class_name_to_class is first
