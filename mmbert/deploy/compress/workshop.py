"""Makes the variants that are asked for; what two of them share is made once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from omegaconf import DictConfig

from mmbert.core.errors import ConfigError, InputError, TrainingError
from mmbert.deploy.compress.distillation import Distillation, distilled_key, teacher_outputs
from mmbert.deploy.compress.int8 import GRAPH, quantize_export, quantize_torchao, tensor_bytes
from mmbert.deploy.compress.magnitude import begin_magnitude, end_magnitude
from mmbert.deploy.compress.methods import WITHOUT, Method
from mmbert.deploy.compress.samples import bound, calibration_inputs, export_inputs, tracing_inputs
from mmbert.deploy.compress.settings import Settings
from mmbert.deploy.compress.structured import Removed, drop_layers, prune_channels
from mmbert.deploy.compress.training import (
    distilled_parts,
    parts_of_model,
    train_variant,
    training_config,
    unfreeze,
)
from mmbert.deploy.compress.variant import Variant, size_of, torch_runner, torch_variant, variant_without
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.training.build import Parts, build


@dataclass
class Made:
    """A model that was made on the way.

    Attributes:
        model: in PyTorch.
        folder: in which it is saved.
        zeros: numbers that are held at zero.
        remarks: how it was made.
    """

    model: MultimodalModel
    folder: Path
    zeros: int = 0
    remarks: tuple[str, ...] = ()


@dataclass
class Workshop:
    """What makes variants of one model.

    Args:
        model: as it was trained.
        settings: how.
        say: called with what begins.
    """

    model: MultimodalModel
    settings: Settings
    say: Callable[[str], None]
    made: dict[tuple[str, ...], Made] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def variants(self) -> list[Variant]:
        """All rows that are asked for, the model itself first; why others could not be made is in ``failed``.

        Raises:
            ConfigError: an option is at fault.
        """
        found: list[Variant] = []
        for method in self.settings.methods:
            self.say(method.word)
            if method.word == WITHOUT:
                names = list(self.model.named_encoders())
                if len(names) < 2:
                    self.failed[WITHOUT] = f"the model has '{names[0]}' alone, and nothing is left without it"
                    continue
                found += [variant_without(found[0], name) for name in names]
            else:
                try:
                    found.append(self.variant(method))
                except (InputError, TrainingError) as error:  # what others have cost must not be lost
                    self.failed[method.word] = str(error)
        return found

    def variant(self, method: Method) -> Variant:
        """One row."""
        made = self.changed(method.changes)
        if method.runtime is None:
            return torch_variant(method.word, made.model, made.folder, zeros=made.zeros, remarks=made.remarks)
        if method.runtime == "int8_torchao":
            model = quantize_torchao(made.model)
            size = tensor_bytes(model)
            remark = (
                *made.remarks,
                "linear layers of encoders by torchao; made at loading, its size is of its tensors",
            )
            count = sum(p.numel() for p in made.model.parameters())
            row = Variant(method.word, torch_runner(model), made.model, made.folder, "torchao", size, size, count)
            return replace(row, zeros=made.zeros, remarks=remark)
        return self.exported(method, made)

    def exported(self, method: Method, made: Made) -> Variant:
        """A row that onnxruntime runs."""
        from mmbert.deploy.export import export_model
        from mmbert.deploy.exported_graph import flat_inputs
        from mmbert.deploy.onnx_model import OnnxModel

        whole = self.settings.out / "+".join([*method.changes, "onnx"])
        if not (whole / GRAPH).is_file():
            real = export_inputs(made.model, self.settings.data, self.settings.split)
            export_model(made.model, whole, real, ("onnx",))
        folder, remarks = whole, made.remarks
        if method.runtime == "int8_onnx":
            folder = self.settings.out / method.word
            given = self.settings.calibration
            batches = calibration_inputs(made.model, self.settings.data, given) if given else []
            feeds = [{key: tensor.numpy() for key, tensor in flat_inputs(inputs).items()} for inputs in batches]
            fixed = {f"model.{name}" for name, _ in made.model.named_buffers()}
            done = quantize_export(whole, folder, feeds, fixed)
            remarks = (*remarks, done.described())
        graph = OnnxModel(folder, threads=self.settings.threads)
        size, deflated = size_of([folder / GRAPH])
        count = sum(p.numel() for p in made.model.parameters())
        return Variant(
            method.word,
            lambda inputs, targets: graph.outputs(inputs),
            made.model,
            folder / GRAPH,
            "onnx",
            size,
            deflated,
            count,
            zeros=made.zeros,
            remarks=remarks,
        )

    def changed(self, changes: tuple[str, ...]) -> Made:
        """The model after changes; made once."""
        if not changes:
            return Made(self.model, self.settings.folder)
        if changes not in self.made:
            before = self.changed(changes[:-1])
            change = changes[-1]
            folder = self.settings.out / "+".join(changes)
            if change in ("distil", "student"):
                self.made[changes] = self.taught(folder, change)
            else:
                self.made[changes] = self.pruned(before, change, folder)
        return self.made[changes]

    def pruned(self, before: Made, change: str, folder: Path) -> Made:
        """A copy of a model with parts cut out or held at zero, trained on."""
        amount, model = self.settings.amount, copy.deepcopy(before.model)
        unfreeze(model)
        zeros = before.zeros
        if change == "magnitude":
            zeros = begin_magnitude(model, amount)
            remark = f"{zeros:,} weights are zero"
        else:
            remark = "; ".join(self.cut(model, change))
        folder = self.trained(model, folder)
        if change == "magnitude":
            end_magnitude(model)
            model.save_pretrained(folder)
            RunFolder(folder.parent).sign_model()
        epochs = self.settings.epochs
        after = f"trained on for {counted_epochs(epochs)}" if epochs else "not trained on"
        return Made(self.loaded(folder), folder, zeros, (*before.remarks, remark, after))

    def cut(self, model: MultimodalModel, change: str) -> list[str]:
        """Cuts heads and channels, or layers, out of every encoder; says what.

        Raises:
            InputError: nothing could be cut out of any; says why.
        """
        remark, cut = [], False
        inputs = tracing_inputs(model, self.settings.data, self.settings.split) if change == "structured" else {}
        for name, encoder in model.named_encoders().items():
            if change == "layers":
                removed = drop_layers(encoder, self.settings.amount)
            elif name not in inputs:
                removed = Removed(kept_whole="no two samples have this modality")
            else:
                removed = prune_channels(encoder.eval(), inputs[name], self.settings.amount)
            remark.append(f"{name}: {removed.described()}")
            cut = cut or not removed.kept_whole
        if not cut:
            raise InputError("; ".join(remark))
        return remark

    def trained(self, model: MultimodalModel, folder: Path) -> Path:
        """Trains a changed model on; without epochs it is saved as it is. Returns the saved model's folder."""
        cfg = self.training()
        if not self.settings.epochs:
            run = RunFolder(folder)
            run.write_start(cfg)
            return model.save_pretrained(run.model)
        return train_variant(
            training_config(cfg, self.settings.epochs, self.settings.seed), folder, parts_of_model(model)
        )

    def taught(self, folder: Path, change: str) -> Made:
        """A student, trained by its labels and, with ``distil``, by what the model answers."""
        settings = self.settings
        assert settings.student is not None  # the command refuses these methods without one
        cfg = student_config(settings.student, settings.seed)
        keys = {name: distilled_key(name, task) for name, task in self.model.named_tasks().items() if task.weight}

        def teach(parts: Parts) -> Distillation:
            split = bound(self.model, cfg.data, "train")
            torch_runner(self.model)
            known = teacher_outputs(self.model, split.plain_loader("train"), keys)
            return Distillation(known, keys, settings.temperature, settings.alpha, settings.seed)

        remark = f"distilled with T = {settings.temperature:g}, alpha = {settings.alpha:g}"
        model = train_variant(cfg, folder, distilled_parts(teach) if change == "distil" else build)
        kind = remark if change == "distil" else "the same student, trained by its labels alone"
        return Made(self.loaded(model), model, 0, (f"{kind}; {counted_epochs(cfg.trainer.max_epochs)}",))

    def training(self) -> DictConfig:
        """The run's config.

        Raises:
            ConfigError: the model lies in no run's folder.
        """
        if self.settings.training is None:
            raise ConfigError(
                f"{self.settings.folder} lies in no run's folder: how it was trained is not known, so that nothing can "
                "be trained on. Without training: methods=[onnx,int8_onnx,int8_torchao,without]"
            )
        return self.settings.training

    def loaded(self, folder: Path) -> MultimodalModel:
        """A model as others load it from its folder."""
        return MultimodalModel.from_pretrained(folder, trust_custom_code=self.settings.trusted)


def counted_epochs(count: int) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{count} epoch{'s' * (count != 1)}"


def student_config(cfg: DictConfig, seed: int) -> DictConfig:
    """A student's config: its own epochs, no trackers, no plots."""
    origin = cfg.get("encoders_from")
    made = training_config(cfg, int(cfg.trainer.max_epochs), seed)
    made.encoders_from = origin
    return made
