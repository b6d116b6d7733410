"""Parts become a finished run: building, the Lightning module, optimisation, what a run leaves behind."""
