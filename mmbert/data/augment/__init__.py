"""Random changes to training samples: pictures, sounds, texts, and whole modalities that are left out."""
