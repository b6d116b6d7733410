"""Membership inference: how well it can be told from a model's answers which samples it was trained on."""
