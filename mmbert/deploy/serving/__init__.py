"""``mmbert-serve``: a saved model over HTTP, in one process: an event loop, threads that decode, one that computes."""
