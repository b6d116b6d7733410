"""Rows of a table become samples, samples become batches."""
