"""``mmbert-export model=FOLDER``: a saved model as ONNX or torch.export files that other programs run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.cli.evaluate import compose_configs, separate_options
from mmbert.cli.out_folder import out_folder
from mmbert.cli.predict import model_folder
from mmbert.cli.run_config import consent
from mmbert.cli.saved_model import bound_data, folder_of_run, number_up_to, one_split
from mmbert.core.errors import ConfigError, nearest
from mmbert.runs.folder import is_own_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mmbert.core.types import Inputs
    from mmbert.deploy.export import Exported
    from mmbert.model import MultimodalModel

EXPORT_USAGE = """\
usage: mmbert-export model=FOLDER [format=onnx] [parts=whole] [out=FOLDER] [check=data] [split=test] [samples=16]
                     [data=...] [data.OPTION=...]

Writes a saved model as files that run without this package: ONNX (onnxruntime), torch.export, or both, with dynamic
batch and lengths, any subset of the modalities by masks, and the preprocessing described beside them. The files are
run beside the model for every subset of the modalities, and kept only if they give the same within 1e-4. FOLDER is a
run's folder, the model/ in it, or user/name on the Hugging Face hub.

  mmbert-export model=outputs/DATE/TIME
  mmbert-export model=outputs/DATE/TIME format=both parts=separate out=shipped
  mmbert-export model=user/name check=made out=shipped

  format      onnx, torch, both (default: onnx)
  parts       whole = one file; separate = each encoder a file, fusion and tasks another (default: whole)
  out         folder of the files, replaced if it is there (default: exported/ in the run's folder)
  check       data = with samples of the run's data; made = with random words and noise (default: data)
  split       whose samples (default: the first test split)
  samples     how many (default: 16)
  data        as for mmbert-train; without data=, the run's own, changed by data.OPTION=VALUE

  trust_custom_code=true   let classes outside the package be imported, and use the run's own data as it says; a run
              that you began yourself needs no such word

pip install mmbert[export] brings what format=onnx needs.
"""

EXPORT_OPTIONS = ("model", "format", "parts", "out", "check", "split", "samples", "trust_custom_code")
CHOICES = {"format": ("onnx", "torch", "both"), "parts": ("whole", "separate"), "check": ("data", "made")}


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(export_saved_model, "mmbert-export", EXPORT_USAGE)


def export_saved_model(words: list[str]) -> None:
    """Parses the words, exports, and prints how far every subset is from the model.

    Raises:
        MmbertError: an option, the model or the data is at fault, or the model cannot be exported.
    """
    own, others = separate_options(words, "mmbert-export", EXPORT_OPTIONS, ("data",))
    folder = model_folder(own.get("model"))
    chosen = {key: one_choice(own, key) for key in CHOICES}
    trusted = consent(own)
    count = number_up_to(own, "samples", 16, 10_000)
    if count < 2:
        raise ConfigError(f"samples={count}: two at least, so that a batch is traced.")
    made = chosen["check"] == "made"
    if made and (others or "split" in own):
        raise ConfigError("check=made reads no data: leave out data and split, or choose check=data.")
    place = target_folder(own, folder)
    cfg = None if made else compose_configs(others, folder, trusted)
    split = None if cfg is None else one_split(own.get("split"), cfg.data)

    from mmbert.deploy.export import export_model  # heavy: after the words are known to be right
    from mmbert.deploy.onnx_files import require_onnx
    from mmbert.model import MultimodalModel
    from mmbert.training.callbacks.console import print_line, quiet

    quiet()
    formats = ("onnx", "torch") if chosen["format"] == "both" else (chosen["format"],)
    if "onnx" in formats:
        require_onnx()
    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted or is_own_model(folder))
    batches = made_batches(model, count) if cfg is None else data_batches(model, cfg, str(split), count)
    facts = {"model": str(folder), "checked_with": split or "made samples", "samples": count}
    done = export_model(model, place, batches, formats, chosen["parts"], facts, print_line)  # type: ignore[arg-type]
    print_exported(done)


def one_choice(own: Mapping[str, str], key: str) -> str:
    """The value of a word with few choices; the first is the default.

    Raises:
        ConfigError: it is none of them.
    """
    given = own.get(key, CHOICES[key][0])
    if given not in CHOICES[key]:
        raise ConfigError(f"{key}={given} is unknown. {nearest(given, CHOICES[key])}")
    return given


def target_folder(own: Mapping[str, str], folder: Path) -> Path:
    """Where the files go.

    Raises:
        ConfigError: it cannot be written to, or holds something that no export wrote.
    """
    place = out_folder(own) or folder_of_run(folder, other_data=False).path / "exported"
    if place.exists() and any(place.iterdir()) and not (place / "export.json").is_file():
        raise ConfigError(f"out={place} holds something else than an export, which would be replaced: name another.")
    return place


def made_batches(model: MultimodalModel, count: int) -> list[dict[str, Inputs]]:
    """Two batches of made samples."""
    from mmbert.deploy.trial_inputs import made_inputs

    processors = {name: encoder.processor for name, encoder in model.named_encoders().items()}
    return [made_inputs(processors, max(2, count // 2), seed) for seed in (0, 1)]


def data_batches(model: MultimodalModel, cfg: Any, split: str, count: int) -> list[dict[str, Inputs]]:
    """Samples of a split in two batches, of which the first is traced.

    Raises:
        MmbertError: the data cannot be read, or lack a modality.
    """
    from mmbert.deploy.trial_inputs import traceable_rows

    cfg.store.enabled = False  # the graph begins where the encoders do
    cfg.data.num_workers = 0
    data = bound_data(model, cfg, split)
    batches = []
    for batch in data.loader(split):
        batches.append(batch)
        if sum(int((one.rows >= 0).sum()) for one in batches) >= count:
            break
    return traceable_rows(batches, model, count)


def print_exported(done: Exported) -> None:
    """The differences by subset, the files with their sizes, and what is not in them."""
    from rich.table import Table

    from mmbert.core.terminal import PlainConsole
    from mmbert.training.callbacks.console import shortest

    console = PlainConsole()
    table = Table(title="largest difference from the model", title_justify="left")
    table.add_column("modalities")
    for form in done.differences:
        table.add_column(form, justify="right")
    for subset in next(iter(done.differences.values())):
        table.add_row(" + ".join(subset), *(f"{by[subset].scaled:.1e}" for by in done.differences.values()))
    console.print(table)
    for name, size in done.sizes.items():
        console.print(f"  {size / 2**20:>8.1f} MiB  {shortest(done.folder / name)}", soft_wrap=True)
    for name, why in done.left_out.items():
        console.print(f"  left out     the task '{name}': it {why}", soft_wrap=True)
    console.print(f"  how to use   {shortest(done.folder / 'README.md')}", soft_wrap=True)


if __name__ == "__main__":
    main()
