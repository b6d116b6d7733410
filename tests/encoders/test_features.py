"""Ready features: files and lists, their checks, and a run on them."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.feature_files import read_arrays
from mmbert.data.modalities.features import as_sequence
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.vector_width import first_vector_width
from mmbert.encoders.features import FeatureEncoder

VALUES = np.arange(12, dtype=np.float64).reshape(4, 3)


def test_every_kind_of_file_gives_the_same(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    np.savez(tmp_path / "b.npz", VALUES)
    np.savez_compressed(tmp_path / "c.npz", face=VALUES, other=VALUES + 1)
    save_file({"face": torch.tensor(VALUES, dtype=torch.bfloat16)}, tmp_path / "d.safetensors")
    for name, key in (("a.npy", None), ("b.npz", None), ("c.npz", "face"), ("d.safetensors", None)):
        sequence = as_sequence(read_arrays(tmp_path / name), key)
        assert sequence.dtype == np.float32
        np.testing.assert_array_equal(sequence, VALUES)
    assert as_sequence([1, 2, 3]).shape == (1, 3)
    assert as_sequence(VALUES.tolist()).shape == (4, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: np.save(p / "x.npy", np.zeros((2, 3, 4))), r"its shape is \(2, 3, 4\) where \(L, D\)"),
        (lambda p: np.save(p / "x.npy", np.zeros((0, 3))), "it is empty"),
        (
            lambda p: np.save(p / "x.npy", np.array([[1.0, 2], [np.nan, 1]])),
            "not finite numbers, the first in its row 2",
        ),
        (lambda p: np.save(p / "x.npy", np.array([{}], dtype=object)), "holds Python objects"),
        (lambda p: (p / "x.npy").write_bytes(b"\x93NUMPY"), "no file of features that can be read"),
        (lambda p: (p / "x.npy").mkdir(), "this is a folder"),
        (lambda p: None, "there is no such file"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        as_sequence(read_arrays(tmp_path / "x.npy"))


def test_several_arrays_want_a_name(tmp_path):
    np.savez(tmp_path / "c.npz", face=VALUES, hand=VALUES)
    with pytest.raises(DataError, match="option key. Choices: face, hand"):
        as_sequence(read_arrays(tmp_path / "c.npz"))
    with pytest.raises(DataError, match="Did you mean 'face'"):
        as_sequence(read_arrays(tmp_path / "c.npz"), "faces")
    with pytest.raises(DataError, match="end in .npy, .npz, .safetensors"):
        read_arrays(tmp_path / "c.csv")


def test_sequences_are_cut_padded_and_checked():
    encoder = FeatureEncoder(3, max_tokens=2).eval()
    prepared = [encoder.processor.prepare(VALUES), None, encoder.processor.prepare(VALUES[0])]
    inputs = encoder.processor.collate(prepared)
    assert inputs["mask"].tolist() == [[True, True], [False, False], [True, False]]
    encoded = encoder(inputs)
    assert encoded.tokens.shape == (3, 2, 3) and not encoded.tokens[1].any() and not encoded.tokens[2, 1].any()
    centred = VALUES[0] - VALUES[0].mean()
    np.testing.assert_allclose(encoded.tokens[2, 0].detach(), centred / np.sqrt((centred**2).mean() + 1e-5), rtol=1e-5)
    with pytest.raises(DataError, match="its vectors have 2 numbers where 3 are needed"):
        encoder.processor.prepare(VALUES[:, :2])
    with pytest.raises(ConfigError, match="width of the features is not known"):
        FeatureEncoder()


def test_projected_and_plain_tokens():
    inputs = FeatureEncoder(3).processor.collate([torch.tensor(VALUES, dtype=torch.float32)])
    plain = FeatureEncoder(3, norm=False).eval()(inputs)
    np.testing.assert_array_equal(plain.tokens[0], VALUES)
    np.testing.assert_allclose(plain.pooled[0], VALUES.mean(0))
    assert FeatureEncoder(3, out_dim=7)(inputs).tokens.shape == (1, 4, 7)


@pytest.fixture
def table(tmp_path):
    generator = np.random.default_rng(0)
    lines = []
    for row in range(40):
        label = row % 2
        centre = (2 * label - 1) * np.array([4, -4, 0, 0, 0])
        sequence = centre + generator.standard_normal((int(generator.integers(1, 6)), 5))
        np.save(tmp_path / f"{row}.npy", sequence)
        split = "train" if row < 24 else "val" if row < 32 else "test"
        lines.append({"face": f"{row}.npy", "hand": sequence[0].tolist(), "split": split, "label": label})
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return tmp_path / "m.jsonl"


def test_a_run_on_features_alone(table, tmp_path, compose_tiny):
    from mmbert.model import MultimodalModel
    from mmbert.training.run import run

    groups = ["+features@encoders.face=sequence", "+features@encoders.hand=sequence", "text=none", "image=none"]
    cfg = compose_tiny(*groups, "audio=none", f"data.path={table}", "logger=none", "trainer.max_epochs=20")
    cfg.tasks = {}
    run(cfg, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert facts["test/label/accuracy"] > 0.7
    model = MultimodalModel.from_pretrained(tmp_path / "run" / "model")
    rows = [json.loads(line) for line in table.read_text().splitlines()][32:]
    from_file = model.predict([{"face": str(table.parent / row["face"])} for row in rows])
    from_array = model.predict([{"face": np.load(table.parent / row["face"])} for row in rows])
    assert from_file == from_array


def test_the_width_comes_from_the_table(table):
    data = MultimodalData(table).table
    features = modality_named("features")
    assert [first_vector_width(data, name, features, {}) for name in ("face", "hand")] == [5, 5]
    np.save(table.parent / "0.npy", np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match=r"row 1 \(line 1\), column 'face': its shape is"):
        first_vector_width(MultimodalData(table).table, "face", features, {})
