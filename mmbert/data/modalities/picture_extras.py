"""Picture formats by packages of their own: HEIC by pillow-heif, SVG by CairoSVG, which load nothing else."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO
from urllib.request import urlopen

from PIL import Image as pil
from PIL.Image import Image

from mmbert.core.errors import DataError

#: The longer side of a drawing in pixels: it has no size of its own that matters.
SVG_PIXELS = 512
#: Bytes of an SVG file, uncompressed.
SVG_BYTES = 2**24
#: Elements that a drawing has where everything it refers to is counted each time.
SVG_ELEMENTS = 50_000
#: Pixels of a picture inside an SVG.
INNER_PIXELS = 2**24
#: Where ``Image.info`` has the number of pictures in a HEIF file.
PICTURES_INSIDE = "pictures_inside"
#: What stands for a file that an SVG may not load.
NOTHING = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


def read_heif(source: str | Path | BinaryIO, check_size: Callable[[int, int], None]) -> Image:
    """A HEIC or HEIF file.

    Args:
        source: of it.
        check_size: is given width and height before anything is decoded.

    Raises:
        DataError: pillow-heif is not installed, or the picture is too large.
    """
    if find_spec("pillow_heif") is None:
        raise DataError("HEIC pictures are read by pillow-heif, which is not installed: pip install 'mmbert[heif]'")
    import pillow_heif

    opened = pillow_heif.open_heif(source)
    check_size(*opened.size)
    image: Image = opened.to_pillow()
    image.info[PICTURES_INSIDE] = len(opened)
    return image


def read_svg(source: str | Path | BinaryIO) -> Image:
    """A drawing, ``SVG_PIXELS`` long, transparent where nothing is drawn.

    Raises:
        DataError: CairoSVG is not installed, or the drawing is too large, too deep, or refers to other files.
    """
    content = svg_content(source)
    try:
        import cairosvg
    except ImportError as error:
        raise DataError("SVG is drawn by CairoSVG, which is not installed: pip install 'mmbert[svg]'") from error
    except OSError as error:  # cairocffi finds no libcairo
        raise DataError("SVG is drawn by CairoSVG, which needs the system's library cairo (libcairo2)") from error
    from cairosvg.parser import Tree

    tree = Tree(bytestring=content, unsafe=False, url_fetcher=fetch_inside)
    refuse_expansion(tree.xml_tree)
    width, height = drawing_size(tree)
    output = io.BytesIO()
    surface = cairosvg.surface.PNGSurface(tree, output, 96, output_width=width, output_height=height)
    surface.finish()
    return pil.open(output, formats=("PNG",))


def svg_content(source: str | Path | BinaryIO) -> bytes:
    """The text of an SVG file, unpacked.

    Raises:
        DataError: it is too long.
        UnidentifiedImageError: it is no SVG.
    """
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            content = file.read(SVG_BYTES + 1)
    else:
        content = source.read(SVG_BYTES + 1)
    if content[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(content)) as unpacked:
            content = unpacked.read(SVG_BYTES + 1)
    if len(content) > SVG_BYTES:
        raise DataError(f"as an SVG it has more than {SVG_BYTES // 2**20} MiB")
    if b"<svg" not in content:
        raise pil.UnidentifiedImageError("its format is not known, or it is damaged")
    return content


def fetch_inside(url: str, resource_type: str) -> bytes:
    """What CairoSVG asks for while it draws: a picture that lies in the SVG itself; nothing is loaded from elsewhere.

    Raises:
        DataError: a picture that lies elsewhere, or is too large.
    """
    if resource_type == "text/css":
        return b""
    if not url.startswith("data:"):
        raise DataError(f"it refers to another file or address, which is not loaded ({url[:80]})")
    content: bytes = urlopen(url).read()  # of the text of the address itself
    try:
        with pil.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            if image.width * image.height > INNER_PIXELS:
                raise DataError(f"it holds a picture of {image.width:,} × {image.height:,} pixels")
    except pil.UnidentifiedImageError:
        return NOTHING
    return content


def refuse_expansion(root: Any) -> None:
    """Refuses a drawing in which few elements that refer to each other make very many.

    Raises:
        DataError: there are more than ``SVG_ELEMENTS``, or an element refers to itself.
    """
    named = {node.get("id"): node for node in root.iter() if node.get("id")}
    sizes: dict[Any, int | None] = {}

    def size(node: Any) -> int:
        if node in sizes:
            known = sizes[node]
            if known is None:
                raise DataError("an element of the SVG refers to itself")
            return known
        sizes[node] = None
        total = 1 + sum(map(size, node)) + sum(size(named[name]) for name in references(node) if name in named)
        sizes[node] = total
        if total > SVG_ELEMENTS:
            raise DataError(f"as an SVG it has more than {SVG_ELEMENTS:,} elements")
        return total

    size(root)


def references(node: Any) -> Iterator[str]:
    """The names of the elements that an element refers to: ``href="#a"``, ``fill="url(#a)"``."""
    for name, value in node.items():
        if name.endswith("href") and value.startswith("#"):
            yield value[1:]
        for part in value.split("url(")[1:]:
            yield part.partition(")")[0].strip("'\" ").removeprefix("#")


def drawing_size(tree: Any) -> tuple[int, int]:
    """Width and height in pixels, in the proportions that the SVG says.

    Raises:
        DataError: it says none.
    """
    from cairosvg.helpers import node_format

    page = SimpleNamespace(context_width=None, context_height=None, dpi=96, font_size=16)
    width, height, _ = node_format(page, tree)
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise DataError("the SVG says no size: it needs width and height, or a viewBox")
    scale = SVG_PIXELS / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))
