"""Training: parts built from the config, the Lightning module, optimisation, callbacks, loggers and results."""
