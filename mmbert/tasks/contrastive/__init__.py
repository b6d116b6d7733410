"""Losses over pairs of the samples of a batch, gathered over processes."""
