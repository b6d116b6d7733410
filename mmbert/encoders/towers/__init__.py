"""Parts of transformers' models that read sounds or pictures, one file a kind of model."""
