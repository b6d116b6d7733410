"""The check of a table: planted faults are found, with their rows, and nothing else is."""

import io
import json

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbert.core.privacy import WITHHELD, Privacy
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.perceptual_hash import NEAR, distance, near_pairs, perceptual_hash
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality.check import EncoderInput, check_data
from mmbert.data.quality.page import data_page, histogram
from mmbert.data.quality.report import Spread
from mmbert.data.quality.shared import shared_cells
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression

COVERS = ("page", "report", "shared")


def picture(seed, size=(96, 80)):
    """Smooth blobs: like a photograph, most of it lies in the low frequencies."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def recompressed(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


class TestPerceptualHash:
    def test_equals_the_sum_of_cosines(self):
        image = picture(3)
        grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
        n, k = np.arange(32), np.arange(8)
        cosines = np.cos(np.pi * (2 * n[None] + 1) * k[:, None] / 64)
        scale = np.where(k == 0, np.sqrt(1 / 32), np.sqrt(2 / 32))
        low = (scale[:, None] * cosines) @ grey @ (scale[:, None] * cosines).T
        bits = (low > np.median(low)).ravel()
        assert perceptual_hash(image) == sum(int(bit) << (63 - place) for place, bit in enumerate(bits))

    @pytest.mark.parametrize("seed", range(8))
    def test_survives_scaling_compression_and_brightness(self, seed):
        image = picture(seed)
        original = perceptual_hash(image)
        assert distance(original, perceptual_hash(image.resize((240, 200)))) <= NEAR
        assert distance(original, perceptual_hash(recompressed(image, 75))) <= NEAR
        assert distance(original, perceptual_hash(image.point(lambda v: int(v * 0.9 + 8)))) <= NEAR

    def test_other_pictures_are_far(self):
        hashes = [perceptual_hash(picture(seed)) for seed in range(40)]
        assert list(near_pairs(hashes)) == []

    def test_one_grey_has_no_hash(self):
        assert perceptual_hash(Image.new("RGB", (50, 50), "teal")) is None

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.integers(0, 2**12 - 1), max_size=40), st.integers(0, 4))
    def test_near_pairs_are_those_of_every_pair_tried(self, hashes, limit):
        tried = [(i, j) for j in range(len(hashes)) for i in range(j) if (hashes[i] ^ hashes[j]).bit_count() <= limit]
        assert sorted(near_pairs(hashes, limit, bits=12)) == sorted(tried)


@pytest.fixture
def make(tmp_path):
    """``make(rows)``: data whose table has these rows, files beside it."""

    def made(rows, **options):
        (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return MultimodalData(tmp_path / "table.jsonl", num_workers=0, **options)

    for name in ("a", "b", "c"):
        picture(ord(name)).save(tmp_path / f"{name}.png")
        sound = np.random.default_rng(ord(name)).normal(0, 0.1, 8000)
        soundfile.write(tmp_path / f"{name}.wav", sound, 16000)
    return made


def rows_of_three(**changes):
    """A sound table: one row in each split; changes by split."""
    rows = {}
    for split, name in (("train", "a"), ("val", "b"), ("test", "c")):
        rows[split] = {"text": f"words of {name}", "image": f"{name}.png", "audio": f"{name}.wav", "label": "yes"}
        rows[split] |= {"split": split, **changes.get(split, {})}
    return list(rows.values())


TEXT_ALONE = {"text": EncoderInput(modality_named("text"))}
READS = {kind: EncoderInput(modality_named(kind)) for kind in ("text", "image", "audio")}
TASKS = {"answer": Classification(1, "label", ["yes", "no"])}


def others(report):
    """All findings but those on numbers of classes: these tables have one row in each split."""
    return [finding for finding in report.findings if not finding.what.startswith("answer: classes with a single row")]


def found(report):
    return [(finding.severity, finding.what) for finding in others(report)]


class TestFindings:
    def test_a_split_without_any_label_is_told_but_for_train(self, make):
        report = check_data(make(rows_of_three(test={"label": None})), TEXT_ALONE, TASKS)
        told = "answer, column 'label': no row of 'test' has a label, so nothing is measured on it"
        assert found(report) == [("warning", told)]

    def test_a_sound_table_has_none(self, make):
        report = check_data(make(rows_of_three()), READS, TASKS)
        assert found(report) == []
        train = report.splits["train"]
        assert train.rows == 1 and train.missing == {"text": 0, "image": 0, "audio": 0}
        assert train.labels == {"answer": {"yes": 1, "no": 0}} and train.unlabelled == {"answer": 0}
        assert train.spreads["audio"]["seconds"].median == 0.5 and train.spreads["audio"]["hertz"].most == 16000
        assert (train.spreads["image"]["width"].least, train.spreads["image"]["height"].least) == (96, 80)
        assert train.spreads["text"]["characters"].most == 10 and train.spreads["text"]["words"].most == 3

    def test_files_that_cannot_be_read_are_named_with_their_rows(self, make, tmp_path):
        (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
        (tmp_path / "b.wav").write_bytes(b"")
        (tmp_path / "c.wav").unlink()
        report = check_data(make(rows_of_three()), READS, TASKS)
        assert [severity for severity, _ in found(report)] == ["error"] * 3
        truncated, empty, gone = sorted(others(report), key=lambda finding: finding.rows)
        assert truncated.what.startswith("image, column 'image': this is no picture that can be read")
        assert truncated.rows == ["row 1 (line 1) a.png"] and str(tmp_path) not in truncated.what
        assert empty.what == "audio, column 'audio': the file is empty (0 bytes)" and "row 2" in empty.rows[0]
        assert gone.what == "audio, column 'audio': there is no such file" and "c.wav" in gone.rows[0]

    def test_what_was_guessed_of_the_file(self, tmp_path):
        lines = ["text;label;split", *(f"words {split};yes;{split}" for split in ("train", "val", "test"))]
        (tmp_path / "a.csv").write_text("\n".join(lines))
        report = check_data(MultimodalData(tmp_path / "a.csv", num_workers=0), TEXT_ALONE, TASKS)
        assert found(report) == [
            ("warning", "a.csv: its cells are separated by semicolons, not by commas, and are read so")
        ]

    def test_what_is_read_otherwise_than_one_may_think_is_a_warning(self, make, tmp_path):
        whole = (tmp_path / "b.wav").read_bytes()
        (tmp_path / "b.wav").write_bytes(whole[:8_000])  # 0.25 of 0.5 seconds
        reads = {"audio": EncoderInput(modality_named("audio"), {"max_seconds": 0.2})}
        (remark,) = others(check_data(make(rows_of_three()), reads, TASKS))
        assert (remark.severity, remark.count, remark.rows) == ("warning", 1, ["row 2 (line 2) b.wav"])
        assert remark.what == "audio, column 'audio': the sound breaks off after the 0.2 seconds that are read"

    def test_leaks_between_splits(self, make, tmp_path):
        (tmp_path / "d.wav").write_bytes((tmp_path / "a.wav").read_bytes())
        recompressed(picture(ord("a")), 60).save(tmp_path / "d.png")
        changes = {"text": "WORDS  of a", "audio": "d.wav", "image": "d.png"}
        report = check_data(make(rows_of_three(test=changes)), READS, TASKS)
        assert found(report) == [
            ("warning", "text: rows of 'test' whose text is in 'train' too"),
            ("warning", "image: rows of 'test' that look nearly the same as a picture in 'train'"),
            ("warning", "audio: rows of 'test' whose content is in 'train' too, byte for byte"),
        ]
        assert all(finding.rows == [finding.rows[0]] and "row 3" in finding.rows[0] for finding in others(report))

    def test_a_text_is_the_same_however_its_accents_are_spelt(self, make):
        rows = rows_of_three(train={"text": "caf\u00e9"}, test={"text": "CAFE\u0301 "})
        assert found(check_data(make(rows), TEXT_ALONE, TASKS)) == [
            ("warning", "text: rows of 'test' whose text is in 'train' too")
        ]

    def test_the_same_within_one_split_is_no_leak(self, make):
        rows = rows_of_three()
        assert found(check_data(make([*rows, rows[0]]), READS, TASKS)) == []

    def test_classes(self, make):
        rows = rows_of_three(val={"label": "no"}, test={"label": "perhaps"})
        report = check_data(make(rows), READS, TASKS)
        (error, warning, lost) = others(report)
        assert error.severity == "error" and "'perhaps' is no class" in error.what and "row 3" in error.rows[0]
        assert warning.what == "answer: 'val' has classes that train never shows: no" and warning.count == 1
        assert lost.what == "answer: 'val' has no row of classes that train shows, so says nothing of: yes"

    def test_labels_of_other_kinds(self, make):
        rows = rows_of_three(train={"label": 2.5}, val={"label": "abc"}, test={"label": None})
        report = check_data(make(rows), TEXT_ALONE, {"size": Regression(1, "label")})
        error, warning = sorted(report.findings, key=lambda finding: finding.severity)
        assert (error.severity, warning.severity) == ("error", "warning") and "abc" in error.what
        assert "no row of 'test' has a label" in warning.what
        assert report.splits["train"].spreads["size"]["value"].most == 2.5
        assert report.splits["test"].unlabelled == {"size": 1}
        rows = rows_of_three(train={"label": "x|y"}, val={"label": "y"}, test={"label": ""})
        report = check_data(make(rows), TEXT_ALONE, {"tags": Multilabel(1, "label", ["x", "y"])})
        assert report.splits["train"].labels["tags"] == {"x": 1, "y": 1}

    def test_missing_modalities_and_rows_without_any(self, make):
        nothing = {"text": "", "image": "", "audio": None}
        report = check_data(make(rows_of_three(train={"image": ""}, test=nothing)), READS, TASKS)
        assert report.splits["train"].missing == {"text": 0, "image": 1, "audio": 0}
        assert found(report) == [("error", "every modality is missing (text, image, audio are empty)")]

    def test_features(self, make, tmp_path):
        np.save(tmp_path / "a.npy", np.ones((5, 4), np.float32))
        np.save(tmp_path / "b.npy", np.full((2, 4), np.nan, np.float32))
        np.save(tmp_path / "c.npy", np.ones((3, 7), np.float32))
        rows = rows_of_three(
            **{split: {"pose": f"{n}.npy"} for split, n in zip(("train", "val", "test"), "abc", strict=True)}
        )
        report = check_data(make(rows), {"pose": EncoderInput(modality_named("features"))}, TASKS)
        whats = [what for _, what in found(report)]
        assert any("not finite" in what for what in whats)
        assert "pose: vectors of 7 numbers where 4 are needed" in whats and len(whats) == 2
        assert report.splits["train"].spreads["pose"]["length"].most == 5

    def test_features_in_the_cells(self, make):
        rows = rows_of_three(
            **{split: {"pose": [n, 2.0]} for split, n in zip(("train", "val", "test"), (1.0, 5.0, 1.0), strict=True)}
        )
        report = check_data(make(rows), {"pose": EncoderInput(modality_named("features"))}, TASKS)
        assert found(report) == [("warning", "pose: rows of 'test' whose content is in 'train' too, byte for byte")]

    def test_as_json_can_be_written(self, make):
        plain = json.loads(json.dumps(check_data(make(rows_of_three()), READS, TASKS).as_json()))
        assert plain["splits"]["train"]["spreads"]["audio"]["seconds"] == {"least": 0.5, "median": 0.5, "most": 0.5}


def test_the_page_escapes_what_the_table_holds(make, tmp_path):
    rows = rows_of_three(test={"text": "<script>alert(1)</script>", "label": "<b>"})
    data = make(rows)
    (tmp_path / "b.png").write_bytes(b"broken")
    html = data_page(
        check_data(data, READS, TASKS), data, {name: reads.modality for name, reads in READS.items()}, TASKS
    )
    assert "<script" not in html and "&lt;script&gt;" in html and "&lt;b&gt;" in html
    assert (
        html.count("<audio") == 3 and html.count("<img") == 2 and "http://" not in html.replace("http://www.w3.org", "")
    )
    assert "this is no picture" in html


def test_a_private_report_quotes_no_cell(make, tmp_path):
    rows = rows_of_three(test={"text": "anna@b.org", "image": "anna@b.org.png", "label": "anna@b.org"})
    data = make(rows)
    report, inputs = check_data(data, READS, TASKS), {name: reads.modality for name, reads in READS.items()}
    pages = {}
    for privacy in (Privacy(), Privacy(mask=["email"]), Privacy(samples=False)):
        private = report.private(privacy)
        pages[len(pages)] = json.dumps(private.as_json()) + data_page(private, data, inputs, TASKS, privacy)
        assert [finding.count for finding in private.findings] == [finding.count for finding in report.findings]
    assert pages[0].count("anna") > 4 and "<img" in pages[0]
    assert "anna" not in pages[1] and pages[1].count("[email]") > 4 and "<img" in pages[1]
    assert "anna" not in pages[2] and "words of" not in pages[2] and "<img" not in pages[2] and "<audio" not in pages[2]
    assert f"image, column 'image': {WITHHELD}" in pages[2] and "row 3" in pages[2]


def test_spread_of_nothing():
    assert Spread.of([]) is None


def test_what_every_run_says_of_shared_cells(make):
    class Kind:
        def __init__(self, kind):
            self.kind = kind

    data = make(rows_of_three(test={"image": "a.png", "text": ""}, train={"text": ""}, val={"audio": "a.wav"}))
    data.processors = {name: Kind(name) for name in READS}
    assert shared_cells(data) == [
        "1 of 1 rows of 'test' have their file (column 'image') in train too",
        "1 of 1 rows of 'val' have their file (column 'audio') in train too",
    ]


class TestFilesOutside:
    """Files that a table names outside its folder."""

    @pytest.fixture
    def theirs(self, tmp_path):
        (tmp_path / "set").mkdir()
        picture(0).save(tmp_path / "private.png")
        names = ["../private.png", *(f"{n}.png" for n in range(5))]
        for n in range(5):
            picture(n + 1).save(tmp_path / "set" / f"{n}.png")
        rows = [
            f"{name},{split}" for name, split in zip(names, ["train"] * 2 + ["val"] * 2 + ["test"] * 2, strict=True)
        ]
        (tmp_path / "set" / "t.csv").write_text("\n".join(["image,split", *rows]) + "\n")
        return tmp_path / "set" / "t.csv"

    def check(self, table, **options):
        data = MultimodalData(table, num_workers=0, **options)
        report = check_data(data, {"image": EncoderInput(modality_named("image"))}, {})
        return data, report

    def test_are_a_warning(self, theirs):
        data, report = self.check(theirs)
        (finding,) = report.findings
        assert (finding.severity, finding.count) == ("warning", 1)
        assert finding.what.startswith("image, column 'image': a file outside the table's folder")
        assert finding.rows == ["row 1 (line 2) ../private.png"]
        assert len(report.splits["train"].spreads["image"]["width"].values) == 2

    def test_are_an_error_and_not_opened_where_that_is_forbidden(self, theirs):
        (theirs.parent.parent / "private.png").write_bytes(b"no picture, which would be a finding")
        data, report = self.check(theirs, trusted=False)
        (finding,) = report.findings
        assert (finding.severity, finding.count) == ("error", 1) and "data.trusted=false does not read" in finding.what
        assert len(report.splits["train"].spreads["image"]["width"].values) == 1
        assert data_page(report, data, {"image": modality_named("image")}, {}).count("<img") == 5


def test_rows_that_are_left_out_for_a_gap_are_counted_and_checked_no_further(tmp_path):
    rows = [f"{text},{split}" for split in ("train", "val", "test") for text in ("a", "b", "")]
    (tmp_path / "t.csv").write_text("\n".join(["text,split", *rows]) + "\n")
    data = MultimodalData(tmp_path / "t.csv", columns={"text": "text"}, num_workers=0, rows_without="skip")
    report = check_data(data, {"text": EncoderInput(modality_named("text"))}, {})
    counted = [finding for finding in report.findings if "data.rows_without=skip" in finding.what]
    assert (counted[0].severity, counted[0].count) == ("warning", 3)
    assert not report.errors and {facts.rows for facts in report.splits.values()} == {2}


def test_a_split_may_be_called_like_a_formula():
    assert "<svg" in histogram({"$a_$": Spread.of([1.0, 2.0]), "$": Spread.of([2.0, 3.0])})
