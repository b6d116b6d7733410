"""Devices, memory and what a model costs."""
