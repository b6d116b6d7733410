"""A data set built from a small look-alike of its published files, and the rows of its table."""

import csv


def built(kind, source, home, **options):
    """The set, and its table's rows as dictionaries of text by column."""
    data = kind(source=source, folder=home, num_workers=0, **options)
    with data.path.open(newline="", encoding="utf-8") as file:
        return data, list(csv.DictReader(file))


def splits_of(rows):
    """The ids of each split."""
    found = {}
    for row in rows:
        found.setdefault(row["split"], []).append(row["id"])
    return found
