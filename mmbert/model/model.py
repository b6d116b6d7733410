"""Encoders, a fusion strategy and task heads as one plain ``nn.Module``, with saving, loading and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import torch
from torch import nn

from mmbert.core.errors import InputError
from mmbert.core.types import Encoded, Inputs, State, Tensors
from mmbert.encoders.base import Encoder
from mmbert.fusion.base import Fusion
from mmbert.model.check_parts import check_parts
from mmbert.model.hub import fetch, is_hub_name, push
from mmbert.model.output import ModelOutput
from mmbert.model.rebuild import part_errors
from mmbert.model.samples import prepared_inputs, present_values
from mmbert.model.saved_files import is_finite, load_saved_weights
from mmbert.model.saving import ModelParts, load_parts, save_parts
from mmbert.model.text_export import write_text_encoder
from mmbert.tasks.base import Task
from mmbert.tasks.decision_heads import DecisionHeads


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
        check_parts(encoders, fusion, tasks)
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
        write_text_encoder(self.named_encoders(), self.named_tasks(), encoder, Path(folder))
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
                chunk = samples[start : start + batch_size]
                values = [present_values(sample, start + i, processors) for i, sample in enumerate(chunk)]
                inputs, alignments = prepared_inputs(values, processors, self.aligned_to)
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
