"""A language model that a run has trained, read by a task that scores texts by one."""

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.mlm import MaskedLanguageModel
from mmbert.tasks.speech.rescoring import PseudoLikelihood
from mmbert.training.language_models import language_models

CPU = torch.device("cpu")


def saved_run(folder, **tasks):
    """A run's folder with a random model of the text encoder ``words``."""
    torch.manual_seed(0)
    encoder = TextEncoder("tiny", max_tokens=32)
    dims = {"words": encoder.out_dim}
    made = {name: make(dims) for name, make in tasks.items()}
    model = MultimodalModel({"words": encoder}, ConcatFusion(dims, 8), made).eval()
    for parameter in model.parameters():  # also the head's bias, which begins as 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder / "model")
    return model


def mlm(dims):
    return MaskedLanguageModel(8, dims, text="words")


def by_hand(model, text):
    """The sum over tokens of log p(token | the others), one masked copy at a time, through encoder, task and fusion."""
    processor, task = model.encoders["words"].processor, model.tasks["mlm"]
    inputs = processor.collate([processor.prepare(text)])
    ids, total = inputs["input_ids"], 0.0
    for place in range(1, ids.shape[1] - 1):  # not [CLS] and [SEP]
        masked = ids.clone()
        masked[0, place] = processor.tokenizer.mask_token_id
        state = model.state(model.encode({"words": {**inputs, "input_ids": masked}}))
        shares = task.logits(state, torch.tensor([[place]]))[0, 0].log_softmax(-1)
        total += float(shares[ids[0, place]])
    return total


@torch.no_grad()
def test_texts_are_scored_as_the_run_would_token_by_token(tmp_path):
    model = saved_run(tmp_path / "run", mlm=mlm)
    folders = {"said": tmp_path / "run", "written": tmp_path / "run" / "model"}
    with language_models({**{name: {"rescore_with": str(f)} for name, f in folders.items()}, "other": {}}) as given:
        assert set(given) == set(folders)
        judges = [PseudoLikelihood(part["assets"]) for part in given.values()]
    for judge in judges:  # the files are gone by now
        found = judge.scores(["a dog", "", "cat"], CPU)
        assert found == pytest.approx([by_hand(model, "a dog"), 0.0, by_hand(model, "cat")], rel=1e-5)


def test_models_of_transformers_and_names_on_the_hub_are_left_to_the_task(tmp_path):
    model = saved_run(tmp_path / "run", mlm=mlm)
    plain = model.export_text_encoder(tmp_path / "plain", "words")
    parts = {"a": {"rescore_with": str(plain)}, "b": {"rescore_with": "bert-base-uncased"}, "c": {"rescore_with": None}}
    with language_models(parts) as given:
        assert given == {}


def test_a_run_without_a_language_model_is_refused_by_its_tasks(tmp_path):
    saved_run(tmp_path / "run", mood=lambda dims: Classification(8, "mood", ["a", "b"]))
    with (
        pytest.raises(ConfigError, match=r"tasks\.said\.rescore_with=.*run: the tasks of that run are mood, none"),
        language_models({"said": {"rescore_with": str(tmp_path / "run")}}),
    ):
        pass
