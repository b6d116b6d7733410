"""The store: outputs of frozen encoders and of preprocessing, computed once and kept on disk for all runs."""
