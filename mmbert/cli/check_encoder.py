"""``mmbert-check-encoder``: does an encoder keep the contract?

mmbert-check-encoder my_encoder
mmbert-check-encoder my_encoder.MyEncoder --set hidden=64
"""

from __future__ import annotations

import argparse
from typing import Any

from mmbert.cli.app import run_plain
from mmbert.cli.contract_check import PartKind, check_parser, class_of_kind, print_report, target_and_options


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return check_parser(
        "encoder",
        "Holds an encoder to the contract, law by law, on made-up samples of its kind, with a counter-example where "
        "one is broken.",
        "module.Class, or the name of a file such as minilm or audio/my_encoder.yaml's",
    )


def encoder_kind() -> PartKind:
    """Encoders, and the groups whose files are encoders: they go to ``encoders.NAME`` of the configuration."""
    from mmbert.cli.options.catalogue import entries, group_names

    found = (group for group in group_names() if any("# @package encoders." in entry.text for entry in entries(group)))
    return PartKind("encoder", tuple(found), base="mmbert.encoders.base.Encoder")


def main() -> None:
    """Entry point of the console script."""
    run_plain(answer, "mmbert-check-encoder")


def answer(words: list[str]) -> None:
    """Checks and prints.

    Raises:
        ConfigError: there is no such encoder, or an option is misspelt.
    """
    args = parser().parse_args(words)
    kind = encoder_kind()
    target, options = target_and_options(args.encoder, args.set, kind)

    from mmbert.testing.encoder_contract import check_encoder

    encoder: Any = class_of_kind(target, kind)
    if options.get("pretrained"):  # loaded once, and copied for each law
        encoder, options = encoder(**options), {}
    with print_report(check_encoder(encoder, raise_on_failure=False, only=args.only, **options)):
        pass


if __name__ == "__main__":
    main()
