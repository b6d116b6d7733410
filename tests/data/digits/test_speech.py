"""The demo set's sounds: utterances that depend on their own parameters alone, and noise as loud as declared."""

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.digits import speech
from mmbert.data.digits.speech import RATE_HZ, SoundDifficulty, Voice, hear, say, synthesise, voices

ALICE = Voice("en-us+f3", 170, 60, 50)
BOB = Voice("en-gb-scotland+m2", 140, 30, 40)


@pytest.fixture(scope="module")
def said():
    return {word: say(word, ALICE) for word in ("one", "seven", "twelve")}


def test_an_utterance_does_not_depend_on_what_was_said_before():
    first = synthesise("seven", ALICE)
    for word in ("twelve", "zero", "seven"):
        synthesise(word, BOB)
    assert synthesise("seven", ALICE) == first


@pytest.mark.parametrize(
    "other",
    [
        Voice("en-us+m1", 170, 60, 50),
        Voice("en-gb-scotland+f3", 170, 60, 50),
        Voice("en-us+f3", 220, 60, 50),
        Voice("en-us+f3", 170, 20, 50),
        Voice("en-us+f3", 170, 60, 90),
    ],
    ids=["speaker", "accent", "speed", "pitch", "range"],
)
def test_everything_about_a_voice_is_heard(other):
    assert synthesise("seven", other) != synthesise("seven", ALICE)


def test_a_faster_voice_is_shorter_and_a_higher_one_is_higher():
    slow, fast = (len(say("eleven", Voice("en-us+m1", rate, 50, 50))) for rate in (120, 220))
    assert slow > 1.3 * fast
    low, high = (fundamental_hz(say("one", Voice("en-us+m1", 150, pitch, 10))) for pitch in (15, 85))
    assert high > 1.3 * low


def fundamental_hz(sound):
    """How far apart the harmonics in the middle of a sound lie: the peak of its cepstrum between 50 and 350 Hz."""
    middle = sound[len(sound) // 4 : 3 * len(sound) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 15))
    cepstrum = np.fft.irfft(np.log(spectrum + 1e-3))
    lags = np.arange(RATE_HZ // 350, RATE_HZ // 50)
    return RATE_HZ / lags[np.argmax(cepstrum[lags])]


def test_an_utterance_is_trimmed_scaled_and_a_word_long(said):
    for sound in said.values():
        assert sound.dtype == np.float32
        assert np.abs(sound).max() == pytest.approx(1.0, abs=0.1)  # 1 before the change of rate
        assert 0.15 < len(sound) / RATE_HZ < 1.2
        assert np.abs(sound[:160]).max() > 0.005
    assert len(said["seven"]) > len(said["one"]) * 0.8


def test_the_change_of_rate_keeps_pitch_and_length():
    seconds = np.arange(22050) / 22050
    tone = np.sin(2 * np.pi * 440 * seconds).astype(np.float32)
    out = speech.resample(tone)
    assert len(out) == 16000
    assert np.argmax(np.abs(np.fft.rfft(out))) == 440


def test_an_unknown_voice_is_named():
    with pytest.raises(DataError, match="espeak-ng has no voice 'en-moon\\+f3'"):
        synthesise("one", Voice("en-moon+f3", 150, 50, 50))


def test_voices_of_the_test_splits_share_no_accent_and_no_speaker_with_the_others():
    known, fresh = voices(50, False, 0), voices(20, True, 0)
    assert (len(known), len(fresh)) == (50, 20)
    for part in (0, 1):  # accent + speaker
        assert not {v.name.split("+")[part] for v in known} & {v.name.split("+")[part] for v in fresh}
    assert len({v.name for v in known}) == 50
    assert len({v.pitch for v in known}) > 20
    assert len({v.words_per_minute for v in known}) > 20
    assert voices(50, False, 0) == known != voices(50, False, 1)


def test_every_speaker_and_accent_is_another_sound():
    """espeak-ng falls silently back to its default speaker where it does not know one."""
    names = [f"en-us+{s}" for s in speech.SPEAKERS + speech.UNSEEN_SPEAKERS]
    names += [f"{a}+m1" for a in speech.ACCENTS[1:] + speech.UNSEEN_ACCENTS]
    sounds = {synthesise("four nine zero", Voice(name, 150, 50, 50)) for name in [*names, "en-us+nobody"]}
    assert len(sounds) == len(names) + 1


@pytest.mark.parametrize("snr", [-8.0, 0.0, 12.0])
@pytest.mark.parametrize("reverberation", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_noise_is_as_loud_as_declared(said, snr, reverberation, seed):
    """Speech and noise alone are had from the same draws at ratios of +-300 dB; a fit tells how much of each is in."""

    def mix(ratio):
        difficulty = SoundDifficulty(ratio, ratio, reverberation)
        return hear(said["seven"], list(said.values()), np.random.default_rng(seed), difficulty)

    heard, declared = mix(snr)
    clean, noise = mix(300.0)[0], mix(-300.0)[0]
    assert declared == snr
    parts = np.stack([clean, noise], 1).astype(float)
    (much, little), error, *_ = np.linalg.lstsq(parts, heard.astype(float))
    assert error[0] < 1e-6 * np.square(heard).sum()  # nothing else is in the sound
    start = int(np.flatnonzero(np.abs(clean) > 1e-4 * np.abs(clean).max())[0])
    spoken = slice(start, start + len(said["seven"]))
    power = [np.mean((scale * part[spoken]) ** 2) for scale, part in ((much, clean), (little, noise))]
    assert 10 * np.log10(power[0] / power[1]) == pytest.approx(snr, abs=0.2)


def test_a_sound_is_audible_never_clipped_and_about_a_word_long(said):
    peaks, lengths = [], []
    for seed in range(60):
        sound, ratio = hear(said["twelve"], list(said.values()), np.random.default_rng(seed), SoundDifficulty())
        assert sound.dtype == np.float32
        assert SoundDifficulty().snr_low_db <= ratio <= SoundDifficulty().snr_high_db
        peaks.append(np.abs(sound).max())
        lengths.append(len(sound) - len(said["twelve"]))
    assert 0.29 < min(peaks) < 0.4
    assert 0.85 < max(peaks) <= 0.9501
    assert 0.04 * RATE_HZ - 2 <= min(lengths) < max(lengths) <= 0.3 * RATE_HZ


def test_noise_comes_in_three_colours(said):
    """White noise is as strong above 4 kHz as below; pink is weaker there; babble is speech, weaker still."""
    shares = []
    for seed in range(60):
        noise = speech.background(16000, list(said.values()), np.random.default_rng(seed))
        power = np.abs(np.fft.rfft(noise)) ** 2
        shares.append(power[4000:].sum() / power.sum())
    white = [share for share in shares if share > 0.45]
    assert white == pytest.approx([0.5] * len(white), abs=0.05)
    assert 10 < len(white) < 32
    assert sum(share < 0.2 for share in shares) > 10
