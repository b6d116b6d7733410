"""A small table of texts, pictures and sounds with gaps, and its shards."""

import csv
import io
import tarfile

import numpy as np
import soundfile
from PIL import Image

from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.streaming.packing import pack_shards

INPUTS = ("text", "image", "audio")


def picture(number):
    """PNG of one colour that tells the number."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(file, "PNG")
    return file.getvalue()


def sound(number):
    """WAV of 0.05 s whose every sample tells the number."""
    file = io.BytesIO()
    soundfile.write(file, np.full(800, (number + 1) / 1000, np.float32), 16_000, "PCM_16", format="WAV")
    return file.getvalue()


def write_table(folder, train=23, val=7, test=5):
    """A CSV of so many rows; every third lacks its picture, every fourth its sound, every fifth its label."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    splits = ["train"] * train + ["val"] * val + ["test"] * test
    for number, split in enumerate(splits):
        row = {"text": f"sample {number}", "image": "", "audio": "", "label": "ab"[number % 2], "split": split}
        if number % 3:
            row["image"] = f"{number}.v1.png"
            (folder / row["image"]).write_bytes(picture(number))
        if number % 4:
            row["audio"] = f"{number}.wav"
            (folder / row["audio"]).write_bytes(sound(number))
        if number % 5 == 4:
            row["label"] = ""
        rows.append(row)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "table.csv"


def packed(table, folder, most_bytes=30_000, shuffle=False, **options):
    """The shards of a table in a folder."""
    data = MultimodalData(table, num_workers=0, **options)
    pack_shards(data, {name: modality_named(name) for name in INPUTS}, folder, most_bytes, shuffle)
    return folder


def write_shard(path, samples):
    """A shard of others: (key, {field: bytes}) each."""
    with tarfile.open(path, "w") as archive:
        for key, members in samples:
            for field, content in members.items():
                info = tarfile.TarInfo(f"{key}.{field}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path
