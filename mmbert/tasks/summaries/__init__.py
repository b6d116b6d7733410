"""Parts of the task extractive_summary: the oracle, the choice of sentences, and its metrics."""
