"""Adapter: makes a strategy of any module or function that takes a list of vectors and returns one vector.

    z = W f([u_1, …, u_M]) + b,   u_m = v_m, or P_m v_m with ``project_to``;  where m is absent, u_m = e_m or zeros

The module f needs no change and reads no masks and no names: it is called with the modalities' pooled vectors in the
order of ``dims``, always all M of them. The adapter replaces an absent modality by a learned vector e_m, or by zeros.
The interface is that of MultiBench (Liang et al. 2021, "MultiBench: Multiscale Benchmarks for Multimodal
Representation Learning", arXiv:2107.07502), whose fusion modules fit as they are; it has no missing modalities.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.init_args import find_class
from mmbert.core.ranges import OneOf, Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion

STAND_INS = ("learned", "zeros")


class Concatenate(nn.Module):
    """The simplest module of this kind: concatenation. Your module takes its place."""

    def forward(self, vectors: list[Tensor]) -> Tensor:
        """M vectors (B, D_m) -> (B, D_1 + … + D_M)."""
        return torch.cat(vectors, 1)


class AdapterFusion(Fusion):
    """Wraps a class or a function that makes one vector (B, X) of a list of vectors (B, D_m).

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector; where the module gives another, a linear layer brings it to H.
        module: ``{"_target_": "my_module.MyModule", ...}``: a class, built with the other entries, or a function, which
            is given them at every call.
        absent: what replaces an absent modality: ``learned``, a learned vector, or ``zeros``.
        project_to: a linear layer for each modality brings its vector to this width first, for modules that add or
            multiply; None = as encoders give them.
        dims_as: the name under which the module's class takes the list of widths, such as ``input_dims``; None = it
            does not want them.
        out_dim_as: the name under which it takes H, such as ``output_dim``; None = it does not want it.

    Raises:
        ConfigError: the module cannot be built, fails on a list of such vectors, or gives no tensor (B, X).
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int,
        module: Mapping[str, Any],
        absent: Annotated[str, OneOf("learned", "zeros")] = "learned",
        project_to: Annotated[int | None, Range(1)] = None,
        dims_as: str | None = None,
        out_dim_as: str | None = None,
    ) -> None:
        super().__init__(dims, out_dim)
        if absent not in STAND_INS:
            raise ConfigError(f"fusion.absent={absent}: choose from {', '.join(STAND_INS)}.")
        widths = [project_to or d for d in dims.values()]
        given = {**({dims_as: widths} if dims_as else {}), **({out_dim_as: out_dim} if out_dim_as else {})}
        self.module = build_module(module, given)
        self.project = nn.ModuleDict({m: nn.Linear(d, project_to) for m, d in dims.items()} if project_to else {})
        # a single modality is never absent: a stand-in for it would not learn
        learned = dict(zip(dims, widths, strict=True)) if absent == "learned" and len(dims) > 1 else {}
        self.stand_in = nn.ParameterDict({m: nn.Parameter(torch.randn(w) / w**0.5) for m, w in learned.items()})
        width = given_width(self.module, str(module.get("_target_")), widths)
        self.linear = nn.Identity() if width == out_dim else nn.Linear(width, out_dim)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        vectors = []
        for name, x in inputs.items():
            vector = self.project[name](x.pooled) if self.project else x.pooled
            absent = self.stand_in[name] if self.stand_in else torch.zeros_like(vector)
            vectors.append(torch.where(x.present.unsqueeze(1), vector, absent.to(vector.dtype)))
        fused: Tensor = self.linear(self.module(vectors))
        return fused


def build_module(options: Mapping[str, Any], given: Mapping[str, Any]) -> Callable[[list[Tensor]], Tensor]:
    """A class's object, or a function with its options bound.

    Args:
        options: ``_target_`` and whatever it takes.
        given: further arguments, which the adapter adds (widths).

    Raises:
        ConfigError: there is no such class, or it refuses its options.
    """
    options = dict(options)
    target = options.pop("_target_", None)
    if not isinstance(target, str):
        raise ConfigError("fusion.module has no _target_. Name your class: fusion.module._target_=my_module.MyModule")
    found: Any = find_class(target)
    try:
        if not inspect.isclass(found):
            return functools.partial(found, **options, **given) if options or given else found
        module = found(**options, **given)
    except TypeError as error:
        hint = "" if given else " Widths are passed with fusion.dims_as=NAME and fusion.out_dim_as=NAME."
        raise ConfigError(f"fusion.module: {target} cannot be built: {error}.{hint}") from error
    if not callable(module):
        raise ConfigError(f"fusion.module: a {target} cannot be called with a list of vectors.")
    return module


def given_width(module: Callable[[list[Tensor]], Tensor], target: str, widths: Sequence[int]) -> int:
    """The width X of a module's output, from a trial on two samples that changes no state of the module.

    Raises:
        ConfigError: it fails, or gives something else than (B, X).
    """
    # trained parts keep their mode; in evaluation no running statistics move
    modes = {part: part.training for part in module.modules()} if isinstance(module, nn.Module) else {}
    if isinstance(module, nn.Module):
        module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            result: Any = module([torch.randn(2, width) for width in widths])
    except Exception as error:
        raise ConfigError(
            f"fusion.module: {target} fails on a list of vectors of widths {list(widths)}: {error}. "
            "One that adds or multiplies them needs one width: fusion.project_to=128"
        ) from error
    finally:
        for part, mode in modes.items():
            part.training = mode
    if not isinstance(result, Tensor) or result.ndim != 2 or len(result) != 2:
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise ConfigError(f"fusion.module: {target} must make (B, X) of a list of (B, D); of B = 2 it makes {shape}.")
    return int(result.shape[1])
