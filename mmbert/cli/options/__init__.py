"""Options: which there are, which values they may have, and what is said of the others."""
