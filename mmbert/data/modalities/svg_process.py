"""``draw_svg``: has SVG files drawn by a process that is ended if it takes too long, too much memory, or dies."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time

from mmbert.core.errors import DataError
from mmbert.data.modalities import svg_drawer
from mmbert.data.modalities.svg_drawer import SIZE

#: That a drawing may take.
DRAWING_SECONDS = 10.0


class Drawer:
    """A process that draws one SVG after the other; it ends with the one that started it.

    Attributes:
        owner: number of the process that may talk to it: those that are forked from it begin one of their own.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        # -P: the folder one stands in is not searched for modules
        self.process = subprocess.Popen(
            [sys.executable, "-P", svg_drawer.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def draw(self, content: bytes) -> bytes:
        """An SVG as a PNG.

        Raises:
            DataError: it cannot be drawn.
            TimeoutError, OSError: the process is of no use any more.
        """
        assert self.process.stdin is not None
        until = time.monotonic() + DRAWING_SECONDS
        rest = memoryview(SIZE.pack(len(content)) + content)
        while rest:
            rest = rest[self.process.stdin.write(rest) :]
        head = self._answer(1 + SIZE.size, until)
        answer = self._answer(SIZE.unpack(head[1:])[0], until)
        if head[0]:
            raise DataError(answer.decode("utf-8", "replace"))
        return answer

    def _answer(self, length: int, until: float) -> bytes:
        assert self.process.stdout is not None
        parts = []
        while length:
            if not select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError
            part = self.process.stdout.read(min(length, 2**20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Drawers:
    """The one drawer of this process; threads take turns."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.drawer: Drawer | None = None

    def draw(self, content: bytes) -> bytes:
        """See ``draw_svg``."""
        with self.turn:
            if self.drawer is None or self.drawer.owner != os.getpid():
                self.drawer = Drawer()
            try:
                return self.drawer.draw(content)
            except DataError:
                raise
            except BaseException as error:  # an interrupt too: the next answer would be that of this request
                self.drawer.end()
                self.drawer = None
                if isinstance(error, TimeoutError):
                    raise DataError(f"it takes more than {DRAWING_SECONDS:g} seconds to draw") from error
                if isinstance(error, (OSError, EOFError)):
                    raise DataError("the program that draws it ended at this file") from error
                raise

    def begin_anew(self) -> None:
        """In a forked process: whoever had the turn, or the drawer, is not there."""
        self.turn = threading.Lock()
        self.drawer = None


DRAWERS = Drawers()
os.register_at_fork(after_in_child=DRAWERS.begin_anew)


def draw_svg(content: bytes) -> bytes:
    """An SVG as a PNG, ``SVG_PIXELS`` long, transparent where nothing is drawn.

    Raises:
        DataError: it cannot be drawn, or not within ``DRAWING_SECONDS``.
    """
    return DRAWERS.draw(content)
