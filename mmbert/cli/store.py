"""``mmbert-store``: what frozen encoders have computed, built ahead, listed, verified, pruned, exported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.core.errors import ConfigError, nearest
from mmbert.core.shown_text import printable

if TYPE_CHECKING:
    pass

#: What is said of an array store that cannot be read.
HOW_TO_MEND = "mmbert-store prune {} deletes it; a run that needs it mends or computes it."

STORE_USAGE = """\
usage: mmbert-store build  [any option of mmbert-train]
       mmbert-store export out=FILE [any option of mmbert-train]
       mmbert-store list   [dir=FOLDER]
       mmbert-store verify [NAME ...] [dir=FOLDER]
       mmbert-store prune  NAME ... | older_than_days=30 | max_gib=20 | all [dir=FOLDER]

What frozen encoders give, and what preprocessing gives the others, is computed once and read by every run.

  build    computes what a run with these options would compute before it trains
  export   the same, and writes the features into FILE (.npz or .safetensors)
  list     what is kept: encoder, size, data, how often it was used
  verify   reads all of it; what is damaged is taken out, to be computed again. Exit code 1 if anything was
  prune    deletes what is named (the first letters do), what was not used for so long, the least recently used
           until the rest fits; and compacts what stays

  dir      default: features in $MMBERT_HOME or ~/.cache/mmbert; for build and export store.dir=FOLDER
  --help   show this
"""


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(run_subcommand, "mmbert-store", STORE_USAGE)


def run_subcommand(words: list[str]) -> None:
    """Does what the first word says.

    Raises:
        MmbertError: a word is wrong, or the data cannot be used.
    """
    parts: dict[str, Callable[[list[str]], None]] = {
        "build": build_stores,
        "export": export_features,
        "list": list_stores,
        "verify": verify_stores,
        "prune": prune_stores,
    }
    if not words or words[0] not in parts:
        raise ConfigError(f"'{' '.join(words[:1])}' is nothing mmbert-store does. {nearest(''.join(words[:1]), parts)}")
    parts[words[0]](words[1:])


def build_stores(words: list[str]) -> None:
    """Fills the store for a run's options."""
    fill_stores(words)


def export_features(words: list[str]) -> None:
    """Fills the store and writes the features into a file."""
    outs = [word.partition("=")[2] for word in words if word.startswith("out=")]
    if len(outs) != 1 or not outs[0]:
        raise ConfigError("mmbert-store export needs one file: out=features.npz or out=features.safetensors")
    path = Path(outs[0])
    if path.suffix not in (".npz", ".safetensors"):
        raise ConfigError(f"out={path}: its name must end in .npz or .safetensors.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"out={path}: there is no folder {path.parent}.")
    data, uses = fill_stores([word for word in words if not word.startswith("out=")], everything=True)

    from mmbert.store.export import arrays_of, write_arrays

    arrays = arrays_of(data, uses)
    about = {"data": str(data.path), "splits": ",".join(data.rows), **{n: use.name for n, use in uses.items()}}
    write_arrays(arrays, path, about)
    for name, array in arrays.items():
        print(f"  {name:<16} {array.dtype} {tuple(array.shape)}")
    print(f"  {path}")


def fill_stores(words: list[str], everything: bool = False) -> tuple[Any, dict[str, Any]]:
    """Composes a run's config, builds its data and model, and computes what the store lacks.

    Args:
        words: of mmbert-train.
        everything: read tokens, even if the run's fusion would not.
    """
    from mmbert.cli.check_data import compose_train_config

    cfg = compose_train_config(words)
    if not cfg.store.enabled:
        raise ConfigError("store.enabled=false leaves nothing to do.")

    from mmbert.store.use_store import StoreOptions
    from mmbert.training.resources.out_of_memory import explain_out_of_memory, writing_places
    from mmbert.training.use_store import fill_store

    folder = StoreOptions(dir=cfg.store.dir).folder
    less_memory = "data.eval_batch_size=8, data.num_workers=0"
    with explain_out_of_memory(folder, less_memory, "What was encoded is kept.", writing_places(folder, cfg.store)):
        return fill_store(cfg, everything)


def list_stores(words: list[str]) -> None:
    """Prints the table of array stores."""
    from rich.table import Table

    from mmbert.core.terminal import PlainConsole

    folder, names, _ = store_words(words)
    from mmbert.store.inventory import select_array_stores

    found = select_array_stores(folder, names)
    table = Table("name", "kept", "encoder", "entries", "MiB", "runs", "hits", "last used", "data")
    for one in found:
        last = "never" if one.last is None else one.last.astimezone().strftime("%Y-%m-%d %H:%M")
        data = ", ".join(Path(path).parent.name + "/" + Path(path).name for path in one.data)
        row = (one.name, one.what, one.encoder, f"{one.entries:,}", f"{one.size / 2**20:,.1f}")
        table.add_row(*row, f"{one.runs:,}", f"{one.hits:,}", last, data)
    console = PlainConsole(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for one in found:
        for note in [*([f"{one.fault}. {HOW_TO_MEND.format(one.name)}"] if one.fault else []), *one.notes]:
            console.print(f"  {one.name}  {printable(note)}", soft_wrap=True)
    console.print(f"  {folder}: {sum(one.size for one in found) / 2**20:,.1f} MiB in all", soft_wrap=True)


def verify_stores(words: list[str]) -> None:
    """Checks all entries."""
    folder, names, _ = store_words(words)
    from mmbert.store import inventory

    damaged = 0
    for one in inventory.select_array_stores(folder, names):
        if one.fault:
            damaged += 1
            print(f"  {one.name}  {printable(one.fault)}. {HOW_TO_MEND.format(one.name)}")
            continue
        entries, bad = inventory.verify_array_store(one)
        damaged += bad
        state = f"{bad:,} damaged, taken out" if bad else "all right"
        print(f"  {one.name}  {printable(one.encoder)}: {entries:,} entries, {state}")
        for note in one.notes:
            print(f"  {one.name}  {printable(note)}")
    if damaged:
        raise SystemExit(1)


def prune_stores(words: list[str]) -> None:
    """Deletes array stores, and compacts the others."""
    everything = "all" in words
    if not any(word for word in words if not word.startswith("dir=")):
        raise ConfigError("Say what to delete: names, older_than_days=30, max_gib=20, or all.")
    folder, names, limits = store_words([word for word in words if word != "all"], ("older_than_days", "max_gib"))
    if everything and (names or limits):
        raise ConfigError("'all' stands alone: with it everything goes.")
    from mmbert.store import inventory

    gone = inventory.prune_array_stores(
        inventory.select_array_stores(folder, names), limits.get("older_than_days"), limits.get("max_gib")
    )
    for one in gone:
        print(f"  {one.name}  {printable(one.encoder)}: deleted, {one.size / 2**20:,.1f} MiB")
    for one in inventory.array_stores(folder):
        if one.fault:
            print(f"  {one.name}  {printable(one.fault)}. {HOW_TO_MEND.format(one.name)}")
            continue
        freed = inventory.compact_array_store(one)
        if freed > 0:
            print(f"  {one.name}  {printable(one.encoder)}: compacted, {freed / 2**20:,.1f} MiB")


def store_words(words: list[str], numbers: tuple[str, ...] = ()) -> tuple[Path, list[str], dict[str, float]]:
    """The store's folder, names of array stores, and limits.

    Raises:
        ConfigError: a word is none of these.
    """
    from mmbert.store.use_store import StoreOptions

    given: dict[str, str] = {}
    names = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            names.append(word)
        elif key in ("dir", *numbers):
            given[key] = value
        else:
            raise ConfigError(f"'{word}' is no option here. {nearest(key, ('dir', *numbers))}")
    folder = StoreOptions(dir=given.pop("dir", None)).folder
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; mmbert-store build makes it, as does any run.")
    limits = {}
    for key, value in given.items():
        try:
            limits[key] = float(value)
        except ValueError:
            raise ConfigError(f"{key}={value}: a number is wanted here.") from None
        if not limits[key] >= 0:
            raise ConfigError(f"{key}={value}: a number of at least 0 is wanted here.")
    return folder, names, limits


if __name__ == "__main__":
    main()
