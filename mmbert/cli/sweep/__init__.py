"""Launchers, sweepers and where Hydra finds plugins and configs."""
