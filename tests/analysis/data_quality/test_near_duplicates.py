"""Near-duplicates: copies that were changed a little are found in each modality, and what they differ in is named."""

import numpy as np
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.feature_extraction.text import HashingVectorizer

from mmbert.analysis.data_quality.likeness import NEAR_TEXT, alike_groups, near_texts, plain_words, sound_fingerprint
from mmbert.analysis.data_quality.near_duplicates import groups_of_duplicates
from mmbert.data.modalities.audio import AudioModality
from mmbert.data.modalities.image import ImageModality
from mmbert.data.modalities.text import TextModality

COVERS = ("likeness",)


def test_texts():
    texts = ["A red house on a hill", "a  RED house on a hill.", "a blue boat", "Hi", "hi"]
    assert sorted(set(near_texts([plain_words(text) for text in texts]))) == [(0, 1), (3, 4)]
    groups = alike_groups([*texts, None], ".", TextModality())
    assert groups[0] == groups[1] != groups[2] and groups[3] == groups[4] and groups[5] == -1


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=10)
def test_no_near_pair_of_texts_is_missed(seed):
    """The table of all cosines says which are near; pairs of equal texts come whatever their length."""
    random = np.random.default_rng(seed)
    words = ["house", "boat", "red", "blue", "hill", "a", "on", "the", "sails", "stands", "small", "by"]
    texts = [" ".join(random.choice(words, random.integers(1, 12))) for _ in range(20)]
    texts += [f"{text} {random.choice(words)}" for text in texts] + texts[:3]
    counts = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), alternate_sign=False).transform(texts)
    expected = {(int(i), int(j)) for i, j in np.argwhere((counts @ counts.T).toarray() >= NEAR_TEXT) if i < j}
    equal = {(i, j) for j in range(len(texts)) for i in range(j) if texts[i] == texts[j]}
    found = set(near_texts(texts))
    assert expected - equal <= found <= expected | equal


def test_a_file_is_read_once(tmp_path, monkeypatch):
    """Decoding is what takes the time: of 1,000 sounds 20 seconds."""
    random, read = np.random.default_rng(0), []
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", tone(random), 8000)
        Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    for modality, ending in ((AudioModality(), "wav"), (ImageModality(), "png")):
        decode = type(modality).decode

        def counted(self, source, *args, decode=decode, **kwargs):
            read.append(str(source))
            return decode(self, source, *args, **kwargs)

        monkeypatch.setattr(type(modality), "decode", counted)
        alike_groups([f"{i}.{ending}" for i in range(4)], tmp_path, modality)
    assert len(read) == len(set(read)) == 8


def tone(random, seconds=1.0, rate=8000):
    """A chirp of its own with a rhythm of its own."""
    t = np.arange(int(seconds * rate)) / rate
    f, g = random.uniform(150, 1500), random.uniform(500, 2500)
    return 0.3 * np.sin(2 * np.pi * (f * t + g * t**2 / 2)) * (0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(2, 9) * t))


def test_sounds(tmp_path):
    random = np.random.default_rng(0)
    sounds = [tone(random) for _ in range(6)]
    copies = [0.5 * sounds[0], sounds[1] + 0.0005 * random.standard_normal(8000)]
    for i, sound in enumerate([*sounds, *copies]):
        soundfile.write(tmp_path / f"{i}.wav", sound, 8000)
    groups = alike_groups([f"{i}.wav" for i in range(8)], tmp_path, AudioModality())
    assert groups[6] == groups[0] and groups[7] == groups[1] and len(set(groups.tolist())) == 6
    assert sound_fingerprint(np.zeros(8000), 8000) is None and sound_fingerprint(np.ones(10), 8000) is None


def test_pictures_and_unreadable_files(tmp_path):
    random = np.random.default_rng(0)
    for i in range(3):
        small = Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        small.resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
    Image.open(tmp_path / "0.png").resize((48, 48)).save(tmp_path / "3.jpg", quality=90)
    (tmp_path / "4.png").write_bytes(b"no picture")
    cells = ["0.png", "1.png", "2.png", "3.jpg", "4.png", "1.png"]
    groups = alike_groups(cells, tmp_path, ImageModality()).tolist()
    assert groups[3] == groups[0] and groups[5] == groups[1] and groups[4] == -1 and len(set(groups)) == 4


def test_groups_name_what_they_differ_in_worst_first():
    groups = {"text": np.array([0, 0, 1, 1, 2, 0, -1]), "image": np.array([0, 0, 1, 2, 3, 3, -1])}
    splits = ["train", "test", "train", "train", "train", "train", "val"]
    labels = {"kind": ["a", "b", "c", "c", "d", None, "e"]}
    found = groups_of_duplicates(groups, splits, labels)
    whole = found[0]
    assert (whole.rows, whole.alike, whole.unlike, whole.splits) == ([0, 1], ["text", "image"], [], ["train", "test"])
    assert whole.labels == {"kind": ["a", "b"]}
    # rows 2 and 3 share a text, a split and a label: ordinary; 0, 1 and 5 a text in two splits; 4 and 5 a picture alone
    assert [(group.rows, group.alike) for group in found[1:]] == [([0, 1, 5], ["text"])]


def test_rows_that_lack_all_modalities_are_no_duplicates():
    nothing = {"text": np.array([-1, -1]), "image": np.array([-1, -1])}
    assert groups_of_duplicates(nothing, ["train", "train"], {}) == []
