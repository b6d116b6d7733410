"""Plain text files as samples: ``data=text``."""
