"""The page in a browser, with Gradio: inputs for the model's own modalities, and what it answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from mmbert.core.errors import MmbertError
from mmbert.core.privacy import Privacy
from mmbert.data.modalities.registry import modality_of
from mmbert.deploy.demo.answer_html import DEMO_STYLE, answer_page
from mmbert.deploy.demo.sample_shares import explain_sample
from mmbert.deploy.serving.description import lengths_read, said_of_cuts
from mmbert.model import MultimodalModel

#: Samples lie in Gradio's temporary folder; what is older than so many seconds is deleted, so often, and at the end.
KEPT_SECONDS = 600
#: Of an uploaded file.
MOST_BYTES = 20_000_000


def demo_page(model: MultimodalModel, name: str, baseline: Mapping[str, Any], baseline_words: str) -> Any:
    """A page (``gradio.Blocks``) for a model, not started yet.

    Args:
        model: in evaluation mode.
        name: what it is called.
        baseline: see ``mmbert.deploy.demo.sample_shares.baseline_answers``.
        baseline_words: what that is.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read as gradio is imported: nothing is sent anywhere
    import gradio

    names = list(model.named_encoders())

    def answer(*values: Any) -> str:
        try:
            found = explain_sample(model, dict(zip(names, values, strict=True)), baseline)
        except MmbertError as error:
            raise gradio.Error(message_of_upload(error, values), print_exception=False, title="No answer") from None
        except Exception as error:  # the terminal gets no word of the sample
            places = Privacy(samples=False).traceback_of(error)
            logging.getLogger("mmbert.demo").error("%s\n%s", type(error).__name__, places)
            raise gradio.Error(f"The model failed ({type(error).__name__}).", print_exception=False) from None
        return answer_page(found, names, baseline_words)

    with gradio.Blocks(
        title=f"mmbert: {name}", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)
    ) as page:
        cuts = said_of_cuts(lengths_read({modality: one.processor for modality, one in model.named_encoders().items()}))
        gradio.Markdown(f"### {name}\nGive any of {', '.join(names)}; what is left out is absent. {cuts}")
        with gradio.Row():
            with gradio.Column(scale=2):
                inputs = [input_of(gradio, model, modality) for modality in names]
                button = gradio.Button("Predict", variant="primary", elem_id="predict")
            with gradio.Column(scale=3):
                shown = gradio.HTML(elem_id="answer")
        events: list[Callable[..., Any]] = [button.click]
        events += [one.submit for one in inputs if isinstance(one, gradio.Textbox)]
        for event in events:
            event(answer, inputs, shown, api_name=False, concurrency_limit=1)
    return page


def input_of(gradio: Any, model: MultimodalModel, name: str) -> Any:
    """The input of one modality."""
    modality = modality_of(model.named_encoders()[name].processor)
    marked = {"label": name, "elem_id": f"input-{name}"}
    if modality.shown_as == "image":
        return as_dropped(gradio.Image(type="filepath", image_mode=None, height=220, buttons=[], **marked))
    if modality.shown_as == "audio":
        return as_dropped(gradio.Audio(type="filepath", buttons=[], **marked))
    if modality.names_files:
        return gradio.File(type="filepath", **marked)
    return gradio.Textbox(lines=2, placeholder="Type a text, then press Predict", **marked)


def as_dropped(component: Any) -> Any:
    """The same input, which hands on the file as it came: Gradio would open it first, and fail in its own words."""
    component.preprocess = lambda payload: None if payload is None else payload.path
    return component


def message_of_upload(error: MmbertError, values: tuple[Any, ...]) -> str:
    """An error without the folders of uploaded files."""
    message = str(error)
    for value in values:
        if isinstance(value, str) and os.path.sep in value:
            message = message.replace(value, os.path.basename(value))
    return message


def launch(page: Any, host: str, port: int, wait: bool = True) -> str:
    """Starts the page and, if wanted, waits until it is told to end; returns its address.

    No link to it is made elsewhere (``share=False``), and no address for programs: those ask ``mmbert-serve``.

    Raises:
        OSError: the port is taken.
    """
    from gradio.themes import Default

    page.queue(max_size=32, api_open=False)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        show_error=False,
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=MOST_BYTES,
        theme=Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=DEMO_STYLE,
        prevent_thread_lock=True,
    )
    if wait:
        page.block_thread()
    return str(address)
