"""``mmbert-demo``: a saved model in a browser, one sample at a time."""
