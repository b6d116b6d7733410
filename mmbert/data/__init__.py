"""The data layer: tables and files on disk -> checked samples -> batches of tensors."""
