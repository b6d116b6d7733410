"""``mmbert-train``: one run, with ``-m`` a sweep of them, with ``resume=FOLDER`` the rest of one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mmbert.cli import resume
from mmbert.cli.app import run_app, run_plain

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(cfg: DictConfig) -> float:
    """Trains what the config describes; returns the monitored validation metric, for sweepers."""
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from mmbert.training.run import run

    return run(cfg, Path(HydraConfig.get().runtime.output_dir))


def main() -> None:
    """Entry point of the console script."""
    if resume.asked_for(sys.argv[1:]):
        run_plain(resume.resume, "mmbert-train")
        return
    run_app(train, config_name="train")


if __name__ == "__main__":
    main()
