"""Preprocessing, one file for each kind of input: raw values become padded tensors with masks."""
