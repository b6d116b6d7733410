"""The rest of the contract: building, shapes, modes, number formats, devices, saving."""

from __future__ import annotations

import torch

from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.testing.fusion_gradients import refuse_unlearned
from mmbert.testing.fusion_inputs import random_inputs
from mmbert.testing.fusion_masking import Maker, batch_of, objective
from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import TOLERANCE, check_finite, difference, fused_tensors


def can_be_built(make: Maker) -> None:
    """From ``dims`` and ``out_dim``, for any number of modalities."""
    fusion = make(0)
    if not isinstance(fusion, Fusion):
        seen = f"what is built is a {type(fusion).__name__}, not a Fusion"
        raise ContractViolation(seen, "derive from mmbert.fusion.base.Fusion")


def shapes_are_right(make: Maker) -> None:
    """pooled (B, H); tokens (B, L_m, H) with their masks; scalar auxiliary losses; diagnostics only when asked for."""
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    fused = fusion(inputs)
    size, width = len(next(iter(inputs.values())).mask), fusion.out_dim
    cause = "the output does not follow DESIGN: pooled (B, H), tokens {modality: (B, L, H)}"
    if fused.pooled.shape != (size, width):
        raise ContractViolation(f"pooled has the shape {tuple(fused.pooled.shape)}, not {(size, width)}", cause)
    for name, x in inputs.items():
        tokens, mask = fused.tokens.get(name), fused.masks.get(name)
        if tokens is None or tokens.shape != (*x.mask.shape, width):
            raise ContractViolation(f"tokens[{name!r}] is {None if tokens is None else tuple(tokens.shape)}", cause)
        if mask is None or not torch.equal(mask, x.mask):
            raise ContractViolation(
                f"masks[{name!r}] is not the encoder's own", "positions must stay, so that labels stay aligned"
            )
    for name, loss in fused.auxiliary_losses.items():
        if loss.ndim:
            raise ContractViolation(
                f"auxiliary_losses[{name!r}] has the shape {tuple(loss.shape)}", "reduce it to a scalar"
            )
    if fused.diagnostics:
        raise ContractViolation(
            f"diagnostics {list(fused.diagnostics)} come unasked", "fill them only when diagnostics=True"
        )
    asked = fusion(inputs, diagnostics=True)
    seen = difference(fused_tensors(fused), fused_tensors(asked), TOLERANCE)
    if seen:
        raise ContractViolation(
            f"when diagnostics are asked for, {seen}", "asking for diagnostics must not change the result"
        )


def evaluation_is_deterministic(make: Maker) -> None:
    """The same input gives the same output, twice, whatever the random state."""
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    torch.manual_seed(1)
    first = fused_tensors(fusion(inputs))
    torch.manual_seed(2)
    seen = difference(first, fused_tensors(fusion(inputs)))
    if seen:
        raise ContractViolation(
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
                    raise ContractViolation(
                        f"{field} of {name} is changed", "an operation in place: add_, *=, x[...] = ..."
                    )


def a_batch_of_one_works(make: Maker) -> None:
    """Training and evaluation with a single sample, gradients included."""
    cause = "squeeze() without a dimension, or batch statistics: both need more than one sample"
    for training in (True, False):
        fusion = make(0).train(training)
        try:
            fused = fusion(random_inputs(fusion.dims, 1))
            objective(fused).backward()
        except Exception as error:
            raise ContractViolation(f"a batch of one raises {type(error).__name__}: {error}", cause) from error
        if fused.pooled.shape != (1, fusion.out_dim):
            raise ContractViolation(f"a batch of one gives pooled of shape {tuple(fused.pooled.shape)}", cause)


def number_formats_are_kept(make: Maker) -> None:
    """In bfloat16 and float64 the output has the input's format, and is finite; mixed precision trains."""
    cause = "a tensor made without dtype and device of the input, or a cast to float32 in between"
    for dtype in (torch.bfloat16, torch.float64):
        fusion = make(0).eval().to(dtype)
        try:
            outputs = fused_tensors(fusion(cast(batch_of(fusion), [dtype])))
        except Exception as error:
            raise ContractViolation(f"in {dtype} it raises {type(error).__name__}: {error}", cause) from error
        check_finite(outputs, "a constant outside the format's range, such as -1e9 in float16")
        for name, tensor in outputs.items():
            if tensor.dtype != dtype:
                raise ContractViolation(f"in {dtype}, {name} is {tensor.dtype}", cause)
    fusion = make(0).train()
    # under autocast an encoder that ends in a linear layer gives bfloat16, one that ends in a norm float32
    inputs = cast(batch_of(fusion), [torch.bfloat16, torch.float32])
    try:
        with torch.autocast("cpu", torch.bfloat16):
            fused = fusion(inputs)
        objective(fused).backward()
    except Exception as error:
        seen = f"in mixed precision (torch.autocast) it raises {type(error).__name__}: {error}"
        raise ContractViolation(
            seen, "two formats meet where torch does not convert: x[mask] = …, scatter_, a @= …"
        ) from error
    check_finite(fused_tensors(fused), cause)


def cast(inputs: dict[str, Encoded], dtypes: list[torch.dtype]) -> dict[str, Encoded]:
    """The same numbers in other formats, which the modalities take in turn."""
    turns = {name: dtypes[number % len(dtypes)] for number, name in enumerate(inputs)}
    return {n: Encoded(x.tokens.to(turns[n]), x.mask, x.pooled.to(turns[n])) for n, x in inputs.items()}


def devices_are_kept(make: Maker) -> None:
    """Everything it makes on the way is on the inputs' device; seen on the ``meta`` device, which needs no GPU."""
    fusion = make(0).eval()
    inputs = {
        n: Encoded(x.tokens.to("meta"), x.mask.to("meta"), x.pooled.to("meta")) for n, x in batch_of(fusion).items()
    }
    fusion = fusion.to("meta")
    for diagnostics in (False, True):
        try:
            fusion(inputs, diagnostics=diagnostics)
        except (RuntimeError, TypeError) as error:
            if "device" in str(error) or "cpu" in str(error):  # others: what meta tensors cannot do
                cause = "a tensor made without device=x.device, or one that is neither parameter nor buffer"
                raise ContractViolation(f"on another device than the CPU it raises: {error}", cause) from error


def key_order_changes_nothing(make: Maker) -> None:
    """The order of the modalities is that of ``dims``, whatever order the inputs come in."""
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    seen = difference(fused_tensors(fusion(inputs)), fused_tensors(fusion(dict(reversed(inputs.items())))))
    if seen:
        raise ContractViolation(
            f"with the keys in another order, {seen}", "walk through self.dims, not through the inputs given"
        )


def state_is_complete(make: Maker) -> None:
    """After a step of training the state dict, loaded into a freshly built fusion, gives the same output."""
    first, second = make(0), make(1).eval()
    objective(first.train()(batch_of(first, seed=1))).backward()
    with torch.no_grad():
        for parameter in first.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-3)
    first.eval()
    second.load_state_dict(first.state_dict())
    inputs = batch_of(first)
    seen = difference(fused_tensors(first(inputs)), fused_tensors(second(inputs)))
    if seen:
        raise ContractViolation(
            f"after saving and loading, {seen}",
            "something drawn when built or gathered in training that is no parameter or buffer: register_buffer",
        )


def tokens_can_be_dropped(make: Maker) -> None:
    """Without tokens pooled is the same, and all that is left still learns."""
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    before = {"pooled": fusion(inputs).pooled}
    fusion.drop_tokens()
    fused = fusion(inputs)
    seen = difference(before, {"pooled": fused.pooled}, TOLERANCE)
    if seen or fused.tokens:
        raise ContractViolation(
            seen or f"tokens {list(fused.tokens)} are still given", "leave tokens to the base class"
        )
    fusion.train()
    for seed in range(6):  # with all present, and then with some missing
        objective(fusion(batch_of(fusion, seed=seed, missing=seed > 2))).backward()
    try:
        refuse_unlearned(fusion)
    except ContractViolation as broken:
        cause = "it serves tokens alone: remove it in drop_tokens, or several processes wait for its gradient in vain"
        raise ContractViolation(f"without tokens, {broken.seen}", cause) from broken
