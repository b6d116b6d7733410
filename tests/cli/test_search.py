"""mmbert-search and mmbert-zero-shot from the command line."""

import json

import numpy as np
import pytest

from mmbert.cli import search, zero_shot
from mmbert.model import MultimodalModel
from mmbert.search.embedder import Embedder
from mmbert.tasks.classification import Classification
from retrieval_model import fill_folder, retrieval_model

COVERS = ("zero_shot",)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    retrieval_model().save_pretrained(folder / "model")
    fill_folder(folder / "photos")
    lines = [f"picture{i}.png,even,{'test' if i else 'train'}" for i in (0, 2, 4)]
    (folder / "photos" / "t.csv").write_text("\n".join(["image,kind,split", *lines]) + "\n")
    return folder


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))


def told(command, capsys, *words):
    command.main([str(word) for word in words])
    return capsys.readouterr()


def test_a_text_finds_what_brute_force_finds(place, capsys):
    out = told(search, capsys, "a red house", "--model", place / "model", "--in", place / "photos", "--json").out
    embedder = Embedder(MultimodalModel.from_pretrained(place / "model"))
    names = ["picture0.png", "picture2.png", "picture4.png", *(f"deep/picture{i}.png" for i in (1, 3, 5))]
    vectors = embedder.vectors("image", [str(place / "photos" / name) for name in names])
    query = embedder.vectors("text", ["a red house"])[0]
    matches = json.loads(out)
    assert matches[0] == {"score": 1.0, "modality": "text", "name": "note.txt"}  # the very same text
    scores = vectors @ query
    assert [match["name"] for match in matches[1:]] == [names[i] for i in np.argsort(-scores)]
    np.testing.assert_allclose([match["score"] for match in matches[1:]], np.sort(scores)[::-1], atol=1e-5)


def test_a_picture_finds_itself_and_the_index_is_kept(place, capsys):
    words = ["--image", place / "photos/picture2.png", "--model", place / "model", "--in", place / "photos"]
    first = told(search, capsys, *words, "--top", 2, "--only", "image")
    second = told(search, capsys, *words, "--top", 2, "--only", "image")
    assert first.out.splitlines()[0].split() == ["1.000", "image", "picture2.png"] and len(first.out.splitlines()) == 2
    assert "7 encoded" in first.err and "0 encoded, 7 known" in second.err and first.out == second.out


def test_a_page_and_a_graph_are_written(place, capsys, tmp_path):
    words = ["a red house", "--model", place / "model", "--in", place / "photos", "--html", tmp_path / "found.html"]
    exact = told(search, capsys, *words)
    page = (tmp_path / "found.html").read_text()
    assert page.count("<li>") == 7 and page.count("data:image/png") == 6 and "exact search" in page
    near = told(search, capsys, *words, "--approximate", "--index", tmp_path / "index")
    again = told(search, capsys, *words, "--approximate", "--index", tmp_path / "index")
    assert exact.out == near.out == again.out and "approximate (HNSW)" in (tmp_path / "found.html").read_text()
    assert "graph of 6 image built: recall@10 1.000 of exact search" in near.err and "built" not in again.err
    (tmp_path / "index" / "graph_image.faiss").write_bytes(b"x")
    with pytest.raises(SystemExit) as ended:
        told(search, capsys, *words, "--approximate", "--index", tmp_path / "index")
    assert ended.value.code == 2 and "graph_image.faiss is damaged" in capsys.readouterr().err


def test_a_table_is_classified_by_prompts_and_measured(place, capsys):
    words = ["--model", place / "model", "--in", place / "photos/t.csv", "--classes", "even,odd", "--label", "kind"]
    answers = told(zero_shot, capsys, *words, "--prompt", "an {} number", "--split", "test").out.splitlines()
    assert len(answers) == 3 and [line.split()[2] for line in answers[:2]] == ["picture2.png", "picture4.png"]
    assert answers[2].startswith("accuracy ") and "the most frequent class alone gives 1.000" in answers[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "One thing to look for is wanted"),
        (["x", "--image", "y.png"], "One thing to look for is wanted"),
        (["--audio", "a.wav"], "The model knows no audio"),
        (["x", "--only", "sound"], "--only sound: the model has text, image"),
        (["x", "--top", "0"], "--top 0"),
        (["x", "--column", "text"], "MODALITY=COLUMN is wanted"),
        (["x", "--column", "text=a"], "is no table"),
        (["--image", "nowhere.png"], "nowhere.png"),
        (["x", "--html", "/dev/null/x.html"], "--html /dev/null/x.html cannot be written"),
    ],
)
def test_mistakes_are_one_line(place, capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        told(search, capsys, *words, "--model", place / "model", "--in", place / "photos")
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_a_model_without_the_task_is_refused(place, tmp_path, capsys):
    model = retrieval_model()
    plain = MultimodalModel(model.named_encoders(), model.fusion, {"mood": Classification(8, "mood", ["a", "b"])})
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(SystemExit):
        told(search, capsys, "x", "--model", tmp_path / "plain", "--in", place / "photos")
    assert "was not trained to find anything: its tasks are mood" in capsys.readouterr().err
