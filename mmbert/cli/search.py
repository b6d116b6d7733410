"""``mmbert-search "two dogs" --model RUN --in FOLDER``: what in a folder or a table is nearest to a text or a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmbert.cli.app import run_plain
from mmbert.core.errors import ConfigError

if TYPE_CHECKING:
    from mmbert.search.embedder import Embedder
    from mmbert.search.graph import Graph
    from mmbert.search.index import Match, VectorIndex
    from mmbert.search.items import Item

#: Unreadable items that the terminal names.
SHOWN_UNREADABLE = 5


def search_parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="mmbert-search",
        description="Searches a folder or a table by a model that was trained with task=retrieval.",
        epilog='example: mmbert-search "two dogs" --model outputs/pairs --in photos',
    )
    made.add_argument("text", nargs="?", help="what to look for, in words")
    made.add_argument("--image", metavar="FILE", help="a picture to look for")
    made.add_argument("--audio", metavar="FILE", help="a sound to look for")
    made.add_argument("--only", metavar="MODALITY", help="find items of this modality alone, such as image")
    made.add_argument("--top", type=int, default=10, metavar="N", help="how many matches (default: 10)")
    made.add_argument("--json", action="store_true", help="print the matches as JSON")
    made.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures, players and texts")
    made.add_argument(
        "--approximate",
        action="store_true",
        help="by a graph (HNSW) that is kept with the index: faster for millions of items, may miss some",
    )
    add_index_options(made)
    return made


def add_index_options(made: argparse.ArgumentParser) -> None:
    """What says which model searches where, and where the index lies."""
    made.add_argument("--model", required=True, metavar="RUN", help="a run's folder, a saved model, or user/name")
    made.add_argument("--task", metavar="NAME", help="its retrieval task, if it has several")
    made.add_argument(
        "--in", dest="place", required=True, type=Path, metavar="FOLDER", help="pictures, sounds and texts, or a table"
    )
    made.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="MODALITY=COLUMN",
        help="the table's column (default: as in the run, or the modality's name)",
    )
    made.add_argument("--index", type=Path, metavar="DIR", help="where the vectors are kept (default: mmbert's cache)")
    made.add_argument("--rebuild", action="store_true", help="encode everything anew")
    made.add_argument("--trust-custom-code", action="store_true", help="import classes that the model names")


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    run_plain(find, "mmbert-search", argv)


def find(words: list[str]) -> None:
    """Parses the words, opens the index and prints what is nearest.

    Raises:
        ConfigError: there is no query, or several, or an option is wrong.
    """
    args = search_parser().parse_args(words)
    queries = {"text": args.text, "image": args.image, "audio": args.audio}
    given = {kind: value for kind, value in queries.items() if value is not None}
    if len(given) != 1:
        raise ConfigError('One thing to look for is wanted: a text ("two dogs"), --image FILE or --audio FILE.')
    if args.top < 1:
        raise ConfigError(f"--top {args.top}: a whole number of at least 1 is wanted.")
    embedder = embedder_of(args)
    ((kind, value),) = given.items()
    if args.only is not None and args.only not in embedder.modalities:
        raise ConfigError(f"--only {args.only}: the model has {', '.join(embedder.modalities)}.")
    if kind == "text" and not value.strip():
        raise ConfigError("The text to look for is empty.")
    asked: str = embedder.first_of(kind)  # type: ignore[arg-type]
    query = embedder.vectors(asked, [value])[0]
    index = index_of(args, embedder)
    graphs = graphs_of(args, embedder, index) if args.approximate else None
    matches = index.nearest(query, args.top, args.only, graphs)
    if args.html is not None:
        write_page(args, embedder, (asked, value), index, matches)
    print(json.dumps(as_json(matches), ensure_ascii=False, indent=2)) if args.json else print_matches(matches)


def embedder_of(args: argparse.Namespace) -> Embedder:
    """The model of the command line, with its retrieval task."""
    from mmbert.cli.predict import model_folder
    from mmbert.model import MultimodalModel
    from mmbert.runs.folder import is_own_model
    from mmbert.search.embedder import Embedder

    folder = model_folder(args.model)
    model = MultimodalModel.from_pretrained(folder, args.trust_custom_code or is_own_model(folder))
    return Embedder(model, args.task)


def index_of(
    args: argparse.Namespace, embedder: Embedder, keep: Callable[[Item], bool] = lambda item: True, part: str = ""
) -> VectorIndex:
    """The index of the place of the command line; what had to be encoded, and what could not be, is told on stderr.

    Args:
        args: of the command line.
        embedder: the model.
        keep: which items; by default all.
        part: a name for these, so that they have an index of their own.
    """
    from mmbert.search.graph import has_faiss
    from mmbert.search.index import open_index
    from mmbert.search.items import items_in

    columns = chosen_columns(args, embedder)
    items = [item for item in items_in(args.place, embedder.encoders, columns) if keep(item)]
    index = open_index(index_folder(args, embedder, part), embedder, args.place, items, args.rebuild, print_remark)
    for item, reason in list(index.unreadable.items())[:SHOWN_UNREADABLE]:
        print_remark(f"left out: {item.name}: {reason}")
    if not has_faiss():
        print_remark("exact search by NumPy; pip install 'mmbert[search]' brings faiss, for large indexes")
    return index


def graphs_of(args: argparse.Namespace, embedder: Embedder, index: VectorIndex) -> dict[str, Graph]:
    """The graph of each modality that is searched; what was built, and its recall, is told on stderr."""
    from mmbert.search.graph import kept_graph

    folder, graphs = index_folder(args, embedder, ""), {}
    for name in embedder.modalities:
        places = index.of_modality(name)
        if len(places) and args.only in (None, name):
            vectors = index.vectors[places]
            graphs[name] = kept_graph(folder, name, vectors, index.vectors, args.rebuild, print_remark)
    return graphs


def write_page(
    args: argparse.Namespace, embedder: Embedder, query: tuple[str, str], index: VectorIndex, matches: list[Match]
) -> None:
    """Writes ``--html``.

    Raises:
        ConfigError: it cannot be written there.
    """
    from mmbert.core.whole_files import write_whole_text
    from mmbert.search.page import search_page

    how = "approximate (HNSW)" if args.approximate else "exact"
    facts = f"{len(matches)} of {len(index.items):,} items, {how} search, by {args.model}; scores are cosines."
    columns = chosen_columns(args, embedder)
    page = search_page(query, matches, args.place, embedder.encoders, columns, facts)
    try:
        write_whole_text(args.html, page)
    except OSError as error:
        raise ConfigError(f"--html {args.html} cannot be written: {error.strerror or error}.") from error
    print_remark(f"page: {args.html}")


def print_remark(line: str) -> None:
    """A remark, beside the answer."""
    print(f"  {line}", file=sys.stderr)


def chosen_columns(args: argparse.Namespace, embedder: Embedder) -> dict[str, str]:
    """The table's column by modality: as in the run, where the table has it, and as ``--column`` says.

    Raises:
        ConfigError: ``--column`` is not of the form MODALITY=COLUMN, or there is no table.
    """
    given = dict(word.split("=", 1) for word in args.column if "=" in word)
    if len(given) < len(args.column):
        raise ConfigError(f"--column {args.column[0]}: MODALITY=COLUMN is wanted, such as text=caption.")
    if args.place.is_dir() or not args.place.exists():
        if given:
            raise ConfigError(f"--column says what a table holds, and {args.place} is no table.")
        return {}
    from mmbert.data.tables.table import Table

    table = Table(args.place)
    known = {name: column for name, column in embedder.task.input_columns.items() if table.has_column(column)}
    return {**known, **given}


def index_folder(args: argparse.Namespace, embedder: Embedder, part: str) -> Path:
    """Where the index of this model and place lies."""
    import xxhash

    from mmbert.core.home import home

    if args.index is not None:
        return Path(args.index)
    known = f"{args.place.resolve()} {embedder.name} {embedder.fingerprint()} {part}"
    return home() / "search" / xxhash.xxh3_64_hexdigest(known.encode())


def as_json(matches: list[Match]) -> list[dict[str, object]]:
    """One object a match."""
    return [
        {"score": round(match.score, 6), "modality": match.item.modality, "name": match.item.name}
        | ({} if match.item.row is None else {"row": match.item.row})
        for match in matches
    ]


def print_matches(matches: list[Match]) -> None:
    """A line a match: its cosine and what it is."""
    for match in matches:
        row = "" if match.item.row is None else f"  (row {match.item.row + 1})"
        print(f"{match.score:6.3f}  {match.item.modality:<8} {match.item.name}{row}")


if __name__ == "__main__":
    main()
