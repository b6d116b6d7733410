"""What is kept of a model's answers is what the model answers, in the order of its classes, encoded once."""

import numpy as np
import pytest
import torch

from mmbert.analysis.data_quality.read_split import read_split
from mmbert.training.build import build

CPU = torch.device("cpu")
NAMES = ["text", "image", "audio"]


@pytest.mark.parametrize("words", [(), ("fusion=mag", "encoders.text.frozen=false")])
def test_answers_are_those_of_the_model(compose_tiny, words):
    """Also of a fusion that injects the other modalities into an encoder, whose own vectors stay without them."""
    parts = build(compose_tiny(*words))
    model, tasks = parts.model.eval(), parts.model.named_tasks()
    tasks = {name: tasks[name] for name in ("operation", "properties", "value")}
    runs = []
    for encoder in model.named_encoders().values():
        encoder.register_forward_hook(lambda module, given, made: runs.append(module))
    read = read_split(model, parts.data.plain_loader("val"), tasks, NAMES, CPU)
    batches = list(parts.data.plain_loader("val"))
    injected = model.fusion.injects_into is not None
    assert injected == bool(words) and len(runs) == (len(NAMES) + injected) * len(batches)
    with torch.inference_mode():
        outputs = [model(batch.inputs).outputs for batch in batches]
        alone = [model.named_encoders()["text"](batch.inputs["text"]).pooled for batch in batches]
    logits = torch.cat([output["operation"]["logits"] for output in outputs])
    np.testing.assert_allclose(read.answers["operation"], logits.softmax(1), atol=1e-5)
    logits = torch.cat([output["properties"]["logits"] for output in outputs])
    np.testing.assert_allclose(read.answers["properties"], logits.sigmoid(), atol=1e-5)
    np.testing.assert_allclose(read.pooled["text"], torch.cat(alone), atol=1e-6)
    assert read.rows.tolist() == parts.data.rows["val"].tolist()
    given = [tasks["operation"].classes[label] if label >= 0 else "" for label in read.labels["operation"]]
    assert given == ["" if cell is None else cell for cell in parts.data.table.column("operation", read.rows)]


def test_where_no_answers_are_wanted_fusion_and_heads_stand_still(compose_tiny):
    parts = build(compose_tiny())
    model, tasks = parts.model.eval(), {"operation": parts.model.named_tasks()["operation"]}
    whole = read_split(model, parts.data.plain_loader("val"), tasks, NAMES, CPU)
    model.fusion.forward = None
    read = read_split(model, parts.data.plain_loader("val"), tasks, NAMES, CPU, answers_too=False)
    assert not read.answers and read.labels["operation"].tolist() == whole.labels["operation"].tolist()
    for name in NAMES:
        np.testing.assert_array_equal(read.pooled[name], whole.pooled[name])
