"""Encoders, a fusion strategy and task heads as one plain ``nn.Module``, with saving, loading and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import torch
from torch import nn

from mmbert.core.errors import ConfigError, InputError, nearest
from mmbert.core.types import Encoded, Fused, Inputs, State, Tensors
from mmbert.core.whole_files import whole_folder
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.base import Encoder
from mmbert.encoders.pretrained.masked_lm import write_masked_model
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import DecisionOutput
from mmbert.model.hub import fetch, is_hub_name, push
from mmbert.model.rebuild import part_errors
from mmbert.model.saved_files import is_finite, load_saved_weights
from mmbert.model.saving import ModelParts, load_parts, save_parts
from mmbert.tasks.base import Task
from mmbert.tasks.decision_heads import DecisionHeads
from mmbert.tasks.mlm import MaskedLanguageModel


@dataclass(frozen=True)
class ModelOutput:
    """What a forward pass gives.

    Attributes:
        fused: the joint representation.
        outputs: each task's output tensors by its name.
        decisions: under decision-level fusion, the outputs of each task's heads before they were joined, by its name.
        encoded: what was fused, by modality; ``decode`` takes it again with some of it taken away.
        inputs: what the encoders read, by name; empty where ``decode`` was not told.
    """

    fused: Fused
    outputs: dict[str, Tensors]
    decisions: dict[str, DecisionOutput] = field(default_factory=dict)
    encoded: dict[str, Encoded] = field(default_factory=dict)
    inputs: Mapping[str, Inputs] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """What the tasks' heads have read."""
        return State(self.fused, self.encoded, self.inputs)

    def aligned(self, alignments: Mapping[str, Sequence[Any]]) -> State:
        """The same, with what predictions in words of the input need; ``Batch.alignments``."""
        return State(self.fused, self.encoded, self.inputs, alignments)


class MultimodalModel(nn.Module):
    """Encodes each modality, fuses, and runs every task's head on the joint representation.

    With a fusion that has ``views`` every task has a head for each view, and the fusion's decision joins their outputs
    (``mmbert.tasks.decision_heads``). Tasks that read tokens keep their one head: of tokens there are no views.

    Args:
        encoders: by name; the names are the modalities the fusion was built for.
        fusion: its ``dims`` must equal the encoders' widths. If no task reads tokens, the model has a copy without the
            layers that serve tokens alone.
        tasks: by name, each built for the fusion's ``out_dim``.

    Attributes:
        card: the model card, Markdown, that is saved with it as ``README.md``; a run writes one.
        source: the folder that it was loaded from; None = none.

    Raises:
        ConfigError: a name cannot be used, or the widths of the parts do not fit.
    """

    def __init__(self, encoders: Mapping[str, Encoder], fusion: Fusion, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        widths = {name: encoder.out_dim for name, encoder in encoders.items()}
        if fusion.dims != widths:
            raise ConfigError(f"The fusion was built for {fusion.dims}, but the encoders give {widths}.")
        for name in [*encoders, *tasks]:
            if not name.isidentifier() or hasattr(nn.ModuleDict(), name):
                raise ConfigError(
                    f"'{name}' cannot name an encoder or a task: use letters, digits and _, e.g. my_{name}."
                )
        check_injection(encoders, fusion)
        check_exchanges(fusion, tasks)
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion if any(task.reads_tokens for task in tasks.values()) else fusion.without_tokens()
        for task in tasks.values():
            task.connect(encoders)
        for task in tasks.values():
            task.connect_tasks(tasks)
        self.tasks = nn.ModuleDict(tasks)
        self.decision_heads = nn.ModuleDict(
            {
                name: DecisionHeads(name, task, fusion)
                for name, task in tasks.items()
                if fusion.views and not task.reads_tokens
            }
        )
        self.card: str | None = None
        self.source: Path | None = None

    def named_encoders(self) -> dict[str, Encoder]:
        """The encoders by name."""
        return dict(self.encoders.items())  # type: ignore[arg-type]

    def named_tasks(self) -> dict[str, Task]:
        """The tasks by name."""
        return dict(self.tasks.items())  # type: ignore[arg-type]

    def named_decision_heads(self) -> dict[str, DecisionHeads]:
        """Under decision-level fusion the heads of each task that has several, by its name."""
        return dict(self.decision_heads.items())  # type: ignore[arg-type]

    @property
    def has_diagnostics(self) -> bool:
        """Whether fusion or a decision has any to ask for."""
        return self.fusion.has_diagnostics or any(p.decision.has_shares for p in self.named_decision_heads().values())

    @property
    def reads_tokens(self) -> bool:
        """Whether fusion or a task looks at more than each modality's vector."""
        return self.fusion.reads_tokens or any(task.reads_tokens for task in self.named_tasks().values())

    def encode(self, inputs: Mapping[str, Inputs]) -> dict[str, Encoded]:
        """Tensors by encoder name -> {modality: Encoded}; an encoder with layer injection is run last."""
        injected = self.fusion.injects_into
        encoded = {name: encoder(inputs[name]) for name, encoder in self.encoders.items() if name != injected}
        if injected is not None:
            encoded[injected] = self.encode_injected(inputs, encoded)
        return {name: encoded[name] for name in self.encoders}

    def encode_injected(self, inputs: Mapping[str, Inputs], others: Mapping[str, Encoded]) -> Encoded:
        """The modality whose encoder has layer injection, given the others, some of which may be taken away."""
        name = self.fusion.injects_into
        assert name is not None
        injection = self.fusion.injection({other: x for other, x in others.items() if other != name})
        encoded: Encoded = self.encoders[name](inputs[name], injection)
        return encoded

    def forward(
        self,
        inputs: Mapping[str, Inputs],
        diagnostics: bool | Literal["shares"] = False,
        targets: Mapping[str, Tensors] | None = None,
    ) -> ModelOutput:
        """Encodes, fuses and runs every task's head.

        Args:
            inputs: of a batch, by encoder name.
            diagnostics: as of ``Fusion``.
            targets: by task, where a loss will be taken; for tasks with teacher forcing.
        """
        return self.decode(self.encode(inputs), diagnostics, targets, inputs)

    def decode(
        self,
        encoded: Mapping[str, Encoded],
        diagnostics: bool | Literal["shares"] = False,
        targets: Mapping[str, Tensors] | None = None,
        inputs: Mapping[str, Inputs] | None = None,
    ) -> ModelOutput:
        """What ``forward`` makes of encoded modalities: those of a batch, or of one with some of them taken away.

        The others are a part of a modality that is ``injected``: who takes them away calls ``encode_injected`` first.
        """
        return self.answer(self.state(encoded, diagnostics, inputs), diagnostics, targets)

    def state(
        self,
        encoded: Mapping[str, Encoded],
        diagnostics: bool | Literal["shares"] = False,
        inputs: Mapping[str, Inputs] | None = None,
    ) -> State:
        """What heads read of encoded modalities: fuses them."""
        read = {} if inputs is None else inputs
        return State(self.fusion(dict(encoded), diagnostics=diagnostics), dict(encoded), read)

    def answer(
        self,
        state: State,
        diagnostics: bool | Literal["shares"] = False,
        targets: Mapping[str, Tensors] | None = None,
    ) -> ModelOutput:
        """What every task's head makes of the state."""
        tasks, decision_heads = self.named_tasks(), self.named_decision_heads()
        decisions = {name: heads(tasks[name], state) for name, heads in decision_heads.items()}
        outputs = {
            name: decision_heads[name].outputs(decisions[name])
            if name in decisions
            else self._outputs_of(task, state, None if targets is None else targets[name])
            for name, task in tasks.items()
        }
        fused = state.fused
        if diagnostics and self.fusion.views == tuple(self.fusion.dims):
            shares = {
                f"share/{name}": heads.decision.shares(decisions[name].outputs, decisions[name].present)
                for name, heads in decision_heads.items()
                if heads.decision.has_shares
            }
            fused = replace(fused, diagnostics={**fused.diagnostics, **shares})
        return ModelOutput(fused, outputs, decisions, state.encoded, state.inputs)

    def _outputs_of(self, task: Task, state: State, targets: Tensors | None) -> Tensors:
        """What a head makes of the state, and of the exchanged one where its task has such."""
        outputs = task(state, targets)
        if targets is not None and task.exchanges:
            encoded, changed = task.exchanged(state, targets)
            again = task(self.state(encoded), targets)
            outputs = {**outputs, **{f"exchanged_{name}": x for name, x in again.items()}, "exchanged": changed}
        return outputs

    def save_pretrained(self, folder: str | Path) -> Path:
        """Writes ``config.json``, ``model.safetensors`` and each encoder's assets; nothing in it is a pickle.

        The folder appears whole or not at all; one that exists is replaced.
        """
        parts = ModelParts(self.named_encoders(), self.fusion, self.named_tasks(), self.state_dict(), self.card)
        return save_parts(parts, Path(folder))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        trust_custom_code: bool = False,
        revision: str | None = None,
        token: str | None = None,
    ) -> Self:
        """A model saved by ``save_pretrained``, in evaluation mode on the CPU.

        Args:
            folder: where it was saved; or ``user/name``, from the Hugging Face hub, where there is no such folder.
            trust_custom_code: allow classes that lie outside the package; importing them runs their code.
            revision: branch, tag or commit on the hub.
            token: for private repositories; None = that of ``hf auth login`` or HF_TOKEN.

        Raises:
            InputError: there is no model, one that is damaged, or one that needs ``trust_custom_code``.
        """
        place = fetch(str(folder), revision, token) if is_hub_name(folder) else Path(folder)
        parts = load_parts(place, trust_custom_code)
        with part_errors(place, "the whole"):
            model = cls(parts.encoders, parts.fusion, parts.tasks)
        load_saved_weights(model, parts.state, place)
        model.card, model.source = parts.card, place
        return model.eval()

    def export_text_encoder(self, folder: str | Path, encoder: str = "text") -> Path:
        """Writes a text encoder as transformers writes models: ``AutoModel`` and this package load it from the folder.

        Where a task is a masked language model of this encoder, its head is written too, for ``AutoModelForMaskedLM``;
        what such a head learnt of other modalities is left out.

        Args:
            folder: appears whole or not at all; one that exists is replaced.
            encoder: its name.

        Raises:
            ConfigError: there is no such encoder, it is none of transformers, or has low-rank adapters.
        """
        encoders: dict[str, Any] = {**self.named_encoders()}
        if encoder not in encoders:
            raise ConfigError(f"There is no encoder '{encoder}'. {nearest(encoder, encoders)}")
        chosen = encoders[encoder]
        if not isinstance(chosen, TextEncoder):
            raise ConfigError(f"'{encoder}' is a {type(chosen).__name__}, no text encoder of transformers.")
        tasks = [task for task in self.named_tasks().values() if isinstance(task, MaskedLanguageModel)]
        head = next((task.head for task in tasks if task.text == encoder), None)
        with whole_folder(Path(folder).absolute()) as scratch:
            write_masked_model(chosen.network, chosen.processor.tokenizer, head, scratch)
        return Path(folder)

    def push_to_hub(
        self,
        repo_id: str,
        token: str | None = None,
        private: bool | None = None,
        commit_message: str = "Upload a model of mmbert",
    ) -> str:
        """Uploads what ``save_pretrained`` writes to the Hugging Face hub; returns the address.

        Args:
            repo_id: ``user/name``; made if it does not exist.
            token: one that may write; None = that of ``hf auth login`` or HF_TOKEN.
            private: whether a repository that is made now is private; None = the account's default.
            commit_message: of the commit.

        Raises:
            InputError: it may not be written, or the hub cannot be reached.
        """
        with TemporaryDirectory() as scratch:
            folder = self.save_pretrained(Path(scratch) / "upload")
            return push(folder, repo_id, token, private, commit_message)

    @torch.inference_mode()
    def predict(self, samples: Sequence[Mapping[str, Any]], batch_size: int = 32) -> list[dict[str, dict[str, Any]]]:
        """Answers of every task for samples given as ordinary values.

        Args:
            samples: each ``{"text": str, "image": path or PIL image, "audio": path, array at the encoder's rate, or
                (array, rate in hertz)}``, keyed by encoder name. Any non-empty subset of the modalities will do. Two
                texts that are read together are ``(question, context)``.
            batch_size: samples that go through the model at once.

        Returns:
            For each sample ``{task: {"prediction": label, "probabilities": ...}}``.

        Raises:
            InputError: a sample has an unknown key or none of the modalities.
            DataError: a file cannot be read.
        """
        processors = {name: encoder.processor for name, encoder in self.named_encoders().items()}
        was_training = self.training
        self.eval()
        answers: list[dict[str, dict[str, Any]]] = []
        try:
            for start in range(0, len(samples), batch_size):
                chunk = [self._checked(s, start + i) for i, s in enumerate(samples[start : start + batch_size])]
                inputs, alignments = {}, {}
                for name, processor in processors.items():
                    read = modality_of(processor).from_python
                    raws = [read(sample[name], processor) if name in sample else None for sample in chunk]
                    inputs[name] = processor.collate([None if raw is None else processor.prepare(raw) for raw in raws])
                    if name in self.aligned_to:
                        alignments[name] = [None if raw is None else processor.alignment(raw) for raw in raws]  # type: ignore[attr-defined]
                device = next(self.parameters()).device
                moved = {name: {key: t.to(device) for key, t in tensors.items()} for name, tensors in inputs.items()}
                answers += self.answers(self(moved), alignments)
        finally:
            self.train(was_training)
        return answers

    @property
    def aligned_to(self) -> list[str]:
        """The modalities that tasks are aligned to."""
        return list(dict.fromkeys(name for task in self.named_tasks().values() for name in task.aligned_to))

    def answers(
        self, output: ModelOutput, alignments: Mapping[str, Sequence[Any]] | None = None
    ) -> list[dict[str, dict[str, Any]]]:
        """What ``predict`` returns for the samples of a batch.

        Args:
            output: of the batch.
            alignments: of the modalities ``aligned_to``; ``Batch.alignments``.

        Raises:
            InputError: the model's numbers overflow, so that it has no answer.
        """
        for name, outputs in output.outputs.items():
            if not all(map(is_finite, outputs.values())):
                raise InputError(
                    f"The task '{name}' answers with NaN or infinity: the numbers of {self.source or 'the model'} "
                    "overflow. Its training diverged, or its files are damaged."
                )
        state = output.aligned(alignments or {})
        by_task = {name: task.predict(state, output.outputs[name]) for name, task in self.named_tasks().items()}
        return [dict(zip(by_task, answers, strict=True)) for answers in zip(*by_task.values(), strict=True)]

    def _checked(self, sample: Mapping[str, Any], index: int) -> dict[str, Any]:
        unknown = [key for key in sample if key not in self.encoders]
        if unknown:
            raise InputError(f"Sample {index} has the key '{unknown[0]}'. {nearest(unknown[0], self.encoders)}")
        present = {key: value for key, value in sample.items() if value is not None and not is_empty_text(value)}
        if not present:
            raise InputError(f"Sample {index} has no modality at all: give at least one of {', '.join(self.encoders)}.")
        return present


def check_injection(encoders: Mapping[str, Encoder], fusion: Fusion) -> None:
    """Refuses a fusion that injects into an encoder or a layer that does not exist.

    Raises:
        ConfigError: names the encoder and how many layers it has.
    """
    name, layer = fusion.injects_into, int(getattr(fusion, "layer", 0))
    if name is None:
        return
    count = encoders[name].injectable_layers
    if not count:
        raise ConfigError(
            f"{type(fusion).__name__} injects into the layers of the encoder '{name}', but "
            f"{type(encoders[name]).__name__} has no injectable_layers: a text encoder has (text=minilm)."
        )
    if not 0 <= layer < count:
        raise ConfigError(f"fusion.layer={layer}: the encoder '{name}' has the layers 0 to {count - 1}.")


def check_exchanges(fusion: Fusion, tasks: Mapping[str, Task]) -> None:
    """Refuses tasks that exchange encoded modalities where a fusion does not read these alone.

    Raises:
        ConfigError: names the task.
    """
    for name, task in tasks.items():
        if task.exchanges and (fusion.injects_into is not None or (fusion.views and not task.reads_tokens)):
            raise ConfigError(
                f"tasks.{name} exchanges what encoders gave, and {type(fusion).__name__} "
                + (
                    f"changes '{fusion.injects_into}' while it is encoded"
                    if fusion.injects_into is not None
                    else "decides on each modality alone"
                )
                + f": choose another fusion, or tasks.{name}.negatives=random."
            )


def is_empty_text(value: Any) -> bool:
    """A string of nothing, or of white space alone, stands for an absent modality, as such a cell does in a table."""
    return isinstance(value, str) and not value.strip()
