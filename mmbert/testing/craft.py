"""The rest of the contract: shapes, modes, number formats, saving, compiling, exporting."""

from __future__ import annotations

import torch
from torch import Tensor

from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.testing.inputs import random_inputs
from mmbert.testing.laws import TOLERANCE, Maker, batch_of, check_finite, objective
from mmbert.testing.outcome import Broken, difference, tensors_of


def shapes_are_right(make: Maker) -> None:
    """pooled (B, H); tokens (B, L_m, H) with their masks; scalar auxiliary losses; diagnostics only when asked for."""
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    fused = fusion(inputs)
    size, width = len(next(iter(inputs.values())).mask), fusion.out_dim
    cause = "the output does not follow DESIGN: pooled (B, H), tokens {modality: (B, L, H)}"
    if fused.pooled.shape != (size, width):
        raise Broken(f"pooled has the shape {tuple(fused.pooled.shape)}, not {(size, width)}", cause)
    for name, x in inputs.items():
        tokens, mask = fused.tokens.get(name), fused.masks.get(name)
        if tokens is None or tokens.shape != (*x.mask.shape, width):
            raise Broken(f"tokens[{name!r}] is {None if tokens is None else tuple(tokens.shape)}", cause)
        if mask is None or not torch.equal(mask, x.mask):
            raise Broken(
                f"masks[{name!r}] is not the encoder's own", "positions must stay, so that labels stay aligned"
            )
    for name, loss in fused.auxiliary_losses.items():
        if loss.ndim:
            raise Broken(f"auxiliary_losses[{name!r}] has the shape {tuple(loss.shape)}", "reduce it to a scalar")
    if fused.diagnostics:
        raise Broken(f"diagnostics {list(fused.diagnostics)} come unasked", "fill them only when diagnostics=True")
    asked = fusion(inputs, diagnostics=True)
    seen = difference(tensors_of(fused), tensors_of(asked), TOLERANCE)
    if seen:
        raise Broken(f"when diagnostics are asked for, {seen}", "asking for diagnostics must not change the result")


def evaluation_is_deterministic(make: Maker) -> None:
    """The same input gives the same output, twice, whatever the random state."""
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    torch.manual_seed(1)
    first = tensors_of(fusion(inputs))
    torch.manual_seed(2)
    seen = difference(first, tensors_of(fusion(inputs)))
    if seen:
        raise Broken(
            f"the second time, {seen}", "dropout or noise in evaluation mode: F.dropout needs training=self.training"
        )


def inputs_are_left_alone(make: Maker) -> None:
    """No input is edited in place."""
    for training in (False, True):
        fusion = make(0).train(training)
        inputs = batch_of(fusion)
        copies = {n: Encoded(x.tokens.clone(), x.mask.clone(), x.pooled.clone()) for n, x in inputs.items()}
        fusion(inputs)
        for name, x in inputs.items():
            for field in ("tokens", "mask", "pooled"):
                if not torch.equal(getattr(x, field), getattr(copies[name], field)):
                    raise Broken(f"{field} of {name} is changed", "an operation in place: add_, *=, x[...] = ...")


def a_batch_of_one_works(make: Maker) -> None:
    """Training and evaluation with a single sample, gradients included."""
    cause = "squeeze() without a dimension, or batch statistics: both need more than one sample"
    for training in (True, False):
        fusion = make(0).train(training)
        try:
            fused = fusion(random_inputs(fusion.dims, 1))
            objective(fused).backward()
        except Exception as error:
            raise Broken(f"a batch of one raises {type(error).__name__}: {error}", cause) from error
        if fused.pooled.shape != (1, fusion.out_dim):
            raise Broken(f"a batch of one gives pooled of shape {tuple(fused.pooled.shape)}", cause)


def number_formats_are_kept(make: Maker) -> None:
    """In bfloat16 and float64 the output has the input's format, and is finite."""
    cause = "a tensor made without dtype and device of the input, or a cast to float32 in between"
    for dtype in (torch.bfloat16, torch.float64):
        fusion = make(0).eval().to(dtype)
        inputs = {n: Encoded(x.tokens.to(dtype), x.mask, x.pooled.to(dtype)) for n, x in batch_of(fusion).items()}
        try:
            outputs = tensors_of(fusion(inputs))
        except Exception as error:
            raise Broken(f"in {dtype} it raises {type(error).__name__}: {error}", cause) from error
        check_finite(outputs, "a constant outside the format's range, such as -1e9 in float16")
        for name, tensor in outputs.items():
            if tensor.dtype != dtype:
                raise Broken(f"in {dtype}, {name} is {tensor.dtype}", cause)


def state_is_complete(make: Maker) -> None:
    """The state dict, loaded into a freshly built fusion, gives the same output."""
    first, second = make(0).eval(), make(1).eval()
    second.load_state_dict(first.state_dict())
    inputs = batch_of(first)
    seen = difference(tensors_of(first(inputs)), tensors_of(second(inputs)))
    if seen:
        raise Broken(
            f"after saving and loading, {seen}",
            "random numbers that are no parameter or buffer: register_buffer saves them with the module",
        )


def tokens_can_be_dropped(make: Maker) -> None:
    """Without tokens pooled is the same."""
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    before = {"pooled": fusion(inputs).pooled}
    fusion.drop_tokens()
    fused = fusion(inputs)
    seen = difference(before, {"pooled": fused.pooled})
    if seen or fused.tokens:
        raise Broken(seen or f"tokens {list(fused.tokens)} are still given", "leave tokens to the base class")


class Pooled(torch.nn.Module):
    """The fusion as a plain module of tensors, as compilers and exporters want it.

    Args:
        fusion: what is wrapped.
    """

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, tokens: dict[str, Tensor], masks: dict[str, Tensor], pooled: dict[str, Tensor]) -> Tensor:
        """Tensors by modality -> pooled (B, H)."""
        fused: Tensor = self.fusion({n: Encoded(tokens[n], masks[n], pooled[n]) for n in tokens}).pooled
        return fused


def compiles(make: Maker, backend: str = "aot_eager") -> None:
    """torch.compile gives the same numbers, in one graph."""
    fusion = make(0).eval()
    wrapped, arguments = Pooled(fusion), as_tensors(batch_of(fusion))
    try:
        with torch.no_grad():
            out = torch.compile(wrapped, backend=backend, fullgraph=True)(*arguments)
    except Exception as error:
        raise Broken(f"torch.compile raises {type(error).__name__}: {str(error)[:300]}", UNTRACEABLE) from error
    seen = difference({"pooled": wrapped(*arguments)}, {"pooled": out}, TOLERANCE)
    if seen:
        raise Broken(f"compiled, {seen}", "a value that depends on Python state")


def exports(make: Maker) -> None:
    """torch.export gives the same numbers."""
    fusion = make(0).eval()
    wrapped, arguments = Pooled(fusion), as_tensors(batch_of(fusion))
    try:
        out = torch.export.export(wrapped, arguments).module()(*arguments)
    except Exception as error:
        raise Broken(f"torch.export raises {type(error).__name__}: {str(error)[:300]}", UNTRACEABLE) from error
    seen = difference({"pooled": wrapped(*arguments)}, {"pooled": out}, TOLERANCE)
    if seen:
        raise Broken(f"exported, {seen}", "a value that depends on Python state")


UNTRACEABLE = "Python control flow that depends on a tensor's values: if x.any(), int(x), a loop over samples"


def as_tensors(inputs: dict[str, Encoded]) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Inputs as ``Pooled`` takes them."""
    return (
        {n: x.tokens for n, x in inputs.items()},
        {n: x.mask for n, x in inputs.items()},
        {n: x.pooled for n, x in inputs.items()},
    )
