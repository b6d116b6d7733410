"""Writes a traced graph as a file of torch.export, which torch alone reads: no class of this package is needed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import ExportedProgram

from mmbert.core.whole_files import whole_file
from mmbert.deploy.onnx_files import quietly


def write_torch(program: ExportedProgram, path: Path) -> None:
    """A traced graph as a ``.pt2`` file, which appears whole or not at all.

    ``torch.export.load(path).module(check_guards=False)`` takes and gives dictionaries of tensors by name. Its guards
    would refuse sizes of 1 (one sample, one token), for which the numbers are right as well.
    """
    with quietly(), whole_file(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file)
