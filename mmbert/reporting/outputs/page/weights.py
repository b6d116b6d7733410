"""What weight each group's fusion gives each modality: measured with the chosen checkpoint, and epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmbert.reporting.outputs.page import figures
from mmbert.reporting.outputs.page.html import Page, choice
from mmbert.runs.folder import RunFolder
from mmbert.runs.modality_weights import curves_over_epochs


def weights_section(made: Page, groups: Mapping[str, Sequence[Path]], split: str) -> list[str]:
    """The means of a split as bars, and those of validation after each epoch as lines, where runs have them.

    Args:
        made: the page.
        groups: the runs' folders by group.
        split: that of the bars.
    """
    diagnostics = {group: [(run, RunFolder(run).read_diagnostics()) for run in runs] for group, runs in groups.items()}
    found: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for group, runs in diagnostics.items():
        for _, one in runs:
            for name, part in (one.get(split) or {}).items():
                pairs = zip(part["modalities"], part["mean"], strict=True)
                found.setdefault(name, {}).setdefault(group, []).extend((m, v) for m, v in pairs if v is not None)
    plots = "".join(
        made.plot(figures.weights_figure(bars), f"{name} on {split}, means over runs") for name, bars in found.items()
    )
    options = []
    for group, runs in diagnostics.items():
        curves = {run.name: curves_over_epochs(one.get("val_by_epoch") or []) for run, one in runs}
        names = dict.fromkeys(name for gates in curves.values() for name in gates)
        lines = "".join(
            made.plot(
                figures.weight_curves_figure({run: gates[name] for run, gates in curves.items() if name in gates}),
                f"{group}: {name} over the epochs, means over val, a line a run and modality",
            )
            for name in names
        )
        if lines:
            options.append((group, f'<div class="plots">{lines}</div>'))
    over_time = f"<h3>Over the epochs</h3>{choice('gates', 'of', options)}" if options else ""
    return [f'<div class="plots">{plots}</div>' if plots else "", over_time]
