"""Open blocks of a process: the one not used for the longest time is closed; errors of fetching ahead wait."""

import pickle

import pytest

from mmbert.core.errors import DataError
from mmbert.data.streaming.open_blocks import OpenBlocks


class Numbers(OpenBlocks):
    """Blocks that say when they are opened, closed and fetched."""

    def __init__(self, most_open):
        self.said = []
        super().__init__(most_open)

    def _open_block(self, block, stack):
        if block < 0:
            raise DataError("there is none")
        self.said.append(f"open {block}")
        stack.callback(self.said.append, f"close {block}")
        return 10 * block

    def _fetch_block(self, block):
        self.said.append(f"fetch {block}")
        if block < 0:
            raise DataError("there is none")


def test_the_block_that_was_not_used_for_the_longest_time_is_closed():
    blocks = Numbers(2)
    assert [blocks.block(number) for number in (1, 2, 1, 3, 1)] == [10, 20, 10, 30, 10]
    assert blocks.said == ["open 1", "open 2", "open 3", "close 2"]


def test_what_cannot_be_fetched_is_told_by_whoever_needs_it():
    blocks = Numbers(2)
    blocks.fetch_ahead([-1, 5])
    blocks._queue.shutdown(wait=True)
    assert sorted(blocks.said) == ["fetch -1", "fetch 5"]
    with pytest.raises(DataError, match="there is none"):
        blocks.block(-1)


def test_a_copy_in_another_process_has_none_open():
    blocks = Numbers(2)
    blocks.block(1)
    blocks.fetch_ahead([7])
    blocks._queue.shutdown(wait=True)
    copy = pickle.loads(pickle.dumps(blocks))
    copy.said.clear()
    assert copy.block(1) == 10 and copy.said == ["open 1"]
    copy._process = -1  # as after a fork: the parent's threads are not there
    copy.fetch_ahead([8])
    copy._queue.shutdown(wait=True)
    assert copy.said[-1] == "fetch 8"
