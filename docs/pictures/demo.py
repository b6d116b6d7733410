"""Draws docs/pictures/demo.png: ``mmbert-demo`` in Chromium, asked one test sample of the demo set.

    mmbert-train hydra.run.dir=outputs/demo
    python docs/pictures/demo.py outputs/demo docs/pictures/demo.png

The sample is the first of the test split that has all modalities, whatever the model says of it.
"""

import shutil
import sys
from pathlib import Path

import pandas
from playwright.sync_api import sync_playwright

from mmbert.deploy.demo.page import demo_page, launch
from mmbert.deploy.demo.sample_shares import baseline_answers
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions_file import read_predictions

PORT = 7961
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main(run: str, out: str) -> None:
    """Starts the page, asks, and takes the picture."""
    from mmbert.data.talking_digits import TalkingDigits

    model = MultimodalModel.from_pretrained(Path(run) / "model")
    table = Path(TalkingDigits().path)
    rows = pandas.read_csv(table, dtype=str, keep_default_na=False)
    measured = read_predictions(RunFolder(run).predictions_of("test"), ["row"])["row"]
    sample = rows.loc[measured][lambda part: (part[["text", "image", "audio"]] != "").all(axis=1)].iloc[0]
    baseline, words = baseline_answers(model, RunFolder(run))
    page = demo_page(model, "talking_digits", baseline, words)
    address = launch(page, "127.0.0.1", PORT, wait=False)
    with sync_playwright() as driver:
        found = next(filter(None, map(shutil.which, CHROMIUM)))
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1180, "height": 780}, color_scheme="light")
        tab.set_default_timeout(120_000)
        tab.goto(address)
        tab.locator("#input-text textarea").fill(sample["text"])
        for name, shown in (("image", "img"), ("audio", "audio")):
            tab.locator(f"#input-{name} input[type=file]").set_input_files(table.parent / sample[name])
            tab.wait_for_selector(f"#input-{name} {shown}", state="attached")
        tab.locator("#predict").click()
        tab.wait_for_selector("#answer tr[data-without]")
        tab.wait_for_timeout(3000)  # the waveform is drawn
        tab.screenshot(path=out)
        browser.close()
    page.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
