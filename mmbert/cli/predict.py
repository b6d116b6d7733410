"""``mmbert-predict model=FOLDER text="…" image=a.png audio=b.wav``: what a saved model says of a sample or a table.

Values are taken as they are typed: commas, colons and brackets in a sentence mean nothing special.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbert.cli.app import run_with_usage
from mmbert.cli.run_config import consent, literal_config, run_privacy
from mmbert.core.errors import ConfigError, nearest
from mmbert.runs.folder import RunFolder, is_own_model, model_in

PREDICT_USAGE = """\
usage: mmbert-predict model=FOLDER [[before.text="..."] text="..."] [image=FILE] [audio=FILE] [--json]
                      [abstain_below=0.7] [trust_custom_code=true]
       mmbert-predict model=FOLDER table=my.csv out=answers.jsonl [columns.text=COLUMN] [batch_size=32]
                      [device=auto] [num_workers=2] [on_error=skip] [trusted=false] [abstain_below=0.7]
                      [trust_custom_code=true]

Says what a saved model answers to one sample, or to every row of a table (CSV, TSV, JSONL, Parquet, Excel; labels
are not needed). Any subset of its modalities will do; the names are those of the model's encoders. FOLDER is a run's
folder, the model/ in it, or user/name on the Hugging Face hub.

  a record     of columns of a table is JSON: facts='{"age": 3, "sex": "f"}'
  before.X     of an encoder X that reads two texts together the first, such as the question: before.text="Who?"
  --json       print everything the model says, all probabilities too, as JSON
  out          .jsonl or .parquet; rows are counted from 0
  columns.X    the table's column for the encoder X (default: as in the run, or the column called X), or two:
               columns.text=[question,context]
  batch_size   rows that go through the model at once
  device       auto (a GPU if there is one), cpu, cuda, cuda:1, mps
  num_workers  processes that read the files
  on_error     skip = rows that cannot be used are left out and listed in answers.skipped.csv
  abstain_below  tasks with one class a sample leave out (null) an answer of a lower probability; 0 = none is left out
                 (default: as the model was trained)
  trusted      false = no file outside the table's folder is read, for a table that somebody else made
  --help       show this
"""

#: How the names of columns are given: columns.text=transcript.
COLUMN_PREFIX = "columns."
#: How the first of two texts that are read together is given: before.text="Who?".
BEFORE_PREFIX = "before."
#: What only a table has beside it.
TABLE_OPTIONS = ("table", "out", "batch_size", "device", "num_workers", "on_error", "trusted")


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    run_with_usage(predict_inputs, "mmbert-predict", PREDICT_USAGE, argv)


def predict_inputs(words: list[str]) -> None:
    """Parses the words, loads the model and prints its answers."""
    as_json = "--json" in words
    given = named_inputs([word for word in words if word != "--json"])
    folder = model_folder(given.pop("model", None))
    trust = consent(given) or is_own_model(folder)
    given.pop("trust_custom_code", None)
    lowest = probability(given, "abstain_below")
    if "table" in given:
        predict_table_rows(folder, given, trust, lowest)
        return
    if not given:
        raise ConfigError('Nothing to predict from. Give at least one modality: text="...", image=FILE or audio=FILE.')

    from mmbert.model import MultimodalModel  # heavy: after the words are known to be right

    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trust)
    set_threshold(model.named_tasks(), lowest)
    (result,) = model.predict([with_pairs(given)])
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        print_answers(result)


def predict_table_rows(folder: Path, given: dict[str, str], trust: bool, lowest: float | None) -> None:
    """Answers every row of a table, and says where they are; ``lowest``: probability that an answer must have.

    Raises:
        ConfigError: a word is not one for tables, or has a wrong value.
    """
    named = [key for key in given if key.startswith(COLUMN_PREFIX)]
    columns = {key.removeprefix(COLUMN_PREFIX): column_or_pair(given.pop(key)) for key in named}
    strange = next((key for key in given if key not in TABLE_OPTIONS), None)
    if strange is not None:
        raise ConfigError(f"'{strange}' does not go with table=: {nearest(strange, TABLE_OPTIONS)} See --help.")
    if "out" not in given:
        raise ConfigError("Where shall the answers go? Give out=answers.jsonl or out=answers.parquet.")
    if given.get("on_error", "raise") not in ("raise", "skip"):
        raise ConfigError(f"on_error={given['on_error']}: raise or skip is wanted here.")
    if given.get("trusted", "true") not in ("true", "false"):
        raise ConfigError(f"trusted={given['trusted']}: true or false is wanted here.")
    batch_size, workers = whole_number(given, "batch_size", 1), whole_number(given, "num_workers", 0)

    from mmbert.model import MultimodalModel
    from mmbert.training.predict import predict_table
    from mmbert.training.resources.out_of_memory import explain_out_of_memory

    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trust)
    set_threshold(model.named_tasks(), lowest)
    table, out = Path(given["table"]), Path(given["out"])
    size = 32 if batch_size is None else batch_size
    with explain_out_of_memory(
        out.parent, f"batch_size={max(1, size // 4)}, num_workers=0", "Answers so far are in the .partial file."
    ):
        done = predict_table(
            model,
            table,
            out,
            columns={**run_columns(folder, table, list(model.named_encoders())), **columns},
            batch_size=size,
            num_workers=workers,
            device=given.get("device", "auto"),
            on_error=given.get("on_error", "raise"),
            trusted=given.get("trusted", "true") == "true",
            progress=sys.stderr.isatty(),
            na_values=run_na_values(folder),
            privacy=run_privacy(folder, {}),
        )
    for note in done.notes:
        print(f"  {note}")
    if done.absent:
        print(f"  the table has no column for {', '.join(done.absent)}: answered without")
    print(f"  {done.rows} rows answered, {done.skipped} skipped: {out}")


def whole_number(given: dict[str, str], key: str, least: int) -> int | None:
    """A whole number among the words, None if it is not given.

    Raises:
        ConfigError: it is none, or too small.
    """
    value = given.get(key)
    if value is None:
        return None
    if not value.isdecimal() or int(value) < least:
        raise ConfigError(f"{key}={value}: a whole number of at least {least} is wanted here.")
    return int(value)


def probability(given: dict[str, str], key: str) -> float | None:
    """A number from 0 to 1 taken out of the words, None if it is not given.

    Raises:
        ConfigError: it is none.
    """
    value = given.pop(key, None)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # NaN is in no range
        raise ConfigError(f"{key}={value}: a number of at least 0 and at most 1 is wanted here.")
    return number


def set_threshold(tasks: Mapping[str, Any], lowest: float | None) -> None:
    """Makes every task that can abstain do so below a probability; None leaves them as they were trained.

    Raises:
        ConfigError: no task can.
    """
    if lowest is None:
        return
    able = [task for task in tasks.values() if hasattr(task, "abstain_below")]
    if not able:
        raise ConfigError(
            f"abstain_below={lowest:g}: none of the model's tasks ({', '.join(tasks)}) answers with one class a "
            "sample, so none has a probability below which it could abstain. Leave the option out."
        )
    for task in able:
        task.abstain_below = lowest


def with_pairs(given: Mapping[str, str]) -> dict[str, str | tuple[str, str]]:
    """The values by encoder, a text and the one that goes before it as two.

    Raises:
        ConfigError: something is to go before a text that is not given.
    """
    found: dict[str, str | tuple[str, str]] = dict(given)
    for key in [key for key in given if key.startswith(BEFORE_PREFIX)]:
        name = key.removeprefix(BEFORE_PREFIX)
        if name not in given:
            raise ConfigError(f'{key} is what goes before a text, which is not given: add {name}="..."')
        found[name] = given[key], given[name]
        del found[key]
    return found


def column_or_pair(value: str) -> str | list[str]:
    """``context``, or ``[question,context]`` as two columns."""
    if not (value.startswith("[") and value.endswith("]")):
        return value
    return [name.strip() for name in value[1:-1].split(",")]


def run_columns(folder: Path, table: Path, encoders: list[str]) -> dict[str, str | list[str]]:
    """The columns that the run read for its encoders, where this table has them too."""
    config = RunFolder(folder.parent).config
    if not config.is_file():
        return {}
    from omegaconf import OmegaConf

    from mmbert.data.tables.table import Table

    plain: Any = OmegaConf.to_container(literal_config(config))
    known = (plain.get("data") or {}).get("columns") or {}
    there = Table(table)
    found = {}
    for name in (name for name in encoders if known.get(name)):
        column = known[name]
        parts = [str(part) for part in column] if isinstance(column, list) else [str(column)]
        if all(map(there.has_column, parts)):
            found[name] = parts if isinstance(column, list) else parts[0]
    return found


def run_na_values(folder: Path) -> Any:
    """The words that counted as empty cells in the run."""
    config = RunFolder(folder.parent).config
    if not config.is_file():
        return []
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(literal_config(config))
    return (plain.get("data") or {}).get("na_values") or []


def named_inputs(words: list[str]) -> dict[str, str]:
    """``key=value`` words -> a dictionary.

    Raises:
        ConfigError: a word has no ``=``, or a key comes twice.
    """
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.removeprefix(COLUMN_PREFIX).removeprefix(BEFORE_PREFIX).isidentifier():
            raise ConfigError(
                f"'{word}' is not of the form key=value, such as image=photo.png. See mmbert-predict --help."
            )
        if key in given:
            raise ConfigError(f"'{key}' is given twice.")
        given[key] = value
    return given


def model_folder(given: str | None) -> Path:
    """The folder of the model: the one given, the ``model/`` of a run's folder, or a copy of one on the hub.

    Raises:
        ConfigError: none was given, it does not exist, or holds no model.
        InputError: it looks like a name on the hub, and cannot be had from there.
    """
    if given is None:
        raise ConfigError("Which model? Give model=FOLDER, a run's folder or the model/ in it.")
    if Path(given).exists():
        found = model_in(Path(given))
        if found.is_dir() and not (found / "config.json").exists():
            raise ConfigError(
                f"model={given}: there is no model in this folder (no config.json). Name a run's folder or the "
                "model/ in it; a run that has not ended has none yet: mmbert-train resume=FOLDER."
            )
        return found

    if given.count("/") != 1:
        raise ConfigError(f"model={given}: there is no such folder.")
    from mmbert.model.hub import fetch, is_hub_name  # heavy: a mistake in another word is told before

    if is_hub_name(given):
        return fetch(given)
    raise ConfigError(f"model={given}: there is no such folder.")


def print_answers(result: dict[str, dict[str, object]]) -> None:
    """A small table: each task's answer and, where a task says so, how sure the model is."""
    from rich.table import Table

    from mmbert.core.terminal import PlainConsole

    rows = []
    for task, answer in result.items():
        candidates = answer.get("candidates")
        if isinstance(candidates, list) and candidates:
            for number, shares in enumerate(candidates, 1):
                for place, (word, share) in enumerate(shares.items()):
                    name = "" if place else f"{task} {number}" if len(candidates) > 1 else task
                    rows.append((name, word, f"{share:.2f}"))
            continue
        rows.append((task, tagged_words(answer) or prediction_text(answer["prediction"]), probability_text(answer)))
    known = any(probability for *_, probability in rows)  # texts and numbers have none
    table = Table("task", "answer", *["probability"] * known)
    for row in rows:
        table.add_row(*row[: 2 + known])
    PlainConsole().print(table)


def tagged_words(answer: dict[str, object]) -> str:
    """``Ada/B-PER sings/O``: the words of an answer that is a tag for each; empty for any other answer."""
    tags, words = answer["prediction"], answer.get("words")
    if not isinstance(tags, list) or not isinstance(words, list):
        return ""
    return " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))


def prediction_text(prediction: object) -> str:
    """A prediction as a person would write it."""
    if isinstance(prediction, list):
        return ", ".join(map(str, prediction)) or "none"
    if isinstance(prediction, dict):  # numbers by name, such as the cosines of pairs of modalities
        return ", ".join(f"{name} {prediction_text(value)}" for name, value in prediction.items()) or "no answer"
    if prediction is None:
        return "no answer"
    return f"{prediction:.4g}" if isinstance(prediction, float) else str(prediction)


def probability_text(answer: dict[str, object]) -> str:
    """The probability of the answer, where the task has one: for several labels, each one's own."""
    probabilities, prediction = answer.get("probabilities"), answer["prediction"]
    if not isinstance(probabilities, dict):
        return ""
    if prediction is None:
        best = max(probabilities, key=probabilities.__getitem__)
        return f"{best} {probabilities[best]:.2f}, too low"
    if isinstance(prediction, list):
        return ", ".join(f"{probabilities[name]:.2f}" for name in prediction)
    return f"{probabilities[prediction]:.2f}"


if __name__ == "__main__":
    main()
