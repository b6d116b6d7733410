"""Kinds of input: how a cell is read, checked and shown; one file a kind."""
