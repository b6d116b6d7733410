"""Metrics of generated texts, and how texts of a language are cut into words and sentences for them."""
