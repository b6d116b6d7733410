"""Explained parts as one HTML file: coloured texts, overlaid pictures and spectrograms, sounds, sums as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from mmbert.reporting.outputs.page import overlays
from mmbert.reporting.outputs.page.explanation import bars_with_intervals
from mmbert.reporting.outputs.page.html import Cell, Page, asset, choice


def parts_page(
    content: Mapping[str, Any], maps: Mapping[str, np.ndarray], inputs: Mapping[str, Any], shown: int
) -> str:
    """The page of ``parts.json``.

    Args:
        content: of that file.
        maps: of ``parts.npz``; empty where samples are withheld.
        inputs: what the samples that are shown hold: ``picture/ROW/MODALITY`` uint8 (height, width, 3),
            ``frames/ROW/MODALITY`` (L, bands), ``sound/ROW/MODALITY`` (waveform (T,), rate).
        shown: number of samples that are shown one by one.
    """
    made = Page(f"What words, pixels and moments contribute: {content['model']}")
    made.add("how", "How to read this", f"<style>{asset('parts.css')}</style>", how_to_read(content))
    for number, (task, summed) in enumerate(content["summed"].items()):
        gap = content["gaps"][task]
        gaps = f"Completeness gap: mean {gap['mean']:.2g}, largest {gap['largest']:.2g}, of {gap['answers']} answers"
        above = gap["above_tolerance"]
        warning = f"; {above} above the tolerance: their parts do not sum up to what they explain" if above else ""
        made.add(
            f"summed-{number}",
            f"{task}: summed over {summed['samples']} samples",
            f'<div class="plots">{summed_plots(made, summed)}</div>',
            f'<p class="{"warn" if above else "soft"}">{escape(gaps + warning)}.</p>',
            words_tables(made, summed.get("words", {})),
            mean_pictures(content, task, maps),
        )
    if not content["samples_withheld"]:
        for sample in content["samples"][:shown]:
            made.add(f"row-{sample['row']}", f"Row {sample['row']}", sample_part(sample, maps, inputs))
    footer = (
        f"Integrated gradients, {content['steps']} to {content['most_steps']} steps; {content['explained']} samples of "
        f"{content['split']}, {min(shown, len(content['samples']))} shown. Data: {content['data']}. "
        f"Written {content['finished']}."
    )
    return made.html(footer)


def how_to_read(content: Mapping[str, Any]) -> str:
    """The legend, and what the sums say."""
    neutral = ", ".join(f"{name}: {words}" for name, words in content["baselines"].items())
    withheld = "<p>privacy.samples=false: no sample is shown.</p>" if content["samples_withheld"] else ""
    return (
        '<p class="legend"><span class="against">speaks against the answer</span><span class="scale"></span>'
        '<span class="for">speaks for it</span></p>'
        "<p>Each part has what the output changes by as all inputs go from their neutral value to what they are "
        f"({escape(neutral)}). The parts of a sample sum up to its output less that of the neutral inputs. Colours are "
        "full at the strongest part of each input; the numbers beside it say how strong that is.</p>" + withheld
    )


def summed_plots(made: Page, summed: Mapping[str, Any]) -> str:
    """Shares, sums and their sizes as bars."""
    of = summed["modalities"]
    return (
        made.plot(bars_with_intervals(of, "share", "share of Σ|sum of parts|"), "share of the modalities")
        + made.plot(bars_with_intervals(of, "contribution", "mean sum of parts"), "what they contribute")
        + made.plot(bars_with_intervals(of, "size", "mean |sum of parts|"), "how much, for or against")
    )


def words_tables(made: Page, words: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The most telling words of each text."""
    parts = []
    for name, lines in words.items():
        rows = [
            [
                Cell(line["word"]),
                Cell(f"{line['mean']:+.4f}", line["mean"]),
                Cell(f"{line['size']:.4f}", line["size"]),
                Cell(f"{line['total_size']:.3f}", line["total_size"]),
                Cell(str(line["count"]), line["count"]),
                Cell(str(line["samples"]), line["samples"]),
            ]
            for line in lines
        ]
        head = ["word", "mean", "mean size", "sum of sizes", "times", "samples"]
        parts.append(f"<h3>Most telling words of {escape(name)}</h3>{made.table(head, rows, filtered=True)}")
    return "".join(parts)


def mean_pictures(content: Mapping[str, Any], task: str, maps: Mapping[str, np.ndarray]) -> str:
    """Where in pictures contributions lie, on average over the samples."""
    found: dict[str, list[np.ndarray]] = {}
    for sample in content["samples"]:
        for answer in sample["answers"]:
            for name in answer["modalities"] if answer["task"] == task else ():
                values = maps.get(map_key(sample["row"], answer, name))
                if values is not None and values.ndim == 2 and f"{name}" in content["pictures"]:
                    found.setdefault(name, []).append(np.abs(values))
    drawn = ""
    for name, each in found.items():
        mean = np.mean(each, 0)
        picture = f'<img class="map" src="{overlays.png(overlays.coloured(mean, signed=False))}" alt="mean map">'
        drawn += (
            f"<figure><figcaption>{escape(name)}: mean size of a pixel's contribution</figcaption>{picture}</figure>"
        )
    return f'<div class="maps">{drawn}</div>' if drawn else ""


def map_key(row: int, answer: Mapping[str, Any], modality: str) -> str:
    """Of a map in ``parts.npz``."""
    return f"parts/{row}/{answer['task']}/{answer['answer'].replace('/', '∕')}/{modality}"


def sample_part(sample: Mapping[str, Any], maps: Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> str:
    """One sample: its sounds, then each explained answer, where the encoders look, and the gates of the fusion."""
    row = sample["row"]
    options = [
        (f"{answer['task']}: {answer['answer']}", answer_part(row, answer, maps, inputs))
        for answer in sample["answers"]
    ]
    sounds = "".join(
        f'<p><audio controls preload="metadata" src="{overlays.wav(*sound)}"></audio> '
        f'<span class="soft">{escape(key.split("/")[2])}</span></p>'
        for key, sound in inputs.items()
        if key.startswith(f"sound/{row}/")
    )
    return choice(f"answer-{row}", "Answer", options) + sounds + looked_at(sample, maps, inputs) + gates(sample)


def answer_part(row: int, answer: Mapping[str, Any], maps: Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> str:
    """What one number of an answer rests on."""
    warning = ' <strong class="warn">above the tolerance</strong>' if answer["above_tolerance"] else ""
    facts = (
        f"<p><strong>{escape(answer['task'])}: {escape(answer['answer'])}</strong> "
        f"output {answer['output']:.4f}, of neutral inputs {answer['baseline']:.4f}; gap {answer['gap']:.1e} "
        f"after {answer['steps']} steps{warning}</p>"
    )
    pieces = [facts, modality_bars(answer["modalities"])]
    pieces += [coloured_text(name, words) for name, words in answer["words"].items()]
    pictures = ""
    for name in answer["modalities"]:
        values = maps.get(map_key(row, answer, name))
        if values is not None and name not in answer["words"]:
            pictures += overlaid(name, values, base_of(row, name, inputs), inputs.get(f"picture/{row}/{name}"))
    return "".join([*pieces, f'<div class="maps">{pictures}</div>' if pictures else ""])


def modality_bars(values: Mapping[str, float]) -> str:
    """A bar a modality, to the right what speaks for the answer, to the left what speaks against it."""
    full = max((abs(value) for value in values.values()), default=0.0) or 1.0
    lines = ""
    for name, value in values.items():
        side = "for" if value >= 0 else "against"
        bar = f'<span class="bar {side}" style="width:{50 * abs(value) / full:.1f}%"></span>'
        lines += f"<dt>{escape(name)}</dt><dd><span class=track>{bar}</span><span class=number>{value:+.4f}</span></dd>"
    return f'<dl class="sums">{lines}</dl>'


def coloured_text(name: str, words: Sequence[Sequence[Any]], signed: bool = True) -> str:
    """A text whose words have colours; the value of each shows under the pointer."""
    full = max((abs(word[2]) for word in words), default=0.0)
    pieces = ""
    for before, text, value in words:
        colour = (overlays.FOR if value >= 0 else overlays.AGAINST) if signed else overlays.LOOKED
        alpha = 0.75 * abs(value) / full if full else 0.0
        style = f"background:rgba({colour[0]},{colour[1]},{colour[2]},{alpha:.2f})"
        title = f"{value:+.4f}" if signed else f"{value:.4f}"
        pieces += f'{escape(before)}<span class="w" style="{style}" title="{title}">{escape(text)}</span>'
    head = f'<span class="soft">{escape(name)} · strongest {full:.4f}</span>'
    return f'<div class="text">{head}<p lang="und">{pieces}</p></div>' if words else ""


def base_of(row: int, name: str, inputs: Mapping[str, Any]) -> np.ndarray | None:
    """What lies under a map: a picture in grey, a spectrogram, how loud a waveform is."""
    if (picture := inputs.get(f"picture/{row}/{name}")) is not None:
        return overlays.grey_picture(picture)
    if (frames := inputs.get(f"frames/{row}/{name}")) is not None:
        return overlays.grey(overlays.spectrogram(frames))
    if (sound := inputs.get(f"sound/{row}/{name}")) is not None:
        return overlays.envelope(sound[0])
    return None


def overlaid(name: str, values: np.ndarray, base: np.ndarray | None, picture: np.ndarray | None) -> str:
    """A map over what it is of."""
    kind = "picture" if picture is not None else "sound"
    drawn = overlays.spectrogram(values) if values.ndim == 2 and kind == "sound" else values
    if drawn.ndim == 1:
        sums = overlays.summed_neighbours(drawn)
        drawn = np.broadcast_to(sums, (1 if base is None else len(base), len(sums)))
    full = overlays.strongest(drawn)
    top = f'<img class="top" src="{overlays.png(overlays.coloured(drawn))}" alt="contributions of {escape(name)}">'
    under = "" if base is None else f'<img class="base" src="{overlays.png(base)}" alt="">'
    own = "" if picture is None else f'<img class="own" src="{overlays.png(picture)}" alt="{escape(name)}">'
    caption = f"{escape(name)} · full colour at {full:.2g}"
    if kind == "sound":
        caption += " · time from left to right" + (", high tones on top" if values.ndim == 2 else "")
    return (
        f'<figure class="{kind}"><figcaption>{caption}</figcaption>{own}<div class="over">{under}{top}</div></figure>'
    )


def looked_at(sample: Mapping[str, Any], maps: Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> str:
    """Attention rollout of texts and pictures."""
    pieces = "".join(
        coloured_text(f"attention rollout of {name}", found["words"], signed=False)
        for name, found in sample.get("rollout", {}).items()
    )
    for key, values in maps.items():
        if key.startswith(f"rollout_grid/{sample['row']}/"):
            name = key.split("/")[2]
            base = base_of(sample["row"], name, inputs)
            top = overlays.png(overlays.coloured(values, signed=False))
            under = "" if base is None else f'<img class="base" src="{overlays.png(base)}" alt="">'
            pieces += (
                f'<div class="maps"><figure class="picture"><figcaption>attention rollout of {escape(name)}'
                f'</figcaption><div class="over">{under}<img class="top" src="{top}" alt=""></div></figure></div>'
            )
    return f"<details><summary>Where the encoders look</summary>{pieces}</details>" if pieces else ""


def gates(sample: Mapping[str, Any]) -> str:
    """Gates and weights of the fusion."""
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{', '.join(f'{escape(m)} {value:.3f}' for m, value in shares.items())}</dd>"
        for name, shares in sample["shares"].items()
    )
    return (
        f'<details><summary>Gates and weights of the fusion</summary><dl class="gates">{lines}</dl></details>'
        if lines
        else ""
    )
