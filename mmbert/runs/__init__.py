"""The folder of a run: its files, their names and formats."""
