"""``mmbert-pack data=… out=FOLDER``: a table and the files that it names, as shards."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mmbert.cli.app import run_with_usage
from mmbert.core.errors import ConfigError

if TYPE_CHECKING:
    from mmbert.data.streaming.packing import Packed

PACK_USAGE = """\
usage: mmbert-pack data=... out=FOLDER [shard_mib=256] [shuffle=true] [any option of mmbert-train]

Writes WebDataset shards (tar files) of a table and its splits: pictures, sounds and files of features as they are, all
other cells in one KEY.json a sample, and beside the shards index.parquet and description.json, by which
data=webdataset reads them. Columns of files are those that the encoders read.

  mmbert-pack data=manifest data.path=my.csv out=shards
  mmbert-pack data=manifest data.path=my.csv data.split.val=0.1 audio=none out=shards shard_mib=512
  mmbert-train data=webdataset data.path=shards

  out         a new folder, or an empty one; it becomes whole or is not there
  shard_mib   a shard is closed before it becomes larger (default: 256)
  shuffle     mix the rows of train once, with the run's seed; false keeps their order (default: true)

A row that cannot be used stops it; with data.on_error=skip it is left out and told.
"""

#: Rows that are named when some were left out.
NAMED_ROWS = 5


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(pack_table, "mmbert-pack", PACK_USAGE)


def pack_table(words: list[str]) -> None:
    """Parses the words, packs, and says what was written.

    Raises:
        MmbertError: an option is wrong, or the table cannot be used.
    """
    own, others = separate_words(words)
    folder, most_bytes, shuffle = own_options(own)

    from mmbert.cli.check_data import compose_train_config

    cfg = compose_train_config(others)
    parts = {str(name): part for name, part in cfg.encoders.items() if part}
    if not parts:
        raise ConfigError("Every encoder is 'none', so nothing says which columns hold files.")

    from mmbert.core.init_args import find_class
    from mmbert.data.modalities.registry import modality_of
    from mmbert.data.streaming.packing import pack_shards
    from mmbert.training.instantiate import make
    from mmbert.training.task_configs import class_column

    data = make(cfg.data, seed=cfg.seed, label=class_column(cfg), augment=None)
    data.leave_out_incomplete(parts)
    inputs = {name: modality_of(find_class(part._target_)) for name, part in parts.items()}
    print_packed(pack_shards(data, inputs, folder, most_bytes, shuffle, show_packing), folder)


def separate_words(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The command's own options, and the other words.

    Raises:
        ConfigError: a word is a flag.
    """
    own: dict[str, str] = {}
    others = []
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            raise ConfigError(f"'{word}' is no flag of mmbert-pack: it has --help alone.")
        if equals and key in ("out", "shard_mib", "shuffle"):
            own[key] = value
        else:
            others.append(word)
    return own, others


def own_options(own: dict[str, str]) -> tuple[Path, int, bool]:
    """The folder, the most bytes of a shard, and whether train is shuffled.

    Raises:
        ConfigError: a value is wrong.
    """
    if not own.get("out"):
        raise ConfigError("mmbert-pack needs a folder to write to: out=shards")
    if "://" in own["out"]:
        raise ConfigError(
            f"out={own['out']}: pack into a folder, then copy it with the store's own tool (aws s3 sync)."
        )
    try:
        mib = float(own.get("shard_mib", "256"))
    except ValueError:
        mib = 0.0
    if not 0 < mib < 2**20:
        raise ConfigError(f"shard_mib={own['shard_mib']}: a number above 0 is wanted, such as 256.")
    word = own.get("shuffle", "true").lower()
    if word not in ("true", "false"):
        raise ConfigError(f"shuffle={own['shuffle']}: true or false is wanted.")
    return Path(own["out"]), int(mib * 2**20), word == "true"


def show_packing(rows: Iterable[int], count: int) -> Iterable[int]:
    """The rows, with a moving bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty()
    return track(rows, "packing", count, console=Console(stderr=True), disable=quiet, transient=True)


def print_packed(packed: Packed, folder: Path) -> None:
    """What was written, and what was not."""
    splits = list(dict.fromkeys(shard.split for shard in packed.description.shards))
    for split in splits:
        shards = [shard for shard in packed.description.shards if shard.split == split]
        samples, size = sum(shard.samples for shard in shards), sum(shard.bytes for shard in shards)
        word = "shard" if len(shards) == 1 else "shards"
        print(f"  {split:<12} {samples:>9,} samples  {len(shards):>5,} {word}  {size / 2**20:>10,.1f} MiB")
    if packed.left:
        print(f"  rows in no split, not packed: {packed.left:,}")
    if packed.skipped:
        print(f"  left out, data.on_error=skip: {len(packed.skipped):,} rows")
        for row, why in list(packed.skipped.items())[:NAMED_ROWS]:
            print(f"    row {row + 1}: {why}")
    print(f"  {folder}")
    print(f"  mmbert-train data=webdataset data.path={folder}")


if __name__ == "__main__":
    main()
