"""``mmbert-demo model=FOLDER``: a saved model in a browser."""

from __future__ import annotations

from mmbert.cli.app import run_with_usage
from mmbert.cli.predict import model_folder
from mmbert.cli.run_config import consent
from mmbert.cli.serve import given_options, model_name, require_extra, whole_in_range
from mmbert.runs.folder import RunFolder, is_own_model

DEMO_USAGE = """\
usage: mmbert-demo model=FOLDER [port=7860] [host=127.0.0.1] [device=auto] [trust_custom_code=true]

A page in the browser: type a text, drop a picture, drop or record a sound; what the model answers and how sure it is,
the share of each modality, and what is left when one is taken away. FOLDER is a run's folder, the model/ in it, or
user/name on the Hugging Face hub.

  mmbert-demo model=outputs/DATE/TIME

  host    address to listen at; 0.0.0.0 = every one of this machine. There is no authentication: docs/serving.md
  port    0 = any that is free
  device  auto (a GPU if there is one), cpu, cuda, cuda:1, mps
  trust_custom_code=true   let classes outside the package be imported; a run that you began yourself needs no such word

Nothing leaves the machine. Ctrl-C ends it.
"""

DEMO_OPTIONS = ("model", "port", "host", "device", "trust_custom_code")


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(demo_model, "mmbert-demo", DEMO_USAGE)


def demo_model(words: list[str]) -> None:
    """Parses the words, loads the model and shows it until Ctrl-C.

    Raises:
        MmbertError: an option, the model or the address is at fault.
    """
    own = given_options(words, DEMO_OPTIONS, "mmbert-demo")
    folder = model_folder(own.get("model"))
    trusted = consent(own) or is_own_model(folder)
    port, host = whole_in_range(own, "port", 7860, 0, 65535), own.get("host", "127.0.0.1")
    require_extra("demo", "gradio")

    from mmbert.deploy.demo.page import demo_page, launch  # heavy: after the words are known to be right
    from mmbert.deploy.demo.sample_shares import baseline_answers
    from mmbert.deploy.serving.server import open_port
    from mmbert.model import MultimodalModel
    from mmbert.training.callbacks.console import quiet
    from mmbert.training.predict import chosen_device

    quiet()
    with open_port(host, port) as taken:  # says what is wrong with the address before anything is loaded
        port = taken.getsockname()[1]
    print(f"  loading      {model_name(folder)}", flush=True)
    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted)
    model.to(chosen_device(own.get("device", "auto")))
    baseline, words_of_it = baseline_answers(model, RunFolder(folder.parent))
    page = demo_page(model, model_name(folder), baseline, words_of_it)
    address = launch(page, host, port, wait=False)
    print(f"{model_name(folder)}: {', '.join(model.named_encoders())} → {', '.join(model.named_tasks())}")
    print(f"  page         {address}", flush=True)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print("  Anybody who reaches this address may ask: there is no authentication (docs/serving.md).", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
