"""A whole run with layer injection into a frozen text encoder: what is stored, counted, saved and loaded."""

import json

import pandas as pd
import pytest

from mmbert.model import MultimodalModel
from mmbert.training.run import run


def test_a_run_with_mag_stores_inputs_alone_and_its_model_says_the_same_again(compose_tiny, digits, tmp_path):
    options = ("fusion=mag", "fusion.layer=1", "encoders.text.frozen=true", "trainer.max_epochs=1", "plots=false")
    run(compose_tiny(*options, "balance_modalities=gradient_blending"), tmp_path)
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert facts["store"]["text"]["what"] == "inputs"
    assert facts["flops_forward"] > facts["flops_fusion"] > 0
    model = MultimodalModel.from_pretrained(tmp_path / "model")
    said = pd.read_parquet(tmp_path / "predictions" / "test.parquet")
    table = pd.read_csv(digits, dtype=str, keep_default_na=False)
    samples = [
        {"text": row["text"], **{name: digits.parent / row[name] for name in ("image", "audio")}}
        for _, row in table.loc[said["row"]].iterrows()
    ]
    answers = [answer["value"]["prediction"] for answer in model.predict(samples)]
    assert answers == pytest.approx(said["value/prediction"].tolist(), rel=1e-4, abs=1e-4)
    without = [{"text": sample["text"]} for sample in samples]
    assert [a["value"]["prediction"] for a in model.predict(without)] != pytest.approx(answers, rel=1e-4, abs=1e-4)
    assert not any(p.requires_grad for p in model.encoders["text"].parameters())
