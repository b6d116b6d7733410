"""A module for each kind of file that is damaged: its subclasses of ``Subject`` are found by being here."""
