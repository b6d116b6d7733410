"""Preprocessing of each kind of encoder, without weights."""
