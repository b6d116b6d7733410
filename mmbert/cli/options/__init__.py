"""Options of the commands: which exist, which values they may have, and the messages about wrong ones."""
