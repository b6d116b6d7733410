"""``mmbert-zero-shot --model RUN --in FOLDER --classes cat,dog``: pictures or sounds classified by prompts alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_plain
from mmbert.cli.search import add_index_options, embedder_of, index_of
from mmbert.core.errors import ConfigError

if TYPE_CHECKING:
    from mmbert.search.index import VectorIndex


def zero_shot_parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="mmbert-zero-shot",
        description="Classifies pictures, sounds or texts by the class whose name, put into prompts, is nearest.",
        epilog="example: mmbert-zero-shot --model outputs/pairs --in my.csv --label topic --prompt 'a picture of {}'",
    )
    made.add_argument("--classes", metavar="A,B,...", help="names of the classes (default: those of --label)")
    made.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="with {} in the place of the class; several are averaged (default: 'a picture of {}.' and '{}')",
    )
    made.add_argument("--only", metavar="MODALITY", help="what is classified (default: the first that is no text)")
    made.add_argument("--label", metavar="COLUMN", help="of a table: the right classes; accuracy is printed")
    made.add_argument("--split", metavar="NAME", help="of a table: rows with this word in its column split alone")
    made.add_argument("--json", action="store_true", help="print the answers as JSON")
    add_index_options(made)
    return made


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    run_plain(classify, "mmbert-zero-shot", argv)


def classify(words: list[str]) -> None:
    """Parses the words, embeds the classes and prints the nearest of each item.

    Raises:
        ConfigError: an option is wrong.
    """
    args = zero_shot_parser().parse_args(words)
    if args.classes is None and args.label is None:
        raise ConfigError("Which classes? Give --classes cat,dog, or --label with a table's column.")
    if (args.label or args.split) and not args.place.is_file():
        raise ConfigError(f"--label and --split name what a table holds, and {args.place} is no table.")
    embedder = embedder_of(args)
    modality = args.only or next((name for name in embedder.modalities if name != "text"), "text")
    if modality not in embedder.modalities:
        raise ConfigError(f"--only {modality}: the model has {', '.join(embedder.modalities)}.")

    from mmbert.search.zero_shot import class_probabilities, class_vectors

    labels = labels_of(args)
    listed = sorted({label for label in labels.values() if label}) if args.classes is None else args.classes.split(",")
    classes = [name.strip() for name in listed]
    vectors = class_vectors(embedder, classes, args.prompt or ["a picture of {}.", "{}"])
    rows = frozenset(labels)
    index = index_of(
        args,
        embedder,
        lambda item: item.modality == modality and (item.row is None or item.row in rows),
        f"{modality} {args.split}",
    )
    scale = float(embedder.task.scale().detach())
    answers = zero_shot_answers(index, class_probabilities(index.vectors, vectors, scale), classes)
    if args.json:
        print(json.dumps(answers, ensure_ascii=False, indent=2))
    else:
        for answer in answers:
            print(f"{answer['probability']:6.3f}  {answer['prediction']:<16} {answer['name']}")
    if args.label is not None:
        print_accuracy(answers, labels, classes, args.json)


def labels_of(args: argparse.Namespace) -> dict[int, str | None]:
    """The cell of ``--label`` by row, of the rows of ``--split``; empty without a table.

    Raises:
        DataError: there is no such column.
    """
    if not args.place.is_file():
        return {}
    from mmbert.data.tables.cells import cell_text
    from mmbert.data.tables.table import Table

    table = Table(args.place)
    rows: list[int] = list(range(len(table)))
    if args.split is not None:
        table.require("split", "--split needs it.")
        cells = table.column("split")
        rows = [row for row in rows if cells[row] == args.split]
        if not rows:
            raise ConfigError(f"--split {args.split}: no row of {args.place} is in it.")
    if args.label is None:
        return dict.fromkeys(rows)
    table.require(args.label, "Name another column with --label.")
    return {row: None if (cell := table.cell(row, args.label)) is None else cell_text(cell) for row in rows}


def zero_shot_answers(index: VectorIndex, probabilities: Any, classes: Sequence[str]) -> list[dict[str, Any]]:
    """One answer an item."""
    answers = []
    for item, shares in zip(index.items, probabilities, strict=True):
        best = int(shares.argmax())
        answer = {"name": item.name, "prediction": classes[best], "probability": round(float(shares[best]), 6)}
        answers.append(answer | ({} if item.row is None else {"row": item.row}))
    return answers


def print_accuracy(
    answers: Sequence[dict[str, Any]], labels: dict[int, str | None], classes: Sequence[str], on_stderr: bool
) -> None:
    """Accuracy and balanced accuracy of the answers whose row has a label, and what the most frequent class gives."""
    pairs = [(labels[answer["row"]], answer["prediction"]) for answer in answers if labels.get(answer["row"])]
    if not pairs:
        raise ConfigError("No item that was classified has a label.")
    truth = [label for label, _ in pairs]
    hits = [label == prediction for label, prediction in pairs]
    recalls = [
        sum(hit for hit, label in zip(hits, truth, strict=True) if label == name) / truth.count(name)
        for name in sorted(set(truth), key=str)
    ]
    unknown = sum(label not in classes for label in truth)
    stream = sys.stderr if on_stderr else sys.stdout
    print(
        f"accuracy {sum(hits) / len(hits):.3f}, balanced {sum(recalls) / len(recalls):.3f} of {len(pairs)} items; "
        f"the most frequent class alone gives {max(map(truth.count, set(truth))) / len(truth):.3f}"
        + (f"; {unknown} have a label that is none of the classes" if unknown else ""),
        file=stream,
    )


if __name__ == "__main__":
    main()
