"""Draws SVG files in a process of its own, which ``svg_process.py`` starts and ends; nothing of mmbert is imported.

A request is the length of an SVG in 8 bytes and the SVG; an answer is a byte (0 = drawn, 1 = not), a length in 8 bytes,
and a PNG or the reason.
"""

from __future__ import annotations

import io
import math
import resource
import struct
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

#: The longer side of a drawing in pixels: it has no size of its own that matters.
SVG_PIXELS = 512
#: Elements that a drawing has where everything it refers to is counted each time.
SVG_ELEMENTS = 50_000
#: Pixels of a picture inside an SVG.
INNER_PIXELS = 2**24
#: Address space of the process.
MEMORY_BYTES = 2 * 2**30
#: What stands for a file that an SVG may not load.
NOTHING = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
SIZE = struct.Struct("<Q")


def serve() -> None:
    """Answers requests until there are no more."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    while len(head := requests.read(SIZE.size)) == SIZE.size:
        (length,) = SIZE.unpack(head)
        try:
            failed, answer = 0, svg_as_png(requests.read(length))
        except OSError as error:  # cairocffi finds no libcairo
            failed, answer = 1, f"CairoSVG needs the system's library cairo, libcairo2 ({error})".encode()
        except Exception as error:  # CairoSVG raises whatever it meets
            failed, answer = 1, (str(error) or type(error).__name__).encode()
        answers.write(bytes([failed]) + SIZE.pack(len(answer)) + answer)
        answers.flush()


def svg_as_png(content: bytes) -> bytes:
    """An SVG as a PNG, ``SVG_PIXELS`` long, transparent where nothing is drawn.

    Raises:
        ValueError: it is too large, refers to itself or to other files.
        Exception: whatever CairoSVG meets in one that is damaged.
    """
    from cairosvg.parser import Tree
    from cairosvg.surface import PNGSurface

    tree = Tree(bytestring=content, unsafe=False, url_fetcher=fetch_inside)
    refuse_expansion(tree.xml_tree)
    width, height = drawing_size(tree)
    output = io.BytesIO()
    PNGSurface(tree, output, 96, output_width=width, output_height=height).finish()
    return output.getvalue()


def fetch_inside(url: str, resource_type: str) -> bytes:
    """What CairoSVG asks for while it draws: a picture that lies in the SVG itself; nothing is loaded from elsewhere.

    Raises:
        ValueError: a picture that lies elsewhere, or is too large.
    """
    from urllib.request import urlopen

    from PIL import Image, UnidentifiedImageError

    if resource_type == "text/css":
        return b""
    if not url.startswith("data:"):
        raise ValueError(f"it refers to another file or address, which is not loaded ({url[:80]})")
    content: bytes = urlopen(url).read()  # of the text of the address itself
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            if image.width * image.height > INNER_PIXELS:
                raise ValueError(f"it holds a picture of {image.width:,} × {image.height:,} pixels")
    except UnidentifiedImageError:
        return NOTHING
    return content


def refuse_expansion(root: Any) -> None:
    """Refuses a drawing in which few elements that refer to each other make very many.

    Raises:
        ValueError: there are more than ``SVG_ELEMENTS``, or an element refers to itself.
    """
    named = {node.get("id"): node for node in root.iter() if node.get("id")}
    sizes: dict[Any, int | None] = {}

    def size(node: Any) -> int:
        if node in sizes:
            known = sizes[node]
            if known is None:
                raise ValueError("an element of the SVG refers to itself")
            return known
        sizes[node] = None
        total = 1 + sum(map(size, node)) + sum(size(named[name]) for name in references(node) if name in named)
        sizes[node] = total
        if total > SVG_ELEMENTS:
            raise ValueError(f"as an SVG it has more than {SVG_ELEMENTS:,} elements")
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
        ValueError: it says none.
    """
    from cairosvg.helpers import node_format

    page = SimpleNamespace(context_width=None, context_height=None, dpi=96, font_size=16)
    width, height, _ = node_format(page, tree)
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError("the SVG says no size: it needs width and height, or a viewBox")
    scale = SVG_PIXELS / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


if __name__ == "__main__":
    serve()
