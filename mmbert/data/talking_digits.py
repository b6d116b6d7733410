"""talking_digits, the demo set: a handwritten number, a spoken one, and a sentence that asks to compute with both.

Real scans (scikit-learn's digits), synthetic voices (espeak-ng) and English templates; built on first use, offline, in
under a minute. It is an ordinary manifest: see ``manifest.csv`` and ``card.json`` in its folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbert.core.home import home
from mmbert.data.datamodule import MultimodalData
from mmbert.data.digits.build import build_talking_digits
from mmbert.data.digits.options import TALKING_DIGITS_VERSION, TalkingDigitsOptions
from mmbert.data.digits.pictures import PictureDifficulty
from mmbert.data.digits.speech import SoundDifficulty


class TalkingDigits(MultimodalData):
    """The demo set, built where it is missing.

    Args:
        folder: where it is kept; None = under the environment variable MMBERT_HOME, else ~/.cache/mmbert. Each set of
            options has a folder of its own in it.
        build_seed: of what is built, whatever the run's own seed.
        sizes: rows by split: train, val, test, test_missing.
        picture: how images are degraded, options of ``PictureDifficulty``.
        sound: how sounds are degraded, options of ``SoundDifficulty``.
        repeat_share: of sentences that say one of the numbers in words.
        unseen_share: of test sentences and test sounds in wordings and voices that occur in no other split.
        **loading: options of ``MultimodalData``.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        build_seed: int = 0,
        sizes: Mapping[str, int] | None = None,
        picture: Mapping[str, float] | None = None,
        sound: Mapping[str, float] | None = None,
        repeat_share: float = 0.2,
        unseen_share: float = 0.25,
        **loading: Any,
    ) -> None:
        options = TalkingDigitsOptions(
            seed=build_seed,
            repeat_share=repeat_share,
            unseen_share=unseen_share,
            picture=PictureDifficulty(**(picture or {})),
            sound=SoundDifficulty(**(sound or {})),
            **(sizes or {}),
        )
        super().__init__(build_talking_digits(home(folder) / folder_name(options), options), **loading)


def folder_name(options: TalkingDigitsOptions) -> str:
    """A folder name that changes with every option, so that sets with other options are never mixed up."""
    return f"talking_digits-v{TALKING_DIGITS_VERSION}-{options.fingerprint()}"


def main(argv: list[str] | None = None) -> None:
    """``python -m mmbert.data.talking_digits --folder DIR``: builds the set and prints the path of its manifest."""
    parser = argparse.ArgumentParser(description="Builds the demo set talking_digits.")
    parser.add_argument("--folder", type=Path, help="where to keep it (default: $MMBERT_HOME or ~/.cache/mmbert)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    options = TalkingDigitsOptions(seed=args.seed)
    print(build_talking_digits(home(args.folder) / folder_name(options), options))


if __name__ == "__main__":
    main()
