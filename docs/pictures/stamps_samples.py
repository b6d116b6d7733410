"""Draws docs/pictures/stamps_samples.png: what is measured of six samples of data=stamps, and nothing that is theirs.

    python docs/pictures/stamps_samples.py docs/pictures/stamps_samples.png

Pictures, captions and recordings are under the GPL, so none of them is shown: of a picture the shares of its hues, of a
spoken caption the log-mel spectrogram. ``mmbert-check-data data=stamps --html stamps.html`` shows the samples.
"""

import sys

import matplotlib
import numpy as np
import torch
import torchaudio
from matplotlib import pyplot as plt
from PIL import Image

from mmbert.data.modalities.audio import AudioModality
from mmbert.data.sets.stamps import Stamps

TOPICS = ("animals", "food", "household", "seasonal", "town", "vehicles")
RATE_HZ, HUES = 16000, 24


def main(out: str) -> None:
    """Draws a column for the first test sample of each topic that has French speech."""
    data = Stamps()
    everything = np.arange(len(data.table))
    cells = {name: data.table.column(name, everything) for name in ("split", "topic", "kind", "image", "speech_fr")}
    matplotlib.rcParams["svg.hashsalt"] = "stamps"
    figure, axes = plt.subplots(2, len(TOPICS), figsize=(11, 3.4), layout="constrained")
    mel = torchaudio.transforms.MelSpectrogram(RATE_HZ, n_fft=512, hop_length=160, n_mels=40)
    for column, topic in enumerate(TOPICS):
        facts = zip(cells["split"], cells["topic"], cells["speech_fr"], strict=True)
        row = next(i for i, (split, own, speech) in enumerate(facts) if (split, own) == ("test", topic) and speech)
        picture = Image.open(data.path.parent / cells["image"][row]).convert("RGBA")
        hue, colour, alpha = (
            np.asarray(part) for part in (*picture.convert("RGB").convert("HSV").split()[:2], picture.getchannel("A"))
        )
        counts, edges = np.histogram(hue[(alpha > 127) & (colour > 40)], HUES, (0, 256))
        colours = [matplotlib.colors.hsv_to_rgb((edge / 256, 0.75, 0.85)) for edge in edges[:-1]]
        axes[0, column].bar(range(HUES), counts / max(counts.sum(), 1), color=colours, width=1)
        axes[0, column].set(xticks=[], yticks=[])
        axes[0, column].set_title(cells["kind"][row], fontsize=9)
        samples, rate_hz = AudioModality().decode(data.path.parent / cells["speech_fr"][row])
        wave = torchaudio.functional.resample(torch.as_tensor(samples), rate_hz, RATE_HZ)
        bands = (mel(wave) + 1e-6).log().numpy()
        axes[1, column].imshow(bands, origin="lower", aspect="auto", extent=(0, len(wave) / RATE_HZ, 0, 40))
        axes[1, column].set(yticks=[], xlabel="seconds")
    axes[0, 0].set_ylabel("hues of the picture")
    axes[1, 0].set_ylabel("spoken caption (fr)")
    figure.savefig(out, metadata={"Date": None}, dpi=72)


if __name__ == "__main__":
    main(*sys.argv[1:])
