"""The process that draws: it is ended where it takes too long or dies, and begun anew; forks have their own."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from installed import skip_without
from mmbert.core.errors import DataError
from mmbert.data.modalities import svg_drawer, svg_process
from mmbert.data.modalities.svg_process import Drawer, Drawers, draw_svg

skip_without("cairosvg")

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="2" height="4"/></svg>'


@pytest.fixture
def drawers():
    made = Drawers()
    yield made
    if made.drawer is not None:
        made.drawer.end()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """``program(code)``: the drawing process runs this instead."""

    def replaced(code):
        (tmp_path / "drawer.py").write_text(code)
        monkeypatch.setattr(svg_drawer, "__file__", str(tmp_path / "drawer.py"))

    return replaced


def test_one_process_draws_for_all_threads(drawers):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(drawers.draw, [SVG] * 8))
    assert set(found) == {svg_drawer.svg_as_png(SVG)} and draw_svg(SVG) == found[0]
    first = drawers.drawer
    with pytest.raises(DataError, match="unclosed token"):
        drawers.draw(b"<svg")
    assert drawers.drawer is first and drawers.draw(SVG) == found[0]


def test_what_takes_too_long_is_ended_and_told(drawers, program, monkeypatch):
    monkeypatch.setattr(svg_process, "DRAWING_SECONDS", 0.2)
    program("import time; time.sleep(60)")
    with pytest.raises(DataError, match="more than 0.2 seconds to draw"):
        drawers.draw(SVG)
    assert drawers.drawer is None


def test_a_program_that_dies_is_told_and_begun_anew(drawers, program, monkeypatch):
    own = svg_drawer.__file__
    program("import sys; sys.stdin.buffer.read(8); sys.exit(3)")
    with pytest.raises(DataError, match="ended at this file"):
        drawers.draw(SVG)
    monkeypatch.setattr(svg_drawer, "__file__", own)
    assert drawers.draw(SVG) == svg_drawer.svg_as_png(SVG)


def test_a_forked_process_has_a_drawer_of_its_own():
    draw_svg(SVG)
    owner = svg_process.DRAWERS.drawer.process.pid

    def forked(queue):
        drawn = draw_svg(SVG)
        queue.put((drawn, svg_process.DRAWERS.drawer.process.pid))
        svg_process.DRAWERS.drawer.end()

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=forked, args=(queue,))
    child.start()
    drawn, other = queue.get(timeout=60)
    child.join()
    assert drawn == draw_svg(SVG) and other != owner == svg_process.DRAWERS.drawer.process.pid


def test_it_ends_with_the_process_that_started_it(drawers):
    drawers.draw(SVG)
    drawer = drawers.drawer
    assert isinstance(drawer, Drawer) and drawer.owner == os.getpid()
    drawer.process.stdin.close()
    assert drawer.process.wait(20) == 0
    drawer.process.stdin = None
