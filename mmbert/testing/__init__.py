"""The contracts as runnable checks, for the package's own modules and for users' modules."""
