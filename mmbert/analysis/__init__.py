"""Analyses of a trained model beyond its metrics: robustness to missing and damaged modalities."""
