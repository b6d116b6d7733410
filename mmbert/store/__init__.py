"""What frozen encoders and preprocessing have computed, kept on disk."""
