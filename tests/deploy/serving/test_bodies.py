"""Forms become samples, numbered or not."""

import asyncio

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from fastapi import Request  # noqa: E402

from mmbert.deploy.serving.bodies import form_samples, json_samples  # noqa: E402
from mmbert.deploy.serving.refusals import Refusal  # noqa: E402


def parsed(files, most=8):
    """What a form of httpx becomes."""
    made = httpx.Request("POST", "http://x/", files=files)
    headers = [(name.lower().encode(), value.encode()) for name, value in made.headers.items()]
    return asyncio.run(form_samples(Request({"type": "http", "headers": headers}), made.read(), most))


def text(value):
    return (None, value)


def test_fields_and_files_are_one_sample():
    assert parsed({"text": text("añ"), "image": ("a.png", b"\x00\xff")}) == {"text": "añ", "image": b"\x00\xff"}


def test_numbered_fields_are_several_samples_in_their_order():
    given = [("1.text", text("b")), ("0.image", ("a", b"x")), ("0.before.text", text("q")), ("0.text", text("a"))]
    assert parsed(given) == [{"image": b"x", "text": ["q", "a"]}, {"text": "b"}]


def test_a_text_and_what_goes_before_it_are_two():
    assert parsed({"text": text("Ada."), "before.text": text("Who?")}) == {"text": ["Who?", "Ada."]}


def test_files_of_many_megabytes_stay_in_memory(monkeypatch):
    import tempfile

    rolled = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: rolled.append(self))
    assert len(parsed({"image": ("a", b"x" * 3_000_000)})["image"]) == 3_000_000
    assert rolled == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("text", text("a")), ("text", text("b"))], "comes twice"),
        ([("0.text", text("a")), ("text", text("b"))], "some have none"),
        ([("0.text", text("a")), ("2.text", text("b"))], "have the numbers"),
        ([("before.text", text("a"))], "goes before a text that is not given"),
        ([(f"{number}.text", text("a")) for number in range(65)], "Too many fields"),
    ],
)
def test_forms_that_make_no_samples_are_refused(files, words):
    with pytest.raises(Refusal, match=words):
        parsed(files, 1)


def test_json_holds_a_sample_or_a_list():
    assert json_samples(b'{"text": "a"}') == {"text": "a"} and json_samples(b"[]") == []
    with pytest.raises(Refusal, match="no JSON, line 2, column 1"):
        json_samples(b'{"text": "a",\n}')
