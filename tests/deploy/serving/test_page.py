"""The page and the description of a server, of models with other modalities and tasks."""

import re
from types import SimpleNamespace

from mmbert import __version__
from mmbert.data.modalities.series_reading import SeriesReading
from mmbert.deploy.serving.description import Description, record_example, series_example, task_facts
from mmbert.deploy.serving.limits import Limits
from mmbert.deploy.serving.page import curl_examples, docs_page

COVERS = ("page", "description")


def described(**changes):
    facts = {
        "name": "<b>runs</b>",
        "version": __version__,
        "limits": Limits(),
        "modalities": {"text": "text", "photo": "image", "pose": "features"},
        "media": ("photo",),
        "pairs": ("text",),
        "tasks": {"mood": {"kind": "classification", "classes": ["<glad>", "sad"]}, "size": {"kind": "regression"}},
        "width": {"pose": 2},
    }
    return Description(**{**facts, **changes})


def test_the_page_names_all_escapes_it_and_asks_nobody_else():
    page = docs_page(described())
    for word in ("mood", "regression", "&lt;glad&gt;, sad", 'name="photo" accept="image/*"', "&lt;b&gt;runs"):
        assert word in page
    assert "<glad>" not in page and not re.search(r"(src|href)=\"?(https?:)?//", page)
    assert "curl -F &#x27;text=some text&#x27; -F photo=@picture.png -F pose=@features.npy ADDRESS/predict" in page


def test_examples_and_schemas_follow_the_modalities():
    found = described()
    assert found.example(("pose",)) == {"pose": [0.0, 0.0]}
    properties = found.sample_schema(in_form=False)["properties"]
    assert properties["photo"]["contentEncoding"] == "base64" and len(properties["text"]["anyOf"]) == 2
    assert found.sample_schema(in_form=True)["properties"]["photo"]["format"] == "binary"
    assert described(pairs=()).sample_schema(in_form=False)["properties"]["text"] == {"type": "string"}
    assert set(found.answer_schema["properties"]) == {"mood", "size"}


def test_what_is_cut_is_said_on_the_page_and_in_the_description():
    found = described(read={"text": "64 tokens", "photo": "3 seconds"})
    said = "At most 64 tokens of text, 3 seconds of photo are read: what lies behind is cut"
    assert said in found.text and said in docs_page(found) and "are read" not in described().text
    properties = found.sample_schema(in_form=False)["properties"]
    assert properties["text"]["description"] == "64 tokens are read, more is cut"
    assert properties["photo"]["description"] == "bytes of a file, image, in base64; 3 seconds are read, more is cut"
    assert "description" not in properties["pose"] or "are read" not in properties["pose"]["description"]


def test_two_texts_are_described_as_what_few_models_were_trained_on():
    one, two = described().sample_schema(in_form=False)["properties"]["text"]["anyOf"]
    assert one == {"type": "string"} and "for models that were trained on two texts" in two["description"]


def test_of_many_classes_some_are_listed():
    many = task_facts(SimpleNamespace(kind="classification", classes=[str(n) for n in range(1000)]))
    assert many["classes"][-1] == "… 900 more" and len(many["classes"]) == 101
    assert task_facts(SimpleNamespace(kind="regression")) == {"kind": "regression"}


def test_a_record_is_an_object_with_an_example_of_what_train_had():
    columns = {"age": {"mean": 3.14159, "std": 2.0}, "sex": {"categories": ["f", "m"]}}
    one = described(modalities={"facts": "tabular"}, records={"facts": record_example(columns)})
    assert one.example() == {"facts": {"age": 3.142, "sex": "f"}}
    schema = one.sample_schema(in_form=False)["properties"]["facts"]
    assert list(schema["properties"]) == ["age", "sex"] and schema["additionalProperties"] is False
    assert one.sample_schema(in_form=True)["properties"]["facts"] == {"type": "string"}


def test_a_series_is_a_file_or_columns_with_an_example_of_what_train_had():
    columns = series_example(SeriesReading(), {"ax": {"mean": 9.80665, "std": 1.0}})
    assert columns == {"time": [0.0, 0.5], "ax": [9.807, 9.807]}
    assert series_example(SeriesReading(rows_per_second=50.0), {"0": {"mean": 1.0, "std": 1.0}}) == {"0": [1.0, 1.0]}
    one = described(modalities={"wrist": "series"}, media=("wrist",), series={"wrist": columns})
    assert one.example() == {"wrist": columns} and "-F wrist=@sensor.csv" in curl_examples(one)
    file, together = one.sample_schema(in_form=False)["properties"]["wrist"]["anyOf"]
    assert file["contentEncoding"] == "base64" and list(together["properties"]) == ["time", "ax"]
    assert one.sample_schema(in_form=True)["properties"]["wrist"]["format"] == "binary"
