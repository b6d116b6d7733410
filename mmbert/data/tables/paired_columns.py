"""Columns that one encoder reads together: two texts, ``data.columns.text=[question,context]``, or facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmbert.core.errors import ConfigError
from mmbert.data.tables.derived_columns import ColumnsTogether, Pair
from mmbert.data.tables.table import Table


def pair_of_columns(encoder: str, columns: Sequence[str]) -> tuple[str, str]:
    """The two columns that an option names.

    Raises:
        ConfigError: they are not two.
    """
    names = list(columns)
    if len(names) != 2:
        raise ConfigError(
            f"data.columns.{encoder}={names} names {len(names)} columns. An encoder reads one, or two texts together, "
            f"of which labels are about the second: data.columns.{encoder}=[question,context]"
        )
    return names[0], names[1]


def one_column(name: str, column: str | Sequence[str] | None) -> str | None:
    """The only column that an option names; None = none.

    Raises:
        ConfigError: it names several.
    """
    if column is None or isinstance(column, str):
        return column
    raise ConfigError(f"data.columns.{name}={list(column)} names {len(list(column))} columns; one is wanted here.")


def paired_column(table: Table, pair: tuple[str, str]) -> str:
    """The name of the table's column that holds both, which is made here; or of the one of the two that it lacks."""
    lacking = next((column for column in pair if not table.has_column(column)), None)
    return table.add(Pair(*pair)) if lacking is None else lacking


def record_column(table: Table, encoder: str, columns: Sequence[str]) -> str:
    """The name of the table's column of records, which is made here; or of the first column that the table lacks.

    Raises:
        ConfigError: a column is named twice, or like the parts of a picture or sound in a table.
    """
    names = list(columns)
    strange = next((name for name in names if names.count(name) > 1 or name in ("bytes", "path")), None)
    if strange is not None:
        why = "twice" if names.count(strange) > 1 else "and this name is kept for files that lie in a table: rename it"
        raise ConfigError(f"data.columns.{encoder}={names} names '{strange}' {why}.")
    lacking = next((column for column in names if not table.has_column(column)), None)
    return table.add(ColumnsTogether(tuple(names))) if lacking is None else lacking


def check_readers(table: Table, columns: Mapping[str, str], processors: Mapping[str, Any]) -> None:
    """Refuses a pair of columns for an encoder that reads one text.

    Args:
        table: where they are.
        columns: the table's column by encoder name.
        processors: the encoders' preprocessing by name.

    Raises:
        ConfigError: names the option.
    """
    for name, processor in processors.items():
        if table.pair_in(columns[name]) and not getattr(processor, "reads_pairs", False):
            raise ConfigError(
                f"data.columns.{name} names two columns ({columns[name]}), but {type(processor).__name__} reads one "
                f"input a sample. Only text encoders read two together: data.columns.{name}=COLUMN"
            )
