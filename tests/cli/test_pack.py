"""``mmbert-pack``: from the words of a command line to shards that a run trains on."""

import json

import pytest

from mmbert.cli.pack import pack_table
from mmbert.core.errors import ConfigError


@pytest.mark.slow
def test_a_table_is_packed_and_a_run_on_its_shards_ends_with_the_numbers_of_the_table(
    digits, compose_tiny, tmp_path, capsys
):
    from mmbert.training.run import run

    words = ["data=manifest", f"data.path={digits}", "+data.splits.test_missing=test_missing", "tasks=talking_digits"]
    pack_table([*words, f"out={tmp_path / 'shards'}", "shard_mib=0.3", "shuffle=false"])
    shown = capsys.readouterr().out
    assert "48 samples" in shown and "12 samples" in shown and "data=webdataset" in shown
    metrics = []
    for name, data in (
        ("loose", ()),
        ("packed", ("data=webdataset", f"data.path={tmp_path / 'shards'}", "data.shuffle_buffer=null")),
    ):
        run(compose_tiny(*data, "logger=none", "store.enabled=false"), tmp_path / name)
        found = json.loads((tmp_path / name / "metrics.json").read_text())
        metrics.append({key: value for key, value in found.items() if key.startswith(("val/", "test/"))})
    assert metrics[0] == metrics[1] and len(metrics[0]) > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs a folder"),
        (["out=s3://bucket/shards"], "copy it with the store's own tool"),
        (["out=x", "shard_mib=none"], "shard_mib=none: a number above 0"),
        (["out=x", "shard_mib=0"], "shard_mib=0"),
        (["out=x", "shuffle=perhaps"], "shuffle=perhaps: true or false"),
        (["--force", "out=x"], "'--force' is no flag"),
        (["out=x", "text=none", "image=none", "audio=none"], "Every encoder is 'none'"),
        (["out=x", "data.pth=a"], "data.pth"),
    ],
)
def test_wrong_words_are_told(digits, words, message):
    with pytest.raises(ConfigError, match=message):
        pack_table(["data=manifest", f"data.path={digits}", "text=tiny", "image=tiny", "audio=tiny", *words])
