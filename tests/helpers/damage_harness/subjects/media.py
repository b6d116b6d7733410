"""Pictures, sounds and features in many formats, as mmbert-check-data and training read them."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_media import damage_media
from damage_harness.subject import Subject, all_files
from installed import works

#: Beside the files: the name of the one that is damaged, which is then the only one that is read.
MARK = "damaged"
#: Formats of libsndfile and what is in them.
CODINGS = (
    *(("WAV", coding) for coding in ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM")),
    *(("WAV", coding) for coding in ("GSM610", "NMS_ADPCM_24", "G721_32")),
    *((kind, "PCM_16") for kind in ("W64", "RF64", "AIFF", "AU", "CAF", "FLAC", "SVX", "VOC", "NIST", "SDS")),
    *(("CAF", "ALAC_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
)
DRAWING = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" width="40mm" height="30mm" viewBox="0 0 80 60">
  <defs>
    <linearGradient id="g"><stop offset="0.1" stop-color="#ff0000"/><stop offset="0.9"/></linearGradient>
    <g id="part"><circle cx="10" cy="10" r="8" fill="url(#g)"/></g>
    <pattern id="dots" width="4" height="4" patternUnits="userSpaceOnUse"><rect width="2" height="2"/></pattern>
    <clipPath id="cut"><rect x="5" y="5" width="60" height="50"/></clipPath>
  </defs>
  <rect width="80" height="60" fill="url(#dots)" stroke="blue" stroke-width="2" stroke-dasharray="3 1"/>
  <g transform="rotate(30 40 30) scale(1.5)" clip-path="url(#cut)" opacity="0.5">
    <use href="#part" x="20" y="5"/><path d="M 10 10 C 20 20 40 20 50 10 A 5 8 30 0 1 60 30 Z"/>
  </g>
  <text x="10" y="50" font-size="12">words</text>
</svg>
"""


class Media(Subject):
    """One file is damaged and read: inspected, decoded, prepared and put into a batch."""

    inputs = 1500
    quick = 12
    seconds = 20.0

    def damage(self, draw: Random, folder: Path) -> str:
        """Of one file the header, or any bytes."""
        path = draw.choice([path for path in all_files(folder) if path.name != MARK])
        (folder / MARK).write_text(path.name)
        return damage_media(draw, path)

    def use(self, folder: Path) -> Any:
        """What check-data says of each file, and what an encoder would be given."""
        mark = folder / MARK
        names = [mark.read_text()] if mark.exists() else [path.name for path in all_files(folder)]
        return {name: self.read(name, folder) for name in names}

    def read(self, name: str, folder: Path) -> Any:
        """One file: its quantities, and the shape, least and most of its numbers in a batch."""
        modality, processor = self.reader()
        facts = modality.inspect(name, folder, {"max_seconds": 2.0})
        raw = modality.read(name, folder, 2.0)
        (batch,) = (value for key, value in processor.collate([processor.prepare(raw)]).items() if key != "mask")
        return (
            dict(facts.quantities),
            tuple(batch.shape),
            float(batch.min()),
            float(batch.max()),
            modality.size(name, folder),
        )

    def reader(self) -> tuple[Any, Any]:
        """The kind of input, and a processor of it."""
        raise NotImplementedError

    def wrong(self, found: Any, whole: Any, what: str) -> str:
        """Quantities are positive and finite, and so are the numbers."""
        for quantities, shape, least, most, size in found.values():
            if not all(0 < value < math.inf for value in quantities.values()):
                return f"measured {quantities}"
            if not (math.isfinite(least) and math.isfinite(most)) or 0 in shape or size <= 0:
                return f"numbers of {shape} from {least} to {most}, {size} bytes"
            if reason := self.odd(quantities, shape, least, most):
                return reason
        return ""

    def odd(self, quantities: dict[str, float], shape: tuple[int, ...], least: float, most: float) -> str:
        """Why these numbers cannot be, empty if they can."""
        return ""


class Pictures(Media):
    """Raster formats of Pillow and pillow-heif, and drawings."""

    name = "pictures"
    imports = (
        "PIL.Image",
        "mmbert.data.modalities.image",
        "mmbert.encoders.processors.image",
        "pillow_heif",
    )

    def make(self, folder: Path) -> None:
        """Noise and shapes, small, in every kind of file."""
        import numpy as np
        import pillow_heif
        from PIL import Image

        random = np.random.default_rng(0)
        colours = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        clear = Image.fromarray(random.integers(0, 256, (24, 32, 4), np.uint8))
        deep = Image.fromarray(random.integers(0, 65536, (24, 32)).astype(np.uint16))
        floats = Image.fromarray(random.random((24, 32), np.float32))
        exif = Image.Exif()
        exif[0x0112] = 6
        several: dict[str, Any] = {"save_all": True, "append_images": [colours.rotate(180)]}
        for name, image, options in (
            ("rgb.png", colours, {"exif": exif}),
            ("rgba.png", clear, {}),
            ("palette.png", colours.quantize(16), {"transparency": 3}),
            ("grey16.png", deep, {}),
            ("bits.png", colours.convert("1"), {}),
            ("several.png", colours, several),
            ("plain.jpg", colours, {"exif": exif}),
            ("progressive.jpg", colours, {"progressive": True}),
            ("cmyk.jpg", colours.convert("CMYK"), {}),
            ("several.gif", colours, several),
            ("raw.tif", colours, {}),
            ("lzw.tif", colours, {"compression": "tiff_lzw"}),
            ("deflate.tif", clear, {"compression": "tiff_adobe_deflate"}),
            ("grey16.tif", deep, {}),
            ("float.tif", floats, {}),
            ("several.tif", colours, several),
            ("lossy.webp", colours, {}),
            ("lossless.webp", clear, {"lossless": True}),
            ("several.webp", colours, several),
            ("a.avif", colours, {}),
            ("a.jp2", colours, {}),
            ("a.bmp", colours, {}),
            ("a.pgm", deep.convert("I"), {}),
            ("a.ppm", colours, {}),
            ("a.tga", clear, {"compression": "tga_rle"}),
            ("a.ico", clear, {}),
            ("a.icns", clear.resize((32, 32)), {}),
            ("a.pcx", colours, {}),
            ("a.sgi", colours, {}),
            ("a.dds", clear, {}),
            ("a.qoi", colours, {}),
        ):
            image.save(folder / name, **options)
        pillow_heif.from_pillow(colours).save(folder / "a.heic")
        if not works("cairosvg"):
            return
        (folder / "a.svg").write_text(DRAWING)
        (folder / "packed.svgz").write_bytes(gzip.compress(DRAWING.encode()))

    def reader(self) -> tuple[Any, Any]:
        """Pictures of 16 × 16."""
        from mmbert.data.modalities.image import MODALITY
        from mmbert.encoders.processors.image import ImageProcessor

        return MODALITY, ImageProcessor((16, 16), (0.5,) * 3, (0.5,) * 3)

    def odd(self, quantities: dict[str, float], shape: tuple[int, ...], least: float, most: float) -> str:
        """Colours lie in [-1, 1]."""
        return "" if shape == (1, 3, 16, 16) and -1.001 <= least <= most <= 1.001 else f"colours from {least} to {most}"


class Sounds(Media):
    """Formats of libsndfile."""

    name = "sounds"
    imports = ("soundfile", "torchaudio", "mmbert.data.modalities.audio", "mmbert.encoders.processors.audio")

    def make(self, folder: Path) -> None:
        """Three seconds of a tone with noise, in every coding."""
        import numpy as np
        import soundfile

        rate = 8000
        noise = np.random.default_rng(0).normal(0, 0.05, (3 * rate, 2))
        sound = (noise + 0.3 * np.sin(np.arange(3 * rate) / 9)[:, None]).astype(np.float32)
        for kind, coding in (
            *(
                ("WAV", each)
                for each in ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM")
            ),
            *(("WAV", each) for each in ("GSM610", "NMS_ADPCM_24", "G721_32")),
            *((each, "PCM_16") for each in ("W64", "RF64", "AIFF", "AU", "CAF", "FLAC", "SVX", "VOC", "NIST", "SDS")),
            *(("CAF", "ALAC_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
        ):
            single = coding in ("GSM610", "NMS_ADPCM_24", "G721_32") or kind in ("SDS", "SVX")
            content = io.BytesIO()
            soundfile.write(content, sound[:, 0] if single else sound, rate, coding, format=kind)
            (folder / f"{kind}.{coding}".lower()).write_bytes(content.getvalue())

    def reader(self) -> tuple[Any, Any]:
        """Sounds of 16,000 Hz, cut after two seconds."""
        from mmbert.data.modalities.audio import MODALITY
        from mmbert.encoders.processors.audio import AudioProcessor

        return MODALITY, AudioProcessor(16_000, 2.0, 400)

    def odd(self, quantities: dict[str, float], shape: tuple[int, ...], least: float, most: float) -> str:
        """No more than two seconds; a file of some kilobytes lasts no week."""
        if shape[1] > 32_000 or quantities["seconds"] > 6e5:
            return f"{shape[1]} samples of {quantities}"
        return ""


class Features(Media):
    """Arrays of NumPy and of safetensors."""

    name = "features"
    names_files = False  # whoever reads a table names the row
    imports = ("numpy", "torch", "safetensors.torch", "mmbert.data.modalities.features", "mmbert.encoders.features")

    def make(self, folder: Path) -> None:
        """Five vectors of four numbers, in several types."""
        import numpy as np
        import torch
        from safetensors.torch import save_file

        values = np.random.default_rng(0).normal(0, 1, (5, 4))
        for kind in ("float64", "float32", "float16", "int64", "int8"):
            np.save(folder / f"{kind}.npy", (10 * values).astype(kind))
        np.save(folder / "columns.npy", np.asfortranarray(values))
        np.savez(folder / "one.npz", values)
        np.savez_compressed(folder / "packed.npz", values)
        for name, part in (("a", torch.float32), ("half", torch.bfloat16), ("long", torch.int64)):
            save_file({"x": (10 * torch.from_numpy(values)).to(part)}, folder / f"{name}.safetensors")

    def reader(self) -> tuple[Any, Any]:
        """Vectors of four numbers."""
        from mmbert.data.modalities.features import MODALITY
        from mmbert.encoders.features import FeatureProcessor

        return MODALITY, FeatureProcessor(4, 16)
