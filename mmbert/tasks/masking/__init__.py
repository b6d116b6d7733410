"""What tasks of pre-training share: which tokens are hidden, what stands in their places, and the head over words."""
