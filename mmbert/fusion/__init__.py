"""Fusion strategies, one file each: ``{modality: Encoded}`` becomes ``Fused``."""
