#!/usr/bin/env bash
# datasets 5.2.0, load_dataset("webdataset"): a field that no sample before the sixth has is dropped without a message.
#
# The reader looks at the first five samples of the first shard and takes their members for the columns of the whole
# set. Most expect what the JSON and CSV readers of the same library do: a column that is found later is an error or is
# filled with null where it is missing. Seen with eight samples, whose .json members begin at the sixth:
#   columns of every row: __key__, __url__, cls, txt      the three .json members are in no row
# In streaming mode and without it the same. A gap among the first five, the same sample set in another order, raises
# ValueError instead, so whether data are lost depends on which samples come first.
# It matters for multimodal shards, where a modality is often missing: put the rare one sixth and a study of text, image
# and audio is one of text and image. Write an empty member for what is missing, or give features=... in full.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datasets==5.2.0 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" env/bin/python - <<'PY'
import io
import tarfile

from datasets import load_dataset


def write_shard(path, samples):
    with tarfile.open(path, "w") as tar:
        for number, members in enumerate(samples):
            for ending, content in members.items():
                info = tarfile.TarInfo(f"{number:03d}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


both = {"txt": b"a text", "cls": b"1"}
write_shard("late.tar", [both] * 5 + [{**both, "json": b'{"speaker": "s1"}'}] * 3)
write_shard("early.tar", [both] * 2 + [{**both, "json": b'{"speaker": "s1"}'}] * 3 + [both] * 3)
for streaming in (False, True):
    rows = list(load_dataset("webdataset", data_files="late.tar", split="train", streaming=streaming))
    columns = sorted(set().union(*rows))
    print(f"streaming={streaming}: {len(rows)} rows, columns {columns}")
    assert len(rows) == 8 and columns == ["__key__", "__url__", "cls", "txt"], "datasets has changed"
    try:
        list(load_dataset("webdataset", data_files="early.tar", split="train", streaming=streaming))
    except ValueError as error:
        print(f"streaming={streaming}, the same kind of samples in another order: {str(error)[:60]}…")
    else:
        raise AssertionError("datasets has changed")
print("datasets 5.2.0: as described")
PY
