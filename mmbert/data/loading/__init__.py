"""Dataset, samplers and collation: rows of a table -> samples -> batches."""
