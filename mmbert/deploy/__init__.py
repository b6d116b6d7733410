"""A saved model for other programs: made smaller, exported, served over HTTP, shown in a browser."""
