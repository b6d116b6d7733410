"""The Hydra groups of mmbert as package data. This file makes the folder findable as ``mmbert.conf``."""
