"""Differentially private training: DP-SGD over frozen encoders (docs/privacy.md)."""
