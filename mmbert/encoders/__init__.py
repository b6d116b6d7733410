"""Raw inputs of one modality become ``Encoded``: a token sequence, its mask and one pooled vector."""
