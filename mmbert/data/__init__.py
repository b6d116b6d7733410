"""Tables and files on disk become checked samples, and samples become batches."""
