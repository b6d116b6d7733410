"""Data augmentation of training samples, and corruptions of test samples for robustness studies."""
