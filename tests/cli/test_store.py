"""``mmbert-store``: builds what a run would, lists, verifies, exports and prunes; its mistakes are told in words."""

import sys

import numpy as np
import pytest

from mmbert.cli import store

FROZEN = [f"encoders.{name}.frozen=true" for name in ("text", "image", "audio")]


@pytest.fixture
def words(digits, tmp_path):
    return [
        *("data=manifest", f"data.path={digits}", "tasks=talking_digits", "text=tiny", "image=tiny", "audio=tiny"),
        *(f"store.dir={tmp_path / 'store'}", "trainer=cpu", "data.num_workers=0", *FROZEN),
        "tasks.answer.classes=" + str([str(n) for n in range(-12, 25)]).replace(" ", ""),
        *(f"tasks.{name}.classes={[str(n) for n in range(13)]}".replace(" ", "") for name in ("seen", "heard")),
    ]


@pytest.fixture
def command(monkeypatch, capsys):
    """``command(*words)``: exit code, standard output, standard error."""

    def call(*given):
        monkeypatch.setattr(sys, "argv", ["mmbert-store", *given])
        try:
            store.main()
            code = 0
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_build_list_verify_export_prune(command, words, tmp_path, digits):
    place = f"dir={tmp_path / 'store'}"
    code, out, _ = command("build", *words)
    assert code == 0
    assert "image 81 encoded" in out
    code, out, _ = command("build", *words)
    assert "image 81 reused" in out
    code, out, _ = command("list", place)
    assert "ImageEncoder, tiny, float32" in out
    assert "81" in out
    assert command("verify", place)[0] == 0

    for ending in ("npz", "safetensors"):
        code, out, _ = command("export", f"out={tmp_path / f'features.{ending}'}", "fusion=concat", *words)
        assert code == 0
    from safetensors.numpy import load_file

    arrays, same = dict(np.load(tmp_path / "features.npz")), load_file(tmp_path / "features.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, same[name])
    check_export(arrays, words)

    for path in (tmp_path / "store").rglob("*.long"):
        content = bytearray(path.read_bytes())
        content[7] ^= 1
        path.write_bytes(content)
    code, out, _ = command("verify", place)
    assert code == 1
    assert "1 damaged" in out
    code, out, _ = command("prune", "all", place)
    assert out.count(": deleted, ") == 3
    assert "0.0 MiB in all" in command("list", place)[1]


def check_export(arrays, words):
    """The exported arrays are what the encoders give each row alone."""
    import pytorch_lightning as pl
    import torch

    from mmbert.cli.check_data import compose_train_config
    from mmbert.training.build import build

    cfg = compose_train_config([*words, "fusion=concat"])
    pl.seed_everything(0, verbose=False)
    parts = build(cfg)
    parts.model.eval()
    assert arrays["row"].tolist() == np.concatenate(list(parts.data.rows.values())).tolist()
    dataset = parts.data.dataset("test")
    first = int(np.flatnonzero(arrays["split"] == list(parts.data.rows).index("test"))[0])
    for place in range(4):
        sample = dataset[place]
        for name, encoder in parts.model.named_encoders().items():
            with torch.no_grad():
                given = encoder(encoder.processor.collate([sample.prepared[name]]))
            begin, end = arrays[f"{name}.offsets"][first + place : first + place + 2]
            real = given.tokens[0][given.mask[0]].numpy()
            np.testing.assert_allclose(arrays[f"{name}.tokens"][begin:end], real, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(arrays[f"{name}.pooled"][first + place], given.pooled[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["biuld"], "Did you mean 'build'?"),
        (["build", "fuson=concat"], "Did you mean 'fusion'?"),
        (["build", "store.enabled=false"], "leaves nothing to do"),
        (["build", "store.dtype=float8"], "store.dtype=float8"),
        (["export"], "needs one file"),
        (["export", "out=features.csv"], "must end in .npz or .safetensors"),
        (["export", "out=/none/features.npz"], "there is no folder /none"),
        (["list", "dir=/none/here"], "there is no such folder"),
        (["list", "dri=x"], "Did you mean 'dir'?"),
        (["prune"], "Say what to delete"),
        (["prune", "all", "max_gib=3", "dir=."], "stands alone"),
        (["prune", "max_gib=much", "dir=."], "a number is wanted"),
        (["prune", "older_than_days=-1", "dir=."], "at least 0"),
        (["verify", "abc", "dir=."], "no array store 'abc'"),
    ],
)
def test_mistakes_are_told(command, given, said):
    code, out, err = command(*given)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_help_says_what_there_is(command):
    assert "mmbert-store prune" in command("--help")[1]
    assert command()[1] == command("-h")[1]
