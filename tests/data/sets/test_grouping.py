"""Rows that share anything stay in one split, whatever shares they make."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmbert.data.sets.grouping import bytes_key, caption_key, draw_grouped, duplicate_groups


@given(st.lists(st.sets(st.integers(0, 12), max_size=3), max_size=30))
def test_groups_are_those_of_a_walk_from_row_to_row(keys):
    groups = duplicate_groups(keys)
    assert len(groups) == len(keys)
    for start in range(len(keys)):
        reached, shared = {start}, set(keys[start])
        while more := {i for i, own in enumerate(keys) if i not in reached and own & shared}:
            reached |= more
            shared |= set().union(*(keys[i] for i in more))
        assert {i for i in range(len(keys)) if groups[i] == groups[start]} == reached


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=120), st.integers(0, 5))
def test_no_group_is_in_two_splits_and_the_same_seed_draws_the_same(rows, seed):
    groups, strata = [group for group, _ in rows], [stratum for _, stratum in rows]
    splits = draw_grouped(groups, strata, {"test": 0.2, "val": 0.1}, seed)
    assert splits == draw_grouped(groups, strata, {"test": 0.2, "val": 0.1}, seed)
    assert set(splits) <= {"train", "val", "test"}
    for group in set(groups):
        assert len({split for own, split in zip(groups, splits, strict=True) if own == group}) == 1


def test_shares_are_those_of_all_rows_in_every_stratum():
    strata = np.repeat(["a", "b"], [400, 200])
    splits = np.array(draw_grouped(np.arange(600), strata, {"test": 0.2, "val": 0.1}))
    for stratum, size in (("a", 400), ("b", 200)):
        assert (splits[strata == stratum] == "test").sum() == round(0.2 * size)
        assert abs((splits[strata == stratum] == "val").sum() - 0.1 * size) <= 1


def test_captions_that_differ_in_form_alone_are_one():
    same = ["A frog.", "a  frog", " A FROG!", "\uff21 frog"]
    assert len({caption_key(text) for text in same}) == 1
    assert caption_key("A frog.") != caption_key("A fog.")
    assert caption_key("कमल।") == caption_key("कमल") != caption_key("कमला")  # vowel signs are letters, too


def test_files_are_one_by_their_bytes(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    assert bytes_key(tmp_path / "a") == bytes_key(tmp_path / "b") != bytes_key(tmp_path / "c")
