"""What parts of a sample (words, pixels, moments) an answer rests on, and whether that can be trusted."""
