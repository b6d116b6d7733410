"""Layers that several fusion strategies share."""
