"""Search by a model trained with ``task=retrieval``: files and tables become vectors, kept as an index on disk."""
