"""Splits into train, val and test, and modalities that are removed on purpose."""
