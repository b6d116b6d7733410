"""Tables on disk: formats, cells, checks of rows, fingerprints."""
