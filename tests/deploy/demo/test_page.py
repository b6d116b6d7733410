"""The page in a real browser: type, drop, press, read; mistakes are messages; nothing is asked of other machines.

Needs playwright and a Chromium on the machine, which not every machine has: then these are skipped.
"""

import csv
import shutil
import socket

import pytest

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

from mmbert.deploy.demo.page import demo_page, launch  # noqa: E402
from mmbert.deploy.demo.sample_shares import baseline_answers, explain_sample  # noqa: E402
from mmbert.model import MultimodalModel  # noqa: E402
from mmbert.runs.folder import RunFolder  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def model(finished_run):
    return MultimodalModel.from_pretrained(finished_run / "model")


@pytest.fixture(scope="module")
def baseline(model, finished_run):
    return baseline_answers(model, RunFolder(finished_run))[0]


@pytest.fixture(scope="module")
def sample(digits):
    with digits.open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["text"] and row["image"] and row["audio"])
    return {"text": row["text"], **{name: str(digits.parent / row[name]) for name in ("image", "audio")}}


@pytest.fixture(scope="module")
def tab(model, baseline, tmp_path_factory):
    """The page, opened; whatever it asks of another machine fails the test."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        page = demo_page(model, "runs/tiny", baseline, "nothing")
        address = launch(page, "127.0.0.1", port, wait=False)
        outside = []
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            opened = browser.new_page(viewport={"width": 1280, "height": 900})
            local = (address, "data:", "blob:", address.replace("http", "ws"))
            opened.on("request", lambda asked: asked.url.startswith(local) or outside.append(asked.url))
            opened.goto(address)
            opened.wait_for_selector("#predict", timeout=30_000)
            yield opened
            browser.close()
        page.close()
    assert outside == []


def rows(tab):
    """``{task: cells}`` of the answers."""
    tab.wait_for_selector("#answer tr[data-task]", timeout=30_000)
    return {
        row.get_attribute("data-task"): [cell.inner_text() for cell in row.locator("td").all()]
        for row in tab.locator("#answer tr[data-task]").all()
    }


def test_only_what_is_given_is_used_and_mistakes_are_messages(tab, model, tmp_path):
    most = model.named_encoders()["text"].processor.max_tokens
    assert tab.locator(f"text=At most {most} tokens of text").count() == 1
    tab.locator("#predict").click()
    tab.wait_for_selector("text=no modality at all", timeout=30_000)
    assert tab.locator("#answer tr[data-task]").count() == 0
    tab.locator("#input-text textarea").fill("<b>What</b> do you get?")
    tab.locator("#predict").click()
    assert set(rows(tab)) == {"answer", "seen", "heard", "operation", "properties", "value"}
    assert tab.locator("#answer >> text=One modality alone").count() == 1


def test_a_text_a_picture_and_a_sound_are_answered_as_by_predict(tab, model, baseline, sample):
    tab.locator("#input-text textarea").fill(sample["text"])
    tab.locator("#input-image input[type=file]").set_input_files(sample["image"])
    tab.wait_for_selector("#input-image img", timeout=30_000)
    tab.locator("#input-audio input[type=file]").set_input_files(sample["audio"])
    tab.wait_for_selector("#input-audio audio", state="attached", timeout=30_000)
    tab.locator("#predict").click()
    tab.wait_for_selector("#answer th:has-text('without audio')", timeout=30_000)
    (wanted,), shown = model.predict([sample]), rows(tab)
    explained = explain_sample(model, sample, baseline)
    for task, kind in ((name, one.kind) for name, one in model.named_tasks().items()):
        if kind == "classification":
            prediction = wanted[task]["prediction"]
            share = wanted[task]["probabilities"][prediction]
            assert shown[task][1:3] == [prediction, f"{100 * share:.0f} %"]
        elif kind == "regression":
            assert float(shown[task][1]) == pytest.approx(wanted[task]["prediction"], rel=1e-3)
        for name, one in explained.contributions[task].items():
            assert f"{name} {100 * one.share:.0f} %" in shown[task][3]
    left = tab.locator("#answer tr[data-without=answer] td").all_inner_texts()
    for name, cell in zip(explained.without, left[1:], strict=True):
        assert cell.startswith(explained.without[name]["answer"]["prediction"])


def test_a_broken_picture_is_a_message_without_its_folder(tab, tmp_path):
    broken = tmp_path / "broken.bmp"
    broken.write_bytes(b"no picture")
    tab.reload()
    tab.locator("#input-image input[type=file]").set_input_files(str(broken))
    tab.wait_for_selector("#input-image img", state="attached", timeout=30_000)
    tab.locator("#predict").click()
    tab.wait_for_selector("text=broken.bmp", timeout=30_000)
    assert "gradio" not in tab.locator(".toast-wrap").inner_text()
