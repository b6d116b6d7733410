"""Finished runs on disk become tables. Reads files alone and needs no training code."""
