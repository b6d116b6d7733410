"""Runs that were interrupted after an epoch: their config, or their checkpoints, are damaged before they go on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_bytes import damage_file_bytes
from damage_harness.mutate_trees import damage_yaml
from damage_harness.subject import Lost, Subject

WORDS = (
    *("data=manifest", "text=tiny", "image=none", "audio=none", "fusion=mean", "fusion.out_dim=8", "logger=csv"),
    *("trainer=cpu", "trainer.max_epochs=2", "data.num_workers=0", "data.batch_size=16", "plots=false"),
    *(
        "store.enabled=false",
        "+task@tasks.label=classification",
        "tasks.label.column=label",
        "trainer.enable_progress_bar=false",
    ),
)


class Stopped(Exception):
    """The run was interrupted."""


class InterruptedRuns(Subject):
    """What is common to both kinds of damage."""

    seconds = 60.0
    imports = ("mmbert.training.run", "mmbert.cli.resume", "mmbert.encoders.text", "mmbert.cli.options.check")

    def make(self, folder: Path) -> None:
        """A run of two epochs, stopped as the second begins."""
        from hydra import compose, initialize_config_module

        from mmbert.training.callbacks.step_times import StepTimes
        from mmbert.training.run import run

        rows = [f"word {number % 7} and {'good' if number % 2 else 'bad'},{number % 2}" for number in range(32)]
        lines = [
            f"{row},{'train' if number < 20 else 'val' if number < 26 else 'test'}" for number, row in enumerate(rows)
        ]
        (folder / "table.csv").write_text("\n".join(["text,label,split", *lines]) + "\n")
        with initialize_config_module("mmbert.conf", version_base="1.3"):
            cfg = compose("train", overrides=[*WORDS, f"data.path={folder / 'table.csv'}"])
        before = StepTimes.on_train_epoch_start

        def stop(self: Any, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 1:
                raise Stopped
            before(self, trainer, module)

        StepTimes.on_train_epoch_start = stop  # type: ignore[method-assign]
        try:
            run(cfg, folder / "run")
        except Stopped:
            pass
        finally:
            StepTimes.on_train_epoch_start = before  # type: ignore[method-assign]

    def use(self, folder: Path) -> Any:
        """The numbers of the run after it has gone on; where it cannot, everything is still there."""
        from mmbert.cli.resume import resume
        from mmbert.core.errors import MmbertError

        run = folder / "run"
        kept = {path.name: path.read_bytes() for path in run.glob("checkpoints/*.ckpt")}
        try:
            resume([f"resume={run}"])
        except MmbertError:
            for name, content in kept.items():
                if not (run / "checkpoints" / name).is_file() or (run / "checkpoints" / name).read_bytes() != content:
                    raise Lost(f"{name} is gone") from None
            raise
        metrics = json.loads((run / "metrics.json").read_text())
        return {key: value for key, value in metrics.items() if re.match(r"(val|test)/", key)}

    def wrong(self, found: Any, whole: Any, what: str) -> str:
        """A run that goes on ends with the numbers of one that was left alone."""
        return "" if found == whole else f"other numbers: {found}, undamaged {whole}"


class Configs(InterruptedRuns):
    """``config.yaml`` of a run that is resumed."""

    name = "configs on resume"
    inputs = 400
    quick = 3

    def damage(self, draw: Random, folder: Path) -> str:
        """Changes one place, or sorts all keys."""
        return damage_yaml(draw, folder / "run" / "config.yaml")


class Checkpoints(InterruptedRuns):
    """``last.ckpt`` and the best checkpoint of a run that is resumed."""

    name = "checkpoints"
    inputs = 400
    quick = 3

    def damage(self, draw: Random, folder: Path) -> str:
        """Of every third file a part of the content is taken away or changed, of the others the bytes."""
        path = draw.choice(sorted((folder / "run" / "checkpoints").glob("*.ckpt")))
        if draw.random() < 0.05:
            path.unlink()
            return f"{path.name} missing"
        return damage_content(draw, path) if draw.random() < 0.3 else damage_file_bytes(draw, path)


def damage_content(draw: Random, path: Path) -> str:
    """Writes a checkpoint anew without one of its parts, or with a tensor of another shape."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    way = draw.choice(("drop", "drop", "null", "tensor", "name"))
    if way in ("drop", "null"):
        key = draw.choice(sorted(content))
        if way == "null":
            content[key] = None
        else:
            del content[key]
        what = f"{key}: {way}"
    else:
        name = draw.choice(sorted(content["state_dict"]))
        tensor = content["state_dict"].pop(name)
        if way == "tensor":
            content["state_dict"][name] = torch.cat([tensor.reshape(-1)] * 2)
        what = f"tensor {name}: {'shape' if way == 'tensor' else 'drop'}"
    torch.save(content, path)
    return f"{path.name}: {what}"
