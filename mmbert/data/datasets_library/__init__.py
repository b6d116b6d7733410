"""What ``mmbert.data.huggingface`` needs of the ``datasets`` library: parts of a set, class names, what is left out."""
