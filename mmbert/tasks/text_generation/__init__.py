"""Parts of the task generation: the decoder, its vocabulary, references as targets, and the search for texts."""
