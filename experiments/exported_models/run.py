"""Exports a small model with every fusion strategy, and writes results.csv: differences, sizes, seconds.

python experiments/exported_models/run.py [STRATEGY ...]
"""

import csv
import sys
import tempfile
from pathlib import Path

import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from mmbert.core.errors import InputError
from mmbert.deploy.export import export_model
from mmbert.deploy.trial_inputs import made_inputs
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification

HERE = Path(__file__).parent
FUSIONS = HERE.parents[1] / "conf" / "fusion"
WIDTH = 16
COLUMNS = ["fusion", "encoders", "format", "max_difference", "bytes", "trace_seconds", "write_seconds", "reason"]


def strategies() -> list[str]:
    """All that come with the package."""
    return sorted(path.stem for path in FUSIONS.glob("*.yaml"))


def small_model(name: str) -> MultimodalModel:
    """A model with the strategy; with layer injection the text has a transformer, else all modalities are vectors."""
    torch.manual_seed(0)
    options = OmegaConf.to_container(OmegaConf.load(FUSIONS / f"{name}.yaml"))
    kind = get_class(options.pop("_target_"))
    own = {key: value for key, value in options.items() if key != "out_dim" and not key.startswith("_")}
    vectors = {"text": FeatureEncoder(16), "image": FeatureEncoder(12), "audio": FeatureEncoder(20)}
    fusion = kind({modality: encoder.out_dim for modality, encoder in vectors.items()}, WIDTH, **own)
    if fusion.injects_into == "text":
        vectors["text"] = TextEncoder("tiny")
        fusion = kind({modality: encoder.out_dim for modality, encoder in vectors.items()}, WIDTH, **own)
    task = Classification(WIDTH, "answer", ["a", "b", "c"])
    return MultimodalModel(vectors, fusion, {"answer": task}).eval()


def rows_of(name: str) -> list[dict[str, object]]:
    """What is known of a strategy's exports, one row a format."""
    model = small_model(name)
    processors = {modality: encoder.processor for modality, encoder in model.named_encoders().items()}
    batches = [made_inputs(processors, 6, seed=0), made_inputs(processors, 4, seed=1)]
    kinds = "+".join(processor.kind for processor in processors.values())
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            made = export_model(model, Path(scratch) / "out", batches, ("onnx", "torch"))
        except InputError as error:
            return [{"fusion": name, "encoders": kinds, "format": form, "reason": error} for form in ("onnx", "torch")]
        for form, by_subset in made.differences.items():
            rows.append(
                {
                    "fusion": name,
                    "encoders": kinds,
                    "format": form,
                    "max_difference": f"{max(one.scaled for one in by_subset.values()):.1e}",
                    "bytes": sum(made.sizes[file] for file in made.files[form]),
                    "trace_seconds": f"{made.seconds['trace']:.1f}",
                    "write_seconds": f"{made.seconds[form]:.1f}",
                }
            )
    return rows


def main() -> None:
    """Every strategy, or those that are named."""
    torch.set_num_threads(1)
    with (HERE / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in sys.argv[1:] or strategies():
            for row in rows_of(name):
                writer.writerow(row)
                print(*row.values(), flush=True)
            file.flush()


if __name__ == "__main__":
    main()
