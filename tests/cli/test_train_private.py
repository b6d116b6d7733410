"""``privacy=dp`` as it is typed: what is printed, stored and written into the model's card; adapters; a refusal."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from mmbert.model import MultimodalModel

WORDS = ("privacy=dp", "privacy.epsilon=6", "privacy.accountant=rdp", "trainer.max_epochs=3")
FROZEN = "encoders.text.frozen=true"


@pytest.fixture
def table(here):
    """40 rows of train, so that batches of 4 are at the rate 0.1."""
    rows = [f"word{i % 2} {i},{'ab'[i % 2]},{s}" for s, n in (("train", 40), ("val", 4), ("test", 4)) for i in range(n)]
    (here / "my.csv").write_text("\n".join(["text,label,split", *rows]) + "\n")
    return here


def stored(folder):
    return json.loads((folder / "out" / "metrics.json").read_text())


@pytest.mark.slow
def test_it_says_and_stores_what_it_spent(train, table):
    from opacus.accountants import RDPAccountant

    ended = train(*WORDS, FROZEN)
    assert ended.code == 0, ended.err
    facts = stored(table)["privacy"]
    counted = RDPAccountant()
    for _ in range(3 * 10):  # epochs of 40 / 4 steps
        counted.step(noise_multiplier=facts["noise_multiplier"], sample_rate=4 / 40)
    assert facts["steps"] == facts["planned_steps"] == 30 and facts["delta"] == pytest.approx(1 / 400)
    assert facts["epsilon"] == pytest.approx(counted.get_epsilon(1 / 400), rel=1e-9)
    assert 0.99 * 6 <= facts["epsilon"] <= 6
    said = ended.out + ended.err
    assert f"ε = {facts['epsilon']:.4g} spent of 6, at δ = 0.0025, in 30 of 30 steps (rdp)" in said
    assert f"noise multiplier {facts['noise_multiplier']:.4g}, rate 0.1, 30 steps" in said
    card = (table / "out" / "model" / "README.md").read_text()
    assert f"the weights are ({facts['epsilon']:.4g}, 0.0025)-differentially private" in card
    assert "30 steps, gradients clipped to 1" in card and "who knows it can take it off again" in card
    assert facts["vectorised"] is True


@pytest.mark.slow
def test_frozen_texts_are_read_from_the_store_in_poisson_batches(train, table):
    first = train(*WORDS, FROZEN)
    assert stored(table)["store"]["text"]["what"] == "tokens"
    weights = (table / "out" / "model" / "model.safetensors").read_bytes()
    again = train(*WORDS, FROZEN, "hydra.run.dir=again")
    assert first.code == again.code == 0
    facts = json.loads((table / "again" / "metrics.json").read_text())
    assert facts["store"]["text"]["computed"] == 0 and facts["store"]["text"]["reused"] > 0
    assert (table / "again" / "model" / "model.safetensors").read_bytes() == weights  # the same seed
    without = train(*WORDS, FROZEN, "store.enabled=false", "hydra.run.dir=without")
    assert without.code == 0
    expected = MultimodalModel.from_pretrained(table / "again" / "model").state_dict()
    given = MultimodalModel.from_pretrained(table / "without" / "model").state_dict()
    for name, tensor in expected.items():
        np.testing.assert_allclose(given[name], tensor, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_adapters_learn_and_what_was_frozen_stays(train, table):
    ended = train(*WORDS, "encoders.text.lora={r:2}")
    assert ended.code == 0, ended.err
    assert "samples are differentiated one by one, which is slower" in ended.out + ended.err
    facts = stored(table)
    assert facts["privacy"]["vectorised"] is False and facts["store"]["text"]["what"] == "inputs"
    model = MultimodalModel.from_pretrained(table / "out" / "model")
    adapters = {n: p for n, p in model.encoders["text"].named_parameters() if "lora_B" in n}
    assert adapters and all(float(p.detach().abs().max()) > 0 for p in adapters.values())  # they begin at 0
    said = pd.read_parquet(table / "out" / "predictions" / "test.parquet")
    answers = model.predict([{"text": f"word{i % 2} {i}"} for i in range(4)])
    for row, answer in zip(said["label/probabilities"], answers, strict=True):
        assert dict(row) == pytest.approx(answer["label"]["probabilities"], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the encoder 'text': it is trained: .* Instead: encoders.text.frozen=true"),
        ((FROZEN, "trainer.gradient_clip_val=0.5"), "trainer.gradient_clip_val=0.5: it clips the gradient of a batch"),
        ((FROZEN, "privacy.delta=0.1"), "privacy.delta=0.1: it must be above 0 and below 1/N"),
        ((FROZEN, "balance=uncertainty"), "its weights follow from losses or gradients of whole batches"),
        (
            (FROZEN, "trainer.max_epochs=-1", "trainer.max_time=00:00:00:01"),
            "set trainer.max_epochs or trainer.max_steps",
        ),
    ],
)
def test_what_does_not_go_is_refused_with_code_2(train, table, words, message):
    ended = train(*WORDS, *words)
    assert ended.code == 2 and "Traceback" not in ended.err
    assert re.search(message, " ".join(ended.err.split())), ended.err
