"""Tables on disk: formats, cells, fingerprints."""
