"""Which rows belong to which split, and which lose modalities on purpose."""
