"""Checks of a table before training: facts by split, findings, and a page that shows them."""
