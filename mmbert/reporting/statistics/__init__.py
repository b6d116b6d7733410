"""What is computed from runs: means, tests, curves, Shapley values."""
