"""IEMOCAP: excitement is happiness, a session is test, macOS's files and utterances without agreement do not count."""

import numpy as np
import pytest
import soundfile

from mmbert.core.errors import DataError
from mmbert.data.sets.iemocap import Iemocap
from prepared_sets import built, splits_of


@pytest.fixture
def folder(tmp_path):
    for session in range(1, 6):
        place, name = tmp_path / f"Session{session}", f"Ses0{session}F_impro01"
        for part in ("dialog/EmoEvaluation", "dialog/transcriptions", f"sentences/wav/{name}"):
            (place / part).mkdir(parents=True)
        judged = [
            "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
            "",
            f"[8.1000 - 9.0000]\t{name}_M000\texc\t[4.0000, 3.5000, 3.0000]",
            "C-E1:\tExcited;\t()",
            f"[6.2901 - 8.2357]\t{name}_F000\tneu\t[2.5000, 2.5000, 2.5000]",
            f"[9.5000 - 9.9000]\t{name}_F001\txxx\t[2.5000, 2.5000, 2.5000]",
            f"[10.000 - 11.000]\t{name}_M001\tfru\t[1.5000, 2.5000, 2.5000]",
        ]
        (place / "dialog/EmoEvaluation" / f"{name}.txt").write_text("\n".join(judged))
        (place / "dialog/EmoEvaluation" / f"._{name}.txt").write_bytes(b"\x00\x05\x16\x07")
        said = [
            f"{name}_F000 [006.2901-008.2357]: Excuse me.",
            f"{name}_M000 [008.1000-009.0000]: Great!",
            "F: [LAUGHTER]",
        ]
        (place / "dialog/transcriptions" / f"{name}.txt").write_text("\n".join(said))
        for utterance in ("F000", "M000", "F001", "M001"):
            soundfile.write(place / "sentences/wav" / name / f"{name}_{utterance}.wav", np.zeros(160), 16000)
    return tmp_path


def test_four_classes_of_four_sessions_train_and_one_is_test(folder, tmp_path):
    data, rows = built(Iemocap, folder, tmp_path / "home")
    assert {split: len(ids) for split, ids in splits_of(rows).items()} == {"train": 6, "val": 2, "test": 2}
    assert splits_of(rows)["test"] == ["Ses05F_impro01_F000", "Ses05F_impro01_M000"]
    assert splits_of(rows)["val"] == ["Ses04F_impro01_F000", "Ses04F_impro01_M000"]
    first, second = rows[:2]
    assert (first["emotion"], first["text"], first["speaker"], first["valence"]) == (
        "neutral",
        "Excuse me.",
        "Ses01F",
        "2.5",
    )
    assert (second["emotion"], second["category"], second["speaker"]) == ("happiness", "exc", "Ses01M")
    assert (data.path.parent / first["audio"]).is_file()
    assert any("10 utterances without one of the four classes" in note for note in data.notes)


def test_all_utterances_may_stay_unlabelled_where_nobody_agreed(folder, tmp_path):
    _, rows = built(Iemocap, folder, tmp_path / "home", labelled="all", test_session=1)
    assert len(rows) == 20 and {row["split"] for row in rows[:4]} == {"test"}
    assert {row["split"] for row in rows if row["session"] == "5"} == {"val"}
    unclear, frustrated = rows[2:4]
    assert (unclear["emotion"], unclear["category"]) == ("", "")
    assert (frustrated["emotion"], frustrated["category"], frustrated["text"]) == ("", "fru", "")


def test_one_session_is_not_both(folder, tmp_path):
    with pytest.raises(DataError, match="cannot be test and val at once"):
        built(Iemocap, folder, tmp_path / "home", val_session=5)
