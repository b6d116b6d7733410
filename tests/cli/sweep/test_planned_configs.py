"""A job's config that was kept since the sweep was planned is the one that Hydra would compose for it."""

import pickle

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from mmbert.cli.sweep import planned_configs
from mmbert.cli.sweep.planned_configs import SUBDIR, PlannedConfigs

JOBS = (
    ["fusion=mean", "optimizer.lr=0.01", "+study.more={a: 1}"],
    ["fusion=mean", "optimizer.lr=0.02", "hydra.verbose=true", "~tasks"],
)


@pytest.fixture(scope="module")
def hydra():
    """Hydra's loader and the config of a sweep."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        words = ["seed=3", "hydra.sweep.dir=/tmp/a sweep"]
        yield loader, loader.load_configuration("train", words, run_mode=RunMode.MULTIRUN)


def everything(config):
    return OmegaConf.to_container(config, resolve=False)


@pytest.mark.parametrize("words", JOBS, ids=" ".join)
@pytest.mark.parametrize("folder", ["plain-0.01", "'a b,c=1'"])
def test_what_was_kept_is_what_is_composed(hydra, words, folder):
    loader, master = hydra
    configs = PlannedConfigs(loader)
    planned = configs.planned(master, words)
    given = [*words, f"{SUBDIR}{folder}"]
    kept, composed = configs.load_sweep_config(master, given), loader.load_sweep_config(master, given)
    assert not configs.kept  # it came from there
    assert everything(kept) == everything(composed) != everything(planned)
    assert kept.hydra.sweep.subdir == folder.strip("'")
    for flag in ("readonly", "struct"):
        assert OmegaConf.is_readonly(kept.hydra.runtime) == OmegaConf.is_readonly(composed.hydra.runtime), flag
        assert OmegaConf.is_struct(kept.hydra) == OmegaConf.is_struct(composed.hydra), flag
    assert OmegaConf.get_cache(kept) == OmegaConf.get_cache(master)


def test_a_job_that_changes_its_config_changes_no_other(hydra):
    loader, master = hydra
    configs = PlannedConfigs(loader)
    configs.planned(master, JOBS[0]).seed = 99
    first = configs.load_sweep_config(master, [*JOBS[0], f"{SUBDIR}a"])
    assert first.seed == 0
    first.seed = 98
    assert configs.load_sweep_config(master, [*JOBS[0], f"{SUBDIR}a"]).seed == 0  # composed anew


def test_other_jobs_are_composed(hydra, monkeypatch):
    loader, master = hydra
    configs = PlannedConfigs(loader)
    configs.planned(master, JOBS[0])
    assert configs.load_sweep_config(master, [*JOBS[0]]).fusion == loader.load_sweep_config(master, JOBS[0]).fusion
    assert configs.load_sweep_config(master, ["seed=5", f"{SUBDIR}b"]).seed == 5
    assert list(configs.kept) == [tuple(JOBS[0])]
    monkeypatch.setattr(planned_configs, "MOST_KEPT", 1)
    configs.planned(master, JOBS[1])
    assert list(configs.kept) == [tuple(JOBS[0])]


def test_processes_of_jobs_get_the_loader_alone(hydra):
    loader, master = hydra
    configs = PlannedConfigs(loader)
    configs.planned(master, JOBS[0])
    sent = pickle.loads(pickle.dumps(configs))
    assert not sent.kept and sent.get_sources() is not None and configs.kept
