"""``mmbert-explain model=FOLDER parts=true``: which words, pixels and moments of samples an answer rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.evaluate import compose_configs, names_in
from mmbert.cli.out_folder import out_folder
from mmbert.cli.run_config import consent
from mmbert.cli.saved_model import folder_of_run, number_up_to, one_split
from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder, is_own_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from mmbert.data.datamodule import MultimodalData

PARTS_OPTIONS = ("rows", "samples", "shown", "steps", "most_steps", "tolerance", "class")
#: Samples that go through the model together, each at many points of its way.
SAMPLES_AT_ONCE = 16


def explain_parts_of(own: Mapping[str, str], others: list[str], folder: Path) -> None:
    """Explains parts of some samples, writes the files and prints a summary.

    Args:
        own: the command's own words.
        others: those for Hydra.
        folder: of the saved model.

    Raises:
        MmbertError: an option, the model or the data is at fault.
    """
    trusted = consent(own)
    bootstraps, seed = number_up_to(own, "bootstraps", 1000, 100_000), number_up_to(own, "seed", 0, 2**32 - 1)
    count, shown = number_up_to(own, "samples", 24, 10**9), number_up_to(own, "shown", 12, 10_000)
    steps, most_steps = number_up_to(own, "steps", 64, 100_000), number_up_to(own, "most_steps", 1024, 100_000)
    tolerance, rows = share_in(own, "tolerance", 0.01), rows_in(own.get("rows"))
    if "rows" in own and "samples" in own:
        raise ConfigError("rows= names the samples, and samples= draws as many at random: leave out one of them.")
    if steps < 2 or most_steps < steps:
        raise ConfigError(
            f"steps={steps} most_steps={most_steps}: at least 2 steps, and most_steps no fewer than steps."
        )
    out = out_folder(own)
    cfg = compose_configs(others, folder, trusted)
    split = one_split(own.get("split"), cfg.data)
    other_data = any(word.lstrip("+~").startswith("data") for word in others)
    run = folder_of_run(folder, other_data) if out is None else RunFolder(out)

    from mmbert.analysis.parts.answers import explained_tasks  # heavy: after the words are known to be right
    from mmbert.analysis.parts.explain import PathOptions, explain_parts
    from mmbert.analysis.parts.files import part_arrays, write_parts
    from mmbert.analysis.parts.integrated_gradients import require_captum
    from mmbert.core.whole_files import write_whole_text
    from mmbert.model import MultimodalModel
    from mmbert.reporting.outputs.page.parts import parts_page
    from mmbert.runs.start import run_lock
    from mmbert.training.callbacks.console import print_line, quiet
    from mmbert.training.predict import chosen_device
    from mmbert.training.resources.out_of_memory import explain_out_of_memory
    from mmbert.training.use_store import progress_bar

    quiet()
    require_captum()
    device = chosen_device(own.get("device", "auto"))
    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted or is_own_model(folder))
    answers = explained_tasks(model, names_in(own.get("task", "")), names_in(own.get("class", "")))
    privacy = privacy_of(folder)
    with explain_out_of_memory(run.path, "samples=8", places={run.path: "name another folder, out=FOLDER"}):
        data = data_from_files(model, cfg, split)
        places = chosen_places(data, split, rows, count, seed)
        with run_lock(run, "wait until it has ended, or name another folder: out=FOLDER"):
            batches = batches_of(data, split, places)
            options = PathOptions(steps, most_steps, tolerance)
            print_line(f"explain   {len(places):,} samples, {steps} to {most_steps} steps of the integral each")
            with progress_bar("parts", -(-len(places) // SAMPLES_AT_ONCE) * len(answers)) as bar:
                found = explain_parts(model.to(device), batches, answers, device, options, lambda task: bar(1))
            facts = {
                "model": str(folder),
                "data": str(data.path),
                "split": split,
                "explained": len(found),
                "steps": steps,
                "most_steps": most_steps,
                "tolerance": tolerance,
                "seed": seed,
                "baselines": neutral_values(model, data, split, places),
                "pictures": [
                    name for name, encoder in model.named_encoders().items() if encoder.processor.kind == "image"
                ],
                "samples_withheld": not privacy.samples,
            }
            content = write_parts(found, facts, run, privacy, bootstraps)
            inputs = shown_inputs(model, found[:shown]) if privacy.samples else {}
            maps = part_arrays(found) | rollout_grids(model, found[:shown]) if privacy.samples else {}
            write_whole_text(run.parts_page, parts_page(content, maps, inputs, shown))
    print_parts(content, run)


def privacy_of(folder: Path) -> Any:
    """The settings of the run that the model comes from; everything may be written of a model of no run."""
    from mmbert.cli.evaluate import run_of
    from mmbert.core.privacy import Privacy
    from mmbert.runs.own_privacy import read_privacy

    try:
        return read_privacy(run_of(folder))
    except ConfigError as error:
        if "privacy" in str(error):
            raise
        return Privacy()


def data_from_files(model: Any, cfg: Any, split: str) -> MultimodalData:
    """The split connected to the model, read from its files: what is stored has passed the encoders already."""
    from mmbert.training.callbacks.console import print_notes
    from mmbert.training.instantiate import make
    from mmbert.training.task_configs import class_column_of

    tasks, encoders = model.named_tasks(), model.named_encoders()
    data: MultimodalData = make(cfg.data, seed=0, label=class_column_of(tasks), augment=None, drop=[], only=[split])
    print_notes(data.notes)
    columns = {name: data.column_of(name) for name in encoders if data.has_column(data.column_of(name))}
    for task in tasks.values():
        task.set_input_columns(columns)
    processors = {name: encoder.processor for name, encoder in encoders.items()}
    texts = [name for name, processor in processors.items() if processor.kind == "text"]
    data.bind(processors, {}, texts)
    return data


def chosen_places(data: MultimodalData, split: str, rows: Sequence[int], count: int, seed: int) -> np.ndarray:
    """(N,) places in the split of the samples that are explained: the rows that are named, or some drawn at random.

    Raises:
        ConfigError: a row is not in the split.
    """
    import numpy as np

    known = data.dataset(split).rows
    if len(rows):
        place_of = {int(row): place for place, row in enumerate(known)}
        for row in rows:
            if row not in place_of:
                raise ConfigError(
                    f"rows={row}: the split '{split}' has no such row of the table (the first row is 0). "
                    f"It has {len(known):,}, such as {', '.join(map(str, known[:3].tolist()))}. With split=all any row."
                )
        return np.array([place_of[row] for row in rows])
    if not count or count >= len(known):
        return np.arange(len(known))
    return np.sort(np.random.default_rng(seed).choice(len(known), count, replace=False))


def batches_of(data: MultimodalData, split: str, places: Any) -> Any:
    """Batches of the samples at these places, one after the other."""
    loader = data.plain_loader(split)
    for first in range(0, len(places), SAMPLES_AT_ONCE):
        samples = [loader.dataset[int(place)] for place in places[first : first + SAMPLES_AT_ONCE]]
        yield loader.collate_fn(samples)


def neutral_values(model: Any, data: MultimodalData, split: str, places: Any) -> dict[str, str]:
    """What stands for nothing, in words, by modality."""
    batch = next(iter(batches_of(data, split, places[:1])))
    return {
        name: encoder.continuous(
            {key: t.to(next(model.parameters()).device) for key, t in batch.inputs[name].items()}
        ).neutral
        for name, encoder in model.named_encoders().items()
    }


def shown_inputs(model: Any, found: Sequence[Any]) -> dict[str, Any]:
    """What the page shows: ``picture/ROW/MODALITY`` uint8 (height, width, 3), ``frames/…`` (L, bands), ``sound/…``.

    A sound is ``(waveform, rate)``.
    """
    import numpy as np

    shown: dict[str, Any] = {}
    for sample in found:
        for name, numbers in sample.numbers.items():
            processor = model.named_encoders()[name].processor
            if numbers.ndim == 3:
                colours = numbers * processor.std.numpy() + processor.mean.numpy()
                pixels = (255 * colours.clip(0, 1)).round().astype(np.uint8)
                shown[f"picture/{sample.row}/{name}"] = pixels.transpose(1, 2, 0)
            elif numbers.ndim == 2:
                shown[f"frames/{sample.row}/{name}"] = numbers
        for name, sound in sample.sounds.items():
            shown[f"sound/{sample.row}/{name}"] = (sound, model.named_encoders()[name].processor.sample_rate_hz)
    return shown


def rollout_grids(model: Any, found: Sequence[Any]) -> dict[str, np.ndarray]:
    """Attention rollout of pictures, ``rollout_grid/ROW/MODALITY`` (rows, columns) of their patches."""
    grids = {}
    for sample in found:
        for name, values in sample.rollout.items():
            encoder = model.named_encoders()[name]
            if encoder.processor.kind == "image":
                before, rows, columns = encoder.token_positions()
                grids[f"rollout_grid/{sample.row}/{name}"] = values[before:].reshape(rows, columns)
    return grids


def rows_in(given: str | None) -> list[int]:
    """``3,17`` -> rows of the table, from 0.

    Raises:
        ConfigError: one is no whole number.
    """
    words = names_in(given or "")
    for word in words:
        if not (word.isascii() and word.isdigit()):
            raise ConfigError(f"rows={given}: rows of the table are wanted, the first being 0, with commas: rows=3,17.")
    return list(dict.fromkeys(map(int, words)))


def share_in(own: Mapping[str, str], key: str, otherwise: float) -> float:
    """A word's number above 0 and up to 1.

    Raises:
        ConfigError: it is none.
    """
    given = own.get(key, str(otherwise))
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ConfigError(f"{key}={given}: a number above 0 and up to 1 is wanted.")
    return value


def print_parts(content: Mapping[str, Any], run: RunFolder) -> None:
    """For each task a table of the modalities, the completeness gap, and where everything was written."""
    from rich.table import Table

    from mmbert.cli.explain_numbers import magnitude, number, percent
    from mmbert.core.terminal import PlainConsole
    from mmbert.training.callbacks.console import shortest

    console = PlainConsole()
    for name, task in content["summed"].items():
        title = f"{name}: integrated gradients of parts; {task['samples']} samples of {content['split']}"
        table = Table(title=title, title_justify="left")
        for column in ("", "share of Σ|sums|", "mean sum of parts", "mean |sum|"):
            table.add_column(column, justify="left" if not column else "right")
        for modality, one in task["modalities"].items():
            table.add_row(modality, percent(one["share"]), number(one["contribution"]), magnitude(one["size"]))
        console.print(table)
        gap = content["gaps"][name]
        console.print(
            f"  completeness gap  mean {gap['mean']:.2g}, largest {gap['largest']:.2g} of {gap['answers']} answers; "
            f"up to {gap['most_steps_taken']} steps",
            soft_wrap=True,
        )
        if gap["above_tolerance"]:
            console.print(
                f"  warning: {gap['above_tolerance']} answers have a gap above the tolerance {content['tolerance']:g}: "
                f"their parts do not sum up to what they explain. most_steps={2 * content['most_steps']} takes more.",
                soft_wrap=True,
            )
    if content["samples_withheld"]:
        console.print("  privacy.samples=false: no words, maps, pictures or sounds are written")
    places = {"parts": run.parts, "answers": run.parts_table, "maps": run.parts_arrays, "page": run.parts_page}
    for what, path in places.items():
        if path.exists():
            console.print(f"  {what:<8} {shortest(path)}", soft_wrap=True)
