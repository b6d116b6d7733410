"""A server as its clients see it: answers equal to ``predict``, batches, refusals, overload, and its end."""

import asyncio
import itertools
import json
import logging
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from mmbert.deploy.serving import responses  # noqa: E402
from mmbert.deploy.serving.app import build_app  # noqa: E402
from mmbert.deploy.serving.service import Service  # noqa: E402

COVERS = ("app", "responses", "service")
NAMES = ("text", "image", "audio")
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(NAMES, size)]


def assert_same(answer, expected):
    """The same keys and words, numbers but for rounding: batches of other sizes add up in another order."""
    assert type(answer) is type(expected)
    if isinstance(expected, dict):
        assert list(answer) == list(expected)
        for key in expected:
            assert_same(answer[key], expected[key])
    elif isinstance(expected, float):
        assert answer == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert answer == expected


def part(sample, subset):
    return {name: sample[name] for name in subset}


def form(sample):
    """A sample as a form: fields and files."""
    return {
        "files": {
            name: (None, value) if name == "text" else (Path(value).name, Path(value).read_bytes())
            for name, value in sample.items()
        }
    }


@pytest.fixture(scope="module")
def server(tiny_model, request):
    """One server for all tests that leave it as it was."""
    from mmbert.deploy.serving.limits import Limits

    running = request.getfixturevalue("running_service")
    service = Service([tiny_model], "runs/tiny", Limits(max_batch=8, max_wait_ms=20, max_bytes=3_000_000, max_queue=64))
    with running(service) as (address, _), httpx.Client(base_url=address, timeout=30) as client:
        client.service = service
        yield client


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_every_subset_is_answered_as_by_predict_in_json_and_in_a_form(subset, server, tiny_model, samples, sent):
    sample = part(samples[3], subset)
    (expected,) = tiny_model.predict([sample])
    by_json = server.post("/predict", json=sent(sample))
    by_form = server.post("/predict", **form(sample))
    for response in (by_json, by_form):
        assert response.status_code == 200, response.text
        assert_same(response.json(), expected)
    assert list(expected) == ["answer", "seen", "heard", "operation", "properties", "value"]


@given(chosen=st.lists(st.tuples(st.integers(0, 15), st.sampled_from(SUBSETS)), min_size=1, max_size=12))
@settings(deadline=None, max_examples=12)
def test_whatever_shares_the_batch_an_answer_is_that_of_the_sample_alone(chosen, server, tiny_model, samples, sent):
    asked = [part(samples[number], subset) for number, subset in chosen]
    response = server.post("/predict", json=[sent(sample) for sample in asked])
    answers = response.json()
    assert response.status_code == 200 and len(answers) == len(asked)
    for sample, answer in zip(asked, answers, strict=True):
        assert_same(answer, tiny_model.predict([sample])[0])


def test_requests_that_come_together_share_batches_and_get_their_own_answers(serve, tiny_model, samples, sent):
    expected = tiny_model.predict(samples)
    bodies = [sent(sample) for sample in samples]
    with serve(max_batch=8, max_wait_ms=200) as client, ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda body: client.post("/predict", json=body), bodies))
        health = client.get("/health").json()
    for response, answer in zip(got, expected, strict=True):
        assert_same(response.json(), answer)
    assert health["samples"] == 16 and health["batches"] <= 6 and health["queue"] == 0


def test_a_bad_sample_is_refused_alone(serve, tiny_model, samples, sent):
    bodies = [sent(sample) for sample in samples[:6]]
    bodies[2] = {"text": "What?", "image": "bm90IGEgcGljdHVyZQ=="}
    with serve(max_batch=8, max_wait_ms=200) as client, ThreadPoolExecutor(6) as threads:
        got = list(threads.map(lambda body: client.post("/predict", json=body), bodies))
    assert [response.status_code for response in got] == [200, 200, 422, 200, 200, 200]
    for place in (0, 1, 3, 4, 5):
        assert_same(got[place].json(), tiny_model.predict([samples[place]])[0])


def test_a_sample_that_breaks_the_model_is_tried_alone_and_logged_without_a_word_of_it(
    serve, tiny_model, samples, sent, monkeypatch, caplog
):
    original = Service.answer_batch

    def breaking(self, model, prepared):
        if any("BREAK" in sample.values.get("text", "") for sample in prepared):
            raise ValueError(f"cannot use {prepared[0].values}")
        return original(self, model, prepared)

    monkeypatch.setattr(Service, "answer_batch", breaking)
    bodies = [sent(sample) for sample in samples[:4]] + [{"text": "BREAK my secret"}]
    with (
        caplog.at_level(logging.DEBUG),
        serve(max_batch=8, max_wait_ms=200) as client,
        ThreadPoolExecutor(5) as threads,
    ):
        got = list(threads.map(lambda body: client.post("/predict", json=body), bodies))
        assert client.get("/health").json()["ready"]
    assert [response.status_code for response in got] == [200] * 4 + [500]
    assert "ValueError" in got[4].json()["error"] and "secret" not in got[4].text
    assert "ValueError" in caplog.text and "test_app.py" in caplog.text and "secret" not in caplog.text
    for place in range(4):
        assert_same(got[place].json(), tiny_model.predict([samples[place]])[0])


def post(server, content, kind="application/json"):
    return server.post("/predict", content=content, headers={"Content-Type": kind})


@pytest.mark.parametrize(
    ("content", "status", "field", "words"),
    [
        ({"txt": "Who?"}, 422, "txt", "no such modality"),
        ({}, 422, None, "no modality at all"),
        ({"text": "  ", "image": None}, 422, None, "no modality at all"),
        ({"text": 3}, 422, "text", "a text is a string, not a number"),
        ({"text": ["a", "b", "c"]}, 422, "text", "a text is a string, not a list"),
        ({"text": "\ud800"}, 422, "text", "half a character"),
        ({"image": "bm90IGEgcGljdHVyZQ=="}, 422, "image", "this is no picture that can be read"),
        ({"image": "/etc/passwd"}, 422, "image", "no base64"),
        ({"image": "../picture.png"}, 422, "image", "no base64"),
        ({"image": "http://127.0.0.1/a.png"}, 422, "image", "no base64"),
        ({"image": {"path": "/etc/passwd"}}, 422, "image", "a string in base64, not an object"),
        ({"audio": "bm90IGEgc291bmQ="}, 422, "audio", "this is no sound that can be read"),
        ({"audio": [0.0, 1.0]}, 422, "audio", "a string in base64, not a list"),
        ("text", 422, None, "a sample is an object of fields, not a string"),
        ([], 422, None, "the list has no samples"),
        ([{"text": "a"}] * 65, 413, None, "65 samples, more than 64"),
        (b'{"text": "a", "text": "b"}', 422, "text", "comes twice"),
        (b"{", 400, None, "no JSON, line 1, column 2"),
        (b"[" * 100_000, 400, None, "no JSON"),
        (b"\xff\xfe", 400, None, "no JSON"),
        (b"", 400, None, "no JSON"),
    ],
)
def test_bad_input_says_what_is_wrong_where_and_what_to_do(content, status, field, words, server):
    response = post(server, content if isinstance(content, bytes) else json.dumps(content).encode())
    said = response.json()
    assert (response.status_code, said["field"], said["sample"]) == (status, field, None), response.text
    assert words in said["error"] and said["remedy"]
    assert set(said) == {"error", "remedy", "field", "sample"}


def test_of_several_samples_the_one_at_fault_is_named(server):
    response = post(server, b'[{"text": "a"}, {"text": "b", "image": "bm8="}]')
    assert response.status_code == 422 and (response.json()["sample"], response.json()["field"]) == (1, "image")


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("text/plain", 415, "text/plain is not read"),
        ("application/x-www-form-urlencoded", 415, "not read"),
        ("", 415, "missing"),
        ("multipart/form-data", 400, "the form cannot be read"),
        ("multipart/form-data; boundary=x", 400, "the form cannot be read"),
    ],
)
def test_other_content_types_are_refused(kind, status, words, server):
    response = server.post("/predict", content=b'{"text": "a"}', headers={"Content-Type": kind} if kind else {})
    assert response.status_code == status and words in response.json()["error"], response.text


def test_other_addresses_and_methods_are_refused_in_json(server):
    for method, path, status in (("GET", "/predict", 405), ("POST", "/health", 405), ("GET", "/nowhere", 404)):
        response = server.request(method, path)
        assert response.status_code == status and "POST /predict" in response.json()["remedy"]


def test_health_can_be_asked_without_its_content(server):
    response = server.head("/health")
    assert response.status_code == 200 and not response.content


def test_a_form_that_cannot_be_read_is_quoted_in_no_log(server, caplog):
    headers = {"Content-Type": "multipart/form-data; boundary=zz"}
    response = server.post("/predict", content=b"--z!secret", headers=headers)
    assert response.status_code == 400 and "secret" not in response.text
    assert caplog.records == []


def test_several_samples_fit_into_a_form(server, tiny_model, samples):
    with open(samples[0]["image"], "rb") as picture, open(samples[1]["audio"], "rb") as sound:
        files = [("0.image", picture), ("1.audio", sound), ("1.text", (None, samples[1]["text"]))]
        response = server.post("/predict", files=files)
    assert response.status_code == 200, response.text
    expected = tiny_model.predict([part(samples[0], ["image"]), part(samples[1], ["text", "audio"])])
    for answer, wanted in zip(response.json(), expected, strict=True):
        assert_same(answer, wanted)


def test_a_large_body_is_refused_before_it_is_read(server):
    host, port = server.base_url.host, server.base_url.port
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 3000001\r\n"
    with socket.create_connection((host, port), 5) as line:
        line.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())  # as curl does: no body is sent yet
        said = b"".join(iter(lambda: line.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 413") and b"more than 3,000,000 bytes" in said


def test_a_client_that_sends_all_of_a_large_body_reads_the_refusal(server):
    response = post(server, b" " * 5_000_000)
    assert response.status_code == 413 and "more than 3,000,000 bytes" in response.json()["error"]


def test_a_body_of_unknown_length_is_cut_off(server):
    response = server.post(
        "/predict", content=iter([b" " * 100_000] * 40), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 413
    assert server.get("/health").json()["queue"] == 0


class Held:
    """A model's thread that waits until it is let go."""

    def __init__(self, monkeypatch):
        self.go, self.entered = threading.Event(), threading.Event()
        answer = Service.answer_batch

        def held(service, model, prepared):
            self.entered.set()
            assert self.go.wait(20)
            return answer(service, model, prepared)

        monkeypatch.setattr(Service, "answer_batch", held)


def test_at_overload_every_request_is_answered_and_the_queue_stays_bounded(serve, samples, sent, monkeypatch):
    held = Held(monkeypatch)
    body = json.dumps(sent(samples[0])).encode()
    with serve(max_batch=2, max_queue=6, max_wait_ms=0) as client:

        async def flood():
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=client.base_url, timeout=30, limits=limits) as many:
                headers = {"Content-Type": "application/json"}
                tasks = [asyncio.ensure_future(many.post("/predict", content=body, headers=headers)) for _ in range(60)]
                while sum(task.done() for task in tasks) < 54:
                    await asyncio.sleep(0.01)
                assert (await many.get("/health")).json()["queue"] == 6
                held.go.set()
                return await asyncio.gather(*tasks)

        answers = asyncio.run(flood())
        statuses = [response.status_code for response in answers]
        assert client.post("/predict", content=body, headers={"Content-Type": "application/json"}).status_code == 200
    assert statuses.count(200) == 6 and statuses.count(503) == 54
    refused = next(response for response in answers if response.status_code == 503)
    assert refused.headers["Retry-After"] == "1" and "queue is full" in refused.json()["error"]
    assert client.service.places.samples == client.service.places.bytes == 0


def test_a_request_that_takes_too_long_is_given_up_and_frees_its_place(serve, samples, sent, monkeypatch):
    held = Held(monkeypatch)
    with serve(max_batch=1, max_queue=2, timeout_s=0.5, max_wait_ms=0) as client:
        with ThreadPoolExecutor(2) as threads:
            got = list(threads.map(lambda body: client.post("/predict", json=body), [sent(samples[0])] * 2))
        assert [response.status_code for response in got] == [504, 504]
        assert client.get("/health").json()["queue"] == 0
        held.go.set()
        assert client.post("/predict", json=sent(samples[0])).status_code == 200
        health = client.get("/health").json()
    assert health["samples"] == 2  # one was under way; the other, given up while it waited, was left out


def test_a_body_that_does_not_come_is_given_up(serve):
    with serve(timeout_s=0.3) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port), 5) as line:
            line.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            said = b"".join(iter(lambda: line.recv(4096), b""))
        assert said.startswith(b"HTTP/1.1 408")
        assert client.get("/health").json()["queue"] == 0


def test_who_hangs_up_frees_the_place(serve, samples, sent, monkeypatch):
    held = Held(monkeypatch)
    with serve(max_batch=1, max_queue=2) as client:
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                client.post("/predict", json=sent(samples[0]), timeout=0.3)
        until = time.monotonic() + 5
        while client.get("/health").json()["queue"] and time.monotonic() < until:
            time.sleep(0.02)
        assert client.get("/health").json()["queue"] == 0
        held.go.set()


def test_the_end_answers_what_was_taken_in(serve, samples, sent, monkeypatch):
    held = Held(monkeypatch)
    with serve(max_batch=2, max_wait_ms=0) as client, ThreadPoolExecutor(5) as threads:
        waiting = [threads.submit(client.post, "/predict", json=sent(sample)) for sample in samples[:5]]
        assert held.entered.wait(10)
        until = time.monotonic() + 10
        while client.service.places.samples < 5 and time.monotonic() < until:
            time.sleep(0.01)
        client.server.should_exit = True
        time.sleep(0.3)
        held.go.set()
        assert [future.result().status_code for future in waiting] == [200] * 5
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{client.base_url}/health")


def test_nothing_of_a_request_is_logged(server, caplog):
    with caplog.at_level(logging.DEBUG):
        server.post("/predict?q=my-secret", json={"text": "my-secret"})
        server.post("/predict", json={"text": "my-secret", "image": "bm8="})
        server.get("/nowhere/my-secret")
    written = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any("my-secret" in record.getMessage() for record in written)


def test_nan_is_null():
    assert responses.json_response({"a": [float("nan"), 1.5]}).body == b'{"a": [null, 1.5]}'


def test_the_description_is_valid_openapi_and_names_modalities_and_tasks(server, samples):
    schema = server.get("/openapi.json").json()
    content = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert list(content["multipart/form-data"]["schema"]["properties"]) == list(NAMES)
    assert {"200", "400", "413", "415", "422", "503", "504"} <= set(schema["paths"]["/predict"]["post"]["responses"])
    for example in content["application/json"]["examples"].values():  # what is shown can be sent
        response = server.post("/predict", json=example["value"])
        assert response.status_code == 200, response.text
    health = server.get("/health").json()
    assert (
        health["modalities"] == {"text": "text", "image": "image", "audio": "audio"} and health["model"] == "runs/tiny"
    )
    assert health["tasks"]["operation"]["classes"] == [
        "add",
        "distance",
        "larger",
        "smaller",
        "subtract",
        "subtract_from",
    ]


def test_what_lies_behind_the_said_limit_changes_nothing(server, tiny_model):
    most = tiny_model.named_encoders()["text"].processor.max_tokens
    paths = server.get("/openapi.json").json()["paths"]
    (sample, _) = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert sample["properties"]["text"]["description"] == f"{most} tokens are read, more is cut"
    assert f"At most {most} tokens of text" in server.get("/").text
    words = "add the numbers " * most  # a word has at least one token
    one, other, short = (server.post("/predict", json={"text": x}).json() for x in (words, words + "not", "not"))
    assert_same(one, other)
    assert one["operation"] != short["operation"]


def test_two_texts_are_answered_as_by_the_model_itself(server, tiny_model):
    """A saved model does not know whether it was trained on pairs: they are read, and described as for few models."""
    (expected,) = tiny_model.predict([{"text": ("Which is larger?", "Eight or nine.")}])
    (single,) = tiny_model.predict([{"text": "Eight or nine."}])
    answer = server.post("/predict", json={"text": ["Which is larger?", "Eight or nine."]}).json()
    assert_same(answer, expected)
    assert answer["operation"] != single["operation"]


def test_an_unready_server_says_so(tiny_model):
    from fastapi.testclient import TestClient

    from mmbert.deploy.serving.limits import Limits

    service = Service([tiny_model], "x", Limits())
    client = TestClient(build_app(service))  # without the model's thread
    assert client.get("/health").status_code == 503 and client.get("/health").json()["ready"] is False
    service.preparing.close()


def test_the_commands_of_the_docs_are_answered(server, samples):
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
    bodies = re.findall(r"curl .*-d '(.*?)' http", page)
    forms = [dict(re.findall(r'-F (\S+?)=("[^"]*"|@\S+)', line)) for line in re.findall(r"curl -F .*", page)]
    assert len(bodies) == 2 and len(forms) == 2
    contents = {".png": Path(samples[0]["image"]).read_bytes(), ".wav": Path(samples[0]["audio"]).read_bytes()}
    for body in bodies:
        assert post(server, body.encode()).status_code == 200
    for form_of_page in forms:
        files = {
            name: (None, value.strip('"')) if value[0] == '"' else (value[1:], contents[Path(value).suffix])
            for name, value in form_of_page.items()
        }
        assert server.post("/predict", files=files).status_code == 200
