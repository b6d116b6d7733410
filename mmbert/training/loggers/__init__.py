"""Loggers of training: the base class, one file for each kind, and the group that a run has."""
