"""encoders_from: encoders begin with the weights that another run has given them."""

import pytest
import torch
from safetensors.torch import load_file

from mmbert.core.errors import ConfigError, InputError
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.model import MultimodalModel
from mmbert.model.initial_weights import check_same_encoder, load_initial_weights
from mmbert.training.build import build

FROZEN = ("encoders.image.frozen=true", "encoders.text.frozen=true", "encoders.audio.frozen=true")


def saved(run):
    return load_file(run / "model" / "model.safetensors")


def weights_of(parts, name):
    return parts.model.encoders[name].state_dict()


def same(weights, run, name):
    file = saved(run)
    return all(torch.equal(tensor, file[f"encoders.{name}.{key}"]) for key, tensor in weights.items())


def test_every_encoder_of_the_run_is_taken_over(compose_tiny, finished_run):
    fresh = build(compose_tiny("seed=5"))
    parts = build(compose_tiny("seed=5", f"encoders_from={finished_run}"))
    for name in ("text", "image", "audio"):
        assert same(weights_of(parts, name), finished_run, name)
        assert not same(weights_of(fresh, name), finished_run, name)
    assert parts.initial_weights == dict.fromkeys(("text", "image", "audio"), str(finished_run))
    assert fresh.initial_weights == {}


def test_one_may_be_named_and_the_others_stay(compose_tiny, finished_run):
    # the model's own folder will do, as for every command
    parts = build(compose_tiny("seed=5", f"encoders_from={{image: {finished_run}/model}}"))
    assert same(weights_of(parts, "image"), finished_run, "image")
    assert not same(weights_of(parts, "audio"), finished_run, "audio")


def test_an_encoder_that_the_run_lacks_stays_as_it_is(compose_tiny, finished_run):
    words = ("image@encoders.scan=tiny", "data.columns.scan=image", f"encoders_from={finished_run}")
    parts = build(compose_tiny(*(f"+{word}" if "columns" in word or "@" in word else word for word in words)))
    assert set(parts.initial_weights) == {"text", "image", "audio"}


def test_what_was_taken_over_is_announced_and_stands_in_the_card(compose_tiny, finished_run, tmp_path, capsys):
    from mmbert.training.run import run

    words = (f"encoders_from={{image: {finished_run}}}", "trainer.max_epochs=1", "logger=none", "plots=false", *FROZEN)
    run(compose_tiny(*words), tmp_path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if f"frozen, from {finished_run}" in line]
    assert line.strip().startswith("image")
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"encoders_from={finished_run}" in card
    kept = MultimodalModel.from_pretrained(tmp_path / "model").encoders["image"].state_dict()
    assert kept and same(kept, finished_run, "image")  # frozen: still what it was


@pytest.mark.parametrize(
    ("word", "more", "error", "message"),
    [
        ("nowhere", (), InputError, "nowhere holds no saved model"),
        ("{picture: RUN}", (), ConfigError, "encoders_from.picture: there is no such encoder. .*image"),
        ("{scan: RUN}", ("+image@encoders.scan=tiny", "+data.columns.scan=image"), ConfigError,
         "encoders_from.scan=.*: its encoders are text, image, audio"),
        ("RUN", ("audio=melspec_cnn",), ConfigError, r"encoders.audio.channels is \[16, 32, 64\] here, but"),
        ("RUN", ("text=none", "image=none", "audio=none", "+image@encoders.scan=tiny", "+data.columns.scan=image",
                 "++data.splits.test_missing=null"), InputError, "has none of the encoders scan"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_told(compose_tiny, finished_run, word, more, error, message):
    with pytest.raises(error, match=message):
        build(compose_tiny(*more, f"encoders_from={word.replace('RUN', str(finished_run))}"))


def test_an_encoder_with_other_options_is_refused():
    encoder = MelspecCNN(24, (4, 8), (2, 2), 16)
    saved = {
        "class": "mmbert.encoders.melspec_cnn.MelspecCNN",
        "args": {**encoder.init_args, "channels": [4, 8], "time_strides": [2, 2]},
    }
    check_same_encoder("audio", encoder, saved, "a run")
    other = {**saved, "args": {**saved["args"], "channels": [4, 9]}}
    with pytest.raises(ConfigError, match=r"encoders.audio.channels is \[4, 8\] here, but \[4, 9\] in a run"):
        check_same_encoder("audio", encoder, other, "a run")
    with pytest.raises(ConfigError, match="'audio' is mmbert.encoders.melspec_cnn.MelspecCNN here, but a.B in a run"):
        check_same_encoder("audio", encoder, {**saved, "class": "a.B"}, "a run")
    assert load_initial_weights({"audio": encoder}, None) == {}
