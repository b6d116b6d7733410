"""What cross-validated predictions say of the data: label errors, contradicting modalities, near-duplicates."""
