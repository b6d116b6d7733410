"""Random changes to training samples: what they do, and that seed, epoch and row alone decide them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbert.core.errors import ConfigError
from mmbert.data.augment.audio import AudioAugmentation, shifted
from mmbert.data.augment.augmentation import Augmentation, sample_draw, sample_random
from mmbert.data.augment.image import ImageAugmentation, seeded
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.samplers import Seen
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.encoders.spec_augment import SpecAugment, stretch
from mmbert.encoders.text import TextEncoder

COVERS = ("audio", "image")

MODALITIES = ["text", "image", "audio"]


def picture(width=40, height=30):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def processor(**options):
    return ImageProcessor((16, 24), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), **options)


def changed(draw=0, **options):
    with seeded(sample_random(draw, "image")):
        return ImageAugmentation(**options)(picture(), processor())


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize(
    "options", [{"crop": [0.3, 0.8]}, {"flip": 0.5}, {"rand_augment": "rand-m7-n2"}, {"erasing": 0.7}]
)
def test_each_change_changes_some_pictures(options):
    plain = processor().prepare(picture())
    results = [changed(draw, **options) for draw in range(20)]
    assert all(result.shape == plain.shape and bool(result.isfinite().all()) for result in results)
    assert sum(not torch.equal(result, plain) for result in results) > 5
    assert torch.equal(changed(3, **options), changed(3, **options))


def test_a_flip_is_the_mirror_image():
    plain = processor(fit="stretch").prepare(picture())
    with seeded(sample_random(0, "image")):
        flipped = ImageAugmentation(flip=1.0)(picture(), processor(fit="stretch"))
    torch.testing.assert_close(flipped, plain.flip(2), atol=0.05, rtol=0.05)  # PIL resizes symmetrically to rounding


def test_a_crop_of_everything_is_the_stretched_picture():
    plain = processor(fit="stretch").prepare(picture())
    torch.testing.assert_close(changed(crop=[1.0, 1.0], crop_ratio=[4 / 3, 4 / 3]), plain)


def test_erasing_leaves_the_rest():
    plain = processor().prepare(picture())
    spoiled = changed(erasing=1.0)
    share = float((spoiled != plain).float().mean())
    assert 0.0 < share < 0.6


def test_global_random_states_stay_as_they_were():
    import random

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), float(torch.rand(()))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    changed(rand_augment="rand-m9-n3", erasing=0.5, flip=0.5, crop=[0.5, 1])
    assert (random.random(), np.random.random(), float(torch.rand(()))) == expected


# -------------------------------------------------------------------------------------------------------------- sounds


def sound(draw=0, seconds=0.5, **options):
    waveform = torch.sin(torch.arange(round(16000 * seconds)) / 9.0)
    return waveform, AudioAugmentation(**options)(waveform, 16000, sample_random(draw, "audio"))


def test_gain_is_within_its_decibels():
    gains = []
    for draw in range(40):
        before, after = sound(draw, gain_db=6.0)
        gains.append(20 * np.log10(float(after.norm() / before.norm())))
        torch.testing.assert_close(after, before * 10 ** (gains[-1] / 20))
    assert max(np.abs(gains)) <= 6.0 + 1e-3 and max(gains) > 3 and min(gains) < -3


def test_noise_lies_so_many_decibels_below():
    for draw in range(10):
        before, after = sound(draw, seconds=2, noise_snr_db=[12.0, 12.0])
        snr = 20 * np.log10(float(before.norm() / (after - before).norm()))
        assert snr == pytest.approx(12.0, abs=0.2)


@given(samples=st.integers(-12, 12), length=st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_a_shift_is_numpys(samples, length):
    waveform = torch.arange(1.0, length + 1)
    padded = np.concatenate([np.zeros(20), waveform.numpy(), np.zeros(20)])
    expected = padded[20 - samples : 20 - samples + length]
    np.testing.assert_array_equal(shifted(waveform, samples).numpy(), expected)


def test_a_shift_is_at_most_so_long():
    before, after = sound(1, shift_seconds=0.1)
    start = int((after != 0).nonzero()[0])
    assert abs(start) <= 1600 and len(after) == len(before) and not torch.equal(before, after)


# --------------------------------------------------------------------------------------------------- texts, modalities


def test_masked_tokens_are_so_many_and_never_special():
    text = TextEncoder("tiny").processor
    inputs = text.collate(["a" * 100, "b" * 50, None])
    many = [sample_random(draw, "text") for draw in range(3)]
    masked = text.mask_tokens(inputs, 0.3, many)
    changed_at = masked["input_ids"] != inputs["input_ids"]
    assert 0.15 < changed_at[0, 1:101].float().mean() < 0.45
    assert set(masked["input_ids"][changed_at].tolist()) == {text.tokenizer.mask_token_id}
    special = torch.isin(inputs["input_ids"], torch.tensor(text.tokenizer.all_special_ids))
    assert not changed_at[special | ~inputs["mask"]].any()


@given(
    chances=st.lists(st.floats(0, 0.99), min_size=3, max_size=3),
    present=st.sets(st.sampled_from(MODALITIES), min_size=1),
    draw=st.integers(0, 2**32),
)
@settings(max_examples=200, deadline=None)
def test_a_sample_keeps_at_least_one_modality_that_it_has(chances, present, draw):
    names = sorted(present)
    augmentation = Augmentation(modality_dropout=dict(zip(MODALITIES, chances, strict=True)))
    kept = augmentation.kept(names, draw)
    assert kept and set(kept) <= present
    assert kept == augmentation.kept(names, draw)


def test_modalities_are_dropped_as_often_as_said():
    augmentation = Augmentation(modality_dropout={"text": 0.5, "audio": 0.1})
    kept = [augmentation.kept(MODALITIES, sample_draw(0, 0, row)) for row in range(4000)]
    share = {name: np.mean([name not in names for names in kept]) for name in MODALITIES}
    assert share["image"] == 0 and share["text"] == pytest.approx(0.5, abs=0.04)
    assert share["audio"] == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": {"rand_augment": "randaugment"}}, "augment.image.rand_augment=randaugment is not in timm's words"),
        ({"image": {"flip": 2}}, "augment.image.flip=2 must be from 0 to 1"),
        ({"image": {"crop": [0.9, 0.5]}}, r"augment.image.crop=\[0.9, 0.5\] must be \[low, high\]"),
        ({"audio": {"gain_db": -1}}, "augment.audio.gain_db=-1 must be at least 0"),
        ({"audio": {"noise_snr_db": [9]}}, r"augment.audio.noise_snr_db=\[9\] must be"),
        ({"text": {"mask": 1.0}}, "augment.text.mask=1.0 must be at least 0 and below 1"),
        ({"modality_dropout": {"text": 1.2}}, "augment.modality_dropout=1.2 must be"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Augmentation(**options)


# --------------------------------------------------------------------------------------------------------- SpecAugment


def test_spec_augment_silences_stretches_within_the_sound():
    torch.manual_seed(0)
    frames, real = torch.ones(200, 30, 20), torch.arange(30) < torch.tensor([30, 12] * 100)[:, None]
    masked = SpecAugment(bands=5, frames=8, count=1, share=0.5)(frames, real)
    bands = (masked == 0).all(1)  # (B, N)
    times = (masked == 0).all(2)  # (B, L)
    assert bands.sum(1).max() == 5 and times.sum(1).max() == 8
    assert times[1::2, 12:].sum() == 0 and times[1::2].sum(1).max() <= 6
    torch.testing.assert_close((masked == 0), bands[:, None, :] | times[:, :, None])
    assert torch.equal(SpecAugment().eval()(frames, real), frames)


def test_a_stretch_is_one_piece():
    torch.manual_seed(0)
    chosen = stretch(12, torch.full((500,), 12), torch.full((500,), 4))
    edges = (chosen.int().diff(dim=1) != 0).sum(1) + chosen[:, 0].int() + chosen[:, -1].int()
    assert set(edges.tolist()) == {0, 2} and set(chosen.sum(1).tolist()) == {0, 1, 2, 3, 4}
    assert chosen.any(0).all()  # every place may be hit


def test_spec_augment_acts_in_training_alone():
    plain = MelspecCNN(out_dim=8, channels=[4], time_strides=[2], dropout=0.0)
    encoder = MelspecCNN(out_dim=8, channels=[4], time_strides=[2], dropout=0.0, spec_augment={"bands": 20})
    encoder.load_state_dict(plain.state_dict())
    inputs = {"waveform": torch.randn(2, 8000), "mask": torch.ones(2, 8000, dtype=torch.bool)}
    assert torch.equal(encoder.eval()(inputs).tokens, plain.eval()(inputs).tokens)
    assert not torch.equal(encoder.train()(inputs).tokens, plain.train()(inputs).tokens)


# -------------------------------------------------------------------------------------------------------- the whole way

EVERYTHING = {
    "image": {"crop": [0.5, 1.0], "flip": 0.5, "rand_augment": "rand-m5-n1", "erasing": 0.3},
    "audio": {"shift_seconds": 0.05, "noise_snr_db": [5, 20], "gain_db": 3.0},
    "text": {"mask": 0.2},
    "modality_dropout": 0.2,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    import csv

    import soundfile

    folder = tmp_path_factory.mktemp("augment")
    picture().save(folder / "a.png")
    soundfile.write(folder / "a.wav", np.sin(np.arange(6000) / 7) * 0.3, 16000)
    with open(folder / "m.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "image", "audio", "split", "label"])
        for row in range(24):
            split = "train" if row < 12 else "val" if row < 18 else "test"
            writer.writerow([f"row number {row}", "a.png", "a.wav", split, row % 2])
    return folder / "m.csv"


def connected(table, workers=0, seed=0, **augment):
    audio, text = MelspecCNN(), TextEncoder("tiny")
    data = MultimodalData(
        table, batch_size=4, num_workers=workers, seed=seed, augment=Augmentation(**augment) if augment else None
    )
    data.bind({"text": text.processor, "image": processor(), "audio": audio.processor}, {})
    return data


def epochs(data, count=2):
    """By (epoch, row), every tensor of the sample."""
    found = {}
    loader = data.train_dataloader()
    for epoch in range(count):
        for batch in loader:
            for place, row in enumerate(batch.rows.tolist()):
                found[epoch, row] = {
                    f"{name}/{key}": tensor[place]
                    for name, tensors in batch.inputs.items()
                    for key, tensor in tensors.items()
                }
    return found


def equal(one, other):
    return all(
        all(torch.equal(a, b) for a, b in zip(one[key].values(), other[key].values(), strict=True)) for key in one
    )


def test_workers_runs_and_nothing_else_change_no_sample(table):
    first = epochs(connected(table, **EVERYTHING))
    torch.manual_seed(99)
    assert equal(first, epochs(connected(table, **EVERYTHING)))
    assert equal(first, epochs(connected(table, workers=2, **EVERYTHING)))
    assert not equal(first, epochs(connected(table, seed=1, **EVERYTHING)))


def test_each_epoch_changes_anew(table):
    found = epochs(connected(table, **EVERYTHING))
    same = [torch.equal(found[0, row]["image/pixels"], found[1, row]["image/pixels"]) for row in range(12)]
    assert sum(same) < 4


def test_an_epoch_that_goes_on_in_the_middle_has_the_same_samples(table):
    whole = epochs(connected(table, **EVERYTHING))
    data = connected(table, workers=2, **EVERYTHING)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)
    loader.sampler.skip_once(Seen(8, 1))
    rest = [(batch.rows.tolist(), batch.inputs["audio"]["waveform"]) for batch in loader]
    for rows, waveforms in rest:
        for row, waveform in zip(rows, waveforms, strict=True):
            assert torch.equal(waveform, whole[1, row]["audio/waveform"])


def test_train_alone_is_changed(table):
    plain, spoiled = connected(table), connected(table, **EVERYTHING)
    for split in ("val", "test"):
        for one, other in zip(plain.loader(split), spoiled.loader(split), strict=True):
            for name, tensors in one.inputs.items():
                assert all(torch.equal(tensor, other.inputs[name][key]) for key, tensor in tensors.items())
    assert not equal(epochs(plain, 1), epochs(spoiled, 1))


def test_no_augmentation_changes_nothing(table):
    assert equal(epochs(connected(table)), epochs(connected(table, modality_dropout=0.0)))


def test_an_unknown_encoder_in_modality_dropout_is_told(table):
    with pytest.raises(ConfigError, match="modality_dropout names 'sound', which is no encoder: text, image, audio"):
        connected(table, modality_dropout={"sound": 0.2})
