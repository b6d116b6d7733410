"""Laws of encoders: building, shapes, modes, what learns, number formats, small batches."""

from __future__ import annotations

import copy
from typing import Any

import torch

from mmbert.core.errors import ConfigError
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.base import Encoder
from mmbert.testing.encoder_masking import descend, slopes
from mmbert.testing.encoder_samples import EncoderCase, collated, encoded_tensors
from mmbert.testing.hidden import hidden_tensors
from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import BFLOAT16_TOLERANCE, check_finite, difference, weighted_sum


def can_be_built(case: EncoderCase) -> None:
    """It derives from ``Encoder``, says what it reads, and sets ``out_dim`` and ``processor``."""
    encoder = case.make()
    if not isinstance(encoder, Encoder):
        seen = f"what is built is a {type(encoder).__name__}, not an Encoder"
        raise ContractViolation(seen, "derive from mmbert.encoders.base.Encoder")
    try:
        modality_of(encoder)
    except ConfigError as error:
        raise ContractViolation(str(error), "a plain attribute of the class: kind or modality") from error
    for name, cause in (
        ("out_dim", "set self.out_dim in __init__ to the width of a token"),
        ("processor", "set self.processor in __init__: prepare(raw) and collate(prepared)"),
    ):
        if not hasattr(encoder, name):
            raise ContractViolation(f"it has no {name}", cause)
    if not isinstance(encoder.out_dim, int) or encoder.out_dim < 1:
        raise ContractViolation(f"out_dim is {encoder.out_dim!r}", "the width of a token is a number of at least 1")
    for name in ("prepare", "collate"):
        if not callable(getattr(encoder.processor, name, None)):
            raise ContractViolation(f"the processor has no {name}", "see mmbert.data.modalities.processor.Processor")


def shapes_are_right(case: EncoderCase) -> None:
    """tokens (B, L, D), mask (B, L) bool, pooled (B, D), D = ``out_dim``; who is present is what the processor says."""
    encoder = case.make().eval()
    values = [None, *case.values(encoder)]
    inputs = collated(encoder, values)
    mask = inputs.get("mask")
    given = [value is not None for value in values]
    if mask is None or mask.dtype != torch.bool or mask.ndim != 2 or mask.any(1).tolist() != given:
        seen = "no mask" if mask is None else f"a mask {tuple(mask.shape)} of {mask.dtype}"
        cause = "collate gives mask (B, L) bool: a row of False for None, at least one True for every other sample"
        raise ContractViolation(f"for {len(values)} samples, the first absent, the processor gives {seen}", cause)
    encoded = encoder(inputs)
    size, width = len(values), encoder.out_dim
    shapes = tuple(encoded.tokens.shape), tuple(encoded.mask.shape), tuple(encoded.pooled.shape)
    wanted = (size, shapes[0][1] if len(shapes[0]) > 1 else 1, width)
    if shapes != (wanted, wanted[:2], (size, width)):
        seen = f"tokens, mask and pooled have the shapes {shapes}"
        raise ContractViolation(seen, f"they are (B, L, {width}), (B, L) and (B, {width}), {width} being out_dim")
    if encoded.mask.dtype != torch.bool or encoded.mask.any(1).tolist() != given:
        seen = f"mask of {encoded.mask.dtype} says {encoded.mask.any(1).tolist()}, given were {given}"
        raise ContractViolation(seen, "a sample loses its last real token, or an absent one gets some")
    if encoded.mask.shape == mask.shape and not torch.equal(encoded.mask, mask):
        raise ContractViolation(
            "the mask of the tokens is not that of the inputs, though there is one token for each input",
            "give the processor's mask back: labels of tokens are aligned by it",
        )
    if encoded.tokens.dtype != torch.float32 or encoded.pooled.dtype != torch.float32:
        seen = f"tokens are {encoded.tokens.dtype}, pooled {encoded.pooled.dtype}"
        raise ContractViolation(seen, "float32 outside autocast")
    check_finite(encoded_tensors(encoded), "a division by 0, or a logarithm of it")


def no_valid_input_is_refused(case: EncoderCase) -> None:
    """Empty, tiny, huge and silent samples give at least one real token of finite numbers."""
    encoder = case.make().eval()
    for value in case.unusual(encoder):
        try:
            with torch.no_grad():
                encoded = encoder(collated(encoder, [value]))
        except Exception as error:
            raise ContractViolation(
                f"{describe_value(value)} raises {type(error).__name__}: {error}",
                "an assumption on length or size: cut what is long in prepare, pad what is too short",
            ) from error
        if not bool(encoded.mask.any()):
            raise ContractViolation(
                f"{describe_value(value)} gives no real token, as if it were absent", "round the number of tokens up"
            )
        check_finite(encoded_tensors(encoded), f"{describe_value(value)}: a deviation of 0, or the logarithm of 0")


def describe_value(value: Any) -> str:
    """A raw sample, for a message."""
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) < 30 else f"a text of {len(value)} letters"
    if hasattr(value, "size") and isinstance(value.size, tuple):
        return f"a picture of {value.size[0]} × {value.size[1]} pixels"
    if isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "shape"):
        return f"a sound of {len(value[0])} samples at {value[1]} Hz"
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    return f"the sample {value!r:.60}"


def evaluation_is_deterministic(case: EncoderCase) -> None:
    """The same input gives the same output, twice, whatever the random state."""
    encoder = case.make().eval()
    inputs = collated(encoder, case.values(encoder))
    torch.manual_seed(1)
    first = encoded_tensors(encoder(inputs))
    torch.manual_seed(2)
    seen = difference(first, encoded_tensors(encoder(inputs)))
    if seen:
        raise ContractViolation(
            f"the second time, {seen}", "dropout or noise in evaluation mode: F.dropout needs training=self.training"
        )


def inputs_are_left_alone(case: EncoderCase) -> None:
    """Neither the raw samples nor the inputs are edited in place."""
    for training in (False, True):
        encoder = case.make().train(training)
        values = case.values(encoder)
        originals = copy.deepcopy(values)
        inputs = collated(encoder, values)
        again = collated(encoder, originals)
        seen = difference(again, collated(encoder, values))
        if seen:
            raise ContractViolation(f"prepared a second time, {seen}", "prepare changes the sample that it is given")
        copies = {name: tensor.clone() for name, tensor in inputs.items()}
        encoder(inputs)
        for name, tensor in inputs.items():
            if not torch.equal(tensor, copies[name]):
                raise ContractViolation(f"{name} is changed", "an operation in place: add_, *=, x[...] = ...")


def frozen_stays_frozen(case: EncoderCase) -> None:
    """Built with ``frozen=True`` nothing requires a gradient, no module enters training mode, no state changes."""
    if not can_be_frozen(case):
        return
    encoder = case.make(frozen=True).train()
    cause = "end __init__ with self.freeze(), and hand frozen on: super().__init__(frozen, lr_scale)"
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            raise ContractViolation(f"frozen, the parameter {name} still requires a gradient", cause)
    for name, module in encoder.named_modules():
        if module.training:
            seen = f"frozen, {name or 'the encoder'} is in training mode after train()"
            raise ContractViolation(seen, "train is overridden: call super().train(mode) and nothing after it")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    inputs = collated(encoder, case.values(encoder))
    encoded = encoder(inputs)
    if encoded.tokens.requires_grad or encoded.pooled.requires_grad:
        raise ContractViolation("frozen, the tokens have a graph", "forward is overridden: implement encode instead")
    torch.manual_seed(1)
    seen = difference(encoded_tensors(encoded), encoded_tensors(encoder(inputs)))
    if seen:
        raise ContractViolation(f"frozen, the second time {seen}", "dropout with training=True, or statistics taken")
    seen = difference(before, encoder.state_dict())
    if seen:
        raise ContractViolation(f"frozen, after a pass {seen}", "batch norm in training mode, or a counter")


def can_be_frozen(case: EncoderCase) -> bool:
    """Whether the class takes ``frozen``."""
    try:
        return bool(case.make(frozen=True).frozen)
    except TypeError:
        return False


def everything_learns(case: EncoderCase) -> None:
    """Every parameter that is not frozen is registered, in training mode and receives a gradient; nothing hides."""
    encoder = case.make().eval().train()
    for path, tensor in hidden_tensors(encoder, skip={"processor"}):
        kind = "is never trained" if tensor.requires_grad else "is neither moved to a GPU with the module nor saved"
        raise ContractViolation(
            f"{path}, a tensor of shape {tuple(tensor.shape)}, {kind}",
            "a tensor in a plain list, dictionary or attribute: use nn.ParameterList, nn.Parameter or register_buffer",
        )
    for name, module in encoder.named_modules():
        if not module.training and any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            raise ContractViolation(f"{name} stays in evaluation mode after train()", "train must reach every module")
    reached: dict[str, bool] = {}
    inputs = collated(encoder, case.values(encoder))
    for _ in range(3):  # dropout and ReLU may block a parameter once, a norm that starts with zeros until it has moved
        for name, gradient in slopes(encoder, inputs).items():
            reached[name] = reached.get(name, False) or bool((gradient != 0).any())
        descend(encoder)
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad and not reached.get(name, False):
            what = "receives no gradient" if name not in reached else "receives a gradient of zeros"
            raise ContractViolation(
                f"the parameter {name} {what}",
                "it is not used, or the result is detached from it: several processes wait for it in vain",
            )


def bfloat16_works(case: EncoderCase) -> None:
    """Under autocast tokens are close to those of float32, and gradients are finite."""
    encoder = case.make().eval()
    inputs = collated(encoder, [*case.values(encoder), None])
    exact = encoder(inputs)
    cause = "two formats meet where torch does not convert (x[mask] = …, index_copy), or a constant such as -1e9"
    try:
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(inputs)
        loss = weighted_sum(encoded_tensors(rough))
        if loss.requires_grad:
            loss.backward()
    except Exception as error:
        raise ContractViolation(f"under autocast it raises {type(error).__name__}: {error}", cause) from error
    check_finite(encoded_tensors(rough), cause)
    check_finite({f"the gradient of {n}": p.grad for n, p in encoder.named_parameters() if p.grad is not None}, cause)
    for name, tensor in encoded_tensors(exact).items():
        tensor = tensor.detach()
        off = float((encoded_tensors(rough)[name].detach().float() - tensor).abs().mean() / tensor.abs().max())
        if off > BFLOAT16_TOLERANCE:
            raise ContractViolation(
                f"under autocast {name} is off by {off:.2g} of its largest value",
                "sums, logarithms and spectra need float32: torch.autocast(..., enabled=False) around them",
            )


def small_batches_work(case: EncoderCase) -> None:
    """A batch of one sample, and batches in which nobody has the modality, work in training and evaluation."""
    for training in (True, False):
        for absent in ([], [None], [None, None]):
            encoder = case.make().train(training)
            value, *_ = case.values(encoder)
            values = absent or [value]
            where = f"{'in training' if training else 'in evaluation'}, a batch of {len(values)} " + (
                "without the modality" if absent else "sample"
            )
            try:
                encoded = encoder(collated(encoder, values))
                loss = weighted_sum(encoded_tensors(encoded))
                if loss.requires_grad:
                    loss.backward()
            except Exception as error:
                raise ContractViolation(
                    f"{where} raises {type(error).__name__}: {error}",
                    "squeeze() without a dimension, batch statistics of one sample, or a maximum over no length",
                ) from error
            if encoded.pooled.shape != (len(values), encoder.out_dim):
                raise ContractViolation(f"{where} gives pooled of shape {tuple(encoded.pooled.shape)}", "squeeze()")
            if absent and bool(encoded.pooled.any()):
                raise ContractViolation(f"{where} gives numbers other than 0", "blank what is absent")
            learning = any(parameter.requires_grad for parameter in encoder.parameters())
            if training and learning and not loss.requires_grad:
                raise ContractViolation(
                    f"{where} gives an output without a graph",
                    "keep the graph whole where nobody has the modality: several processes wait for the gradient",
                )
