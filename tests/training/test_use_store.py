"""The line that reports the use of the store, and the progress bar that only a terminal has."""

import pytest

from mmbert.store.use_store import StoreUsage
from mmbert.training import use_store
from mmbert.training.use_store import moving_on, progress_bar, usage_text


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (StoreUsage("tokens", reused=5968), "image 5,968 reused"),
        (StoreUsage("tokens", computed=1200, seconds=2.34), "image 1,200 encoded in 2.3 s"),
        (StoreUsage("inputs", reused=1, computed=2, seconds=0.06), "image 1 reused, 2 prepared in 0.1 s"),
        (StoreUsage("inputs", left_out=3, reason="unreadable"), "image 3 left out (unreadable)"),
        (StoreUsage("tokens"), "image nothing to keep"),
        (StoreUsage(None, reason="augmented"), "image not stored: augmented"),
    ],
)
def test_what_was_reused_computed_and_left_out_is_reported(usage, text):
    assert usage_text("image", usage) == text


@pytest.mark.parametrize(("terminal", "advanced"), [(True, [2, 3]), (False, [])])
def test_only_a_terminal_has_a_bar(monkeypatch, terminal, advanced):
    seen = []

    class Bar(use_store.Progress):
        """Remembers its steps; draws nothing."""

        def __init__(self, **options):
            super().__init__(disable=True, **options)

        def advance(self, task_id, advance=1):
            seen.append(advance)

    monkeypatch.setattr(use_store, "Progress", Bar)
    monkeypatch.setattr(use_store, "on_terminal", lambda: terminal)
    with progress_bar("encoding", 5) as done:
        done(2)
        done(3)
    assert seen == advanced


def test_a_bar_moves_on_when_a_thing_has_been_used():
    seen = []
    for thing in moving_on("ab", lambda done: seen.append(f"done {done}")):
        seen.append(thing)
    assert seen == ["a", "done 1", "b", "done 1"]
