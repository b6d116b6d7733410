"""Ways to keep one modality from outshining the others in training; one file each."""
