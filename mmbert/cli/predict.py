"""``mmbert-predict model=FOLDER text="…" image=a.png audio=b.wav``: what a saved model says of one sample.

Values are taken as they are typed: commas, colons and brackets in a sentence mean nothing special.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mmbert.core.errors import ConfigError, MmbertError

USAGE = """\
usage: mmbert-predict model=FOLDER [text="..."] [image=FILE] [audio=FILE] [--json] [trust_custom_code=true]

Says what a saved model answers to one sample. Any subset of its modalities will do; the names are those of
the model's encoders. FOLDER is a run's folder or the model/ in it.

  --json      print everything the model says, all probabilities too, as JSON
  --help      show this
"""


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    words = sys.argv[1:] if argv is None else argv
    if not words or "--help" in words or "-h" in words:
        print(USAGE, end="")
        return
    try:
        answer(words)
    except MmbertError as error:
        print(f"mmbert-predict: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def answer(words: list[str]) -> None:
    """Parses the words, loads the model and prints its answers."""
    as_json = "--json" in words
    given = parse([word for word in words if word != "--json"])
    folder = model_folder(given.pop("model", None))
    trust = given.pop("trust_custom_code", "false").lower() in ("true", "1", "yes")
    if not given:
        raise ConfigError('Nothing to judge. Give at least one modality: text="...", image=FILE or audio=FILE.')

    from mmbert.model import MultimodalModel  # heavy: after the words are known to be right

    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trust)
    (result,) = model.predict([given])
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        print_answers(result)


def parse(words: list[str]) -> dict[str, str]:
    """``key=value`` words -> a dictionary.

    Raises:
        ConfigError: a word has no ``=``, or a key comes twice.
    """
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(
                f"'{word}' is not of the form key=value, such as image=photo.png. See mmbert-predict --help."
            )
        if key in given:
            raise ConfigError(f"'{key}' is given twice.")
        given[key] = value
    return given


def model_folder(given: str | None) -> Path:
    """The folder of the model: the one given, or the ``model/`` of a run's folder.

    Raises:
        ConfigError: none was given, or it does not exist.
    """
    if given is None:
        raise ConfigError("Which model? Give model=FOLDER, a run's folder or the model/ in it.")
    folder = Path(given)
    if not folder.exists():
        raise ConfigError(f"model={given}: there is no such folder.")
    return folder / "model" if (folder / "model" / "config.json").is_file() else folder


def print_answers(result: dict[str, dict[str, object]]) -> None:
    """A small table: each task's answer and how sure the model is."""
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "answer", "probability")
    for task, said in result.items():
        table.add_row(task, words_of(said["prediction"]), sureness(said))
    Console(highlight=False).print(table)


def words_of(prediction: object) -> str:
    """A prediction as a person would write it."""
    if isinstance(prediction, list):
        return ", ".join(map(str, prediction)) or "none"
    return f"{prediction:.4g}" if isinstance(prediction, float) else str(prediction)


def sureness(said: dict[str, object]) -> str:
    """The probability of the answer, where the task has one: for several labels, each one's own."""
    probabilities, prediction = said.get("probabilities"), said["prediction"]
    if not isinstance(probabilities, dict):
        return ""
    if isinstance(prediction, list):
        return ", ".join(f"{probabilities[name]:.2f}" for name in prediction)
    return f"{probabilities[prediction]:.2f}"


if __name__ == "__main__":
    main()
