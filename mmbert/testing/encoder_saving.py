"""Laws of encoders: state, saving, the processor in worker processes, packed inputs, the fingerprint."""

from __future__ import annotations

import inspect
import json
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import nn

from mmbert.data.modalities.processor import Storable
from mmbert.encoders.base import Encoder
from mmbert.testing.encoder_masking import descend, scaled, slopes
from mmbert.testing.encoder_samples import EncoderCase, collated, encoded_tensors, sample_tensors
from mmbert.testing.hidden import tensors_in
from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import difference

#: Options of the base class, and options that fetch weights.
FIXED_OPTIONS = {"frozen", "lr_scale", "pretrained"}


def trained(case: EncoderCase) -> Encoder:
    """The encoder after a step of training: its parameters and running statistics have moved."""
    encoder = case.make().train()
    slopes(encoder, collated(encoder, case.values(encoder)))
    descend(encoder)
    return encoder


def state_is_complete(case: EncoderCase) -> None:
    """After a step of training the state dict, loaded into a freshly built encoder, gives the same output."""
    first, second = trained(case).eval(), case.make(1).eval()
    inputs = collated(first, case.values(first))
    second(inputs)  # what it may keep of a pass must not outlive other weights
    second.load_state_dict(first.state_dict())
    seen = difference(encoded_tensors(first(inputs)), encoded_tensors(second(inputs)))
    if seen:
        raise ContractViolation(
            f"after saving and loading, {seen}",
            "something drawn when built or gathered in training that is no parameter or buffer: register_buffer",
        )


def saved_and_rebuilt_is_equal(case: EncoderCase) -> None:
    """``init_args`` and the files of ``save_assets`` rebuild the encoder, which outlives the folder, and again."""
    first = trained(case).eval()
    try:
        arguments = json.loads(json.dumps(first.init_args))
    except TypeError as error:
        raise ContractViolation(
            f"an argument of __init__ is no plain value: {error}",
            "take numbers, strings, lists and dictionaries, and build the rest inside",
        ) from error
    with tempfile.TemporaryDirectory() as name:
        folder, another = Path(name) / "first", Path(name) / "second"
        folder.mkdir()
        another.mkdir()
        first.save_assets(folder)
        again = rebuilt(first, arguments, folder)
        again.save_assets(another)
        files = [sorted(path.name for path in place.iterdir()) for place in (folder, another)]
    if files[0] != files[1]:
        raise ContractViolation(f"saved anew it writes {files[1]}, the first time {files[0]}", "see save_assets")
    if name in json.dumps(again.init_args):
        raise ContractViolation(
            "the rebuilt encoder remembers the folder that it was rebuilt from",
            "self.init_args.pop(...) the argument that rebuild_args adds",
        )
    if list(again.state_dict()) != list(first.state_dict()):
        odd = sorted(set(again.state_dict()) ^ set(first.state_dict()))
        raise ContractViolation(f"the rebuilt encoder has other tensors: {odd[:3]}", "see rebuild_args")
    again.load_state_dict(first.state_dict())
    inputs, values = collated(again, case.values(first)), case.values(first)
    seen = difference(collated(first, values), inputs)
    seen = seen or difference(encoded_tensors(first(inputs)), encoded_tensors(again(inputs)))
    if seen:
        raise ContractViolation(
            f"saved and rebuilt, {seen}", "an option that __init__ changes, or a file that save_assets leaves out"
        )


def rebuilt(encoder: Encoder, arguments: dict[str, Any], folder: Path) -> Encoder:
    """The encoder built from its arguments and assets, in evaluation mode, with other random weights."""
    kind = type(encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return kind(**kind.rebuild_args(arguments, folder)).eval()


def processor_travels_to_workers(case: EncoderCase) -> None:
    """The processor is pickled without weights, and its copy prepares and collates the same, every time."""
    encoder = case.make()
    processor, values = encoder.processor, [*case.values(encoder), None]
    for path, tensor in tensors_in("processor", processor):
        if isinstance(tensor, nn.Parameter):
            seen = f"the processor holds weights: {path}"
            raise ContractViolation(seen, "every worker gets a copy of it: keep them in the encoder")
    first = collated(encoder, values)
    try:
        encoder.processor = pickle.loads(pickle.dumps(processor))
    except Exception as error:
        raise ContractViolation(
            f"the processor cannot be pickled: {error}", "a lambda, a local function, an open file: workers need a copy"
        ) from error
    torch.manual_seed(1)
    seen = difference(first, collated(encoder, values))
    if seen:
        raise ContractViolation(
            f"prepared by a copy, {seen}",
            "prepare or collate draws at random or remembers samples: what is random belongs to conf/augment",
        )


def packed_inputs_are_equal(case: EncoderCase) -> None:
    """Of a processor whose work may be kept on disk: ``unpack(*pack(raw))`` gives the same tokens as ``prepare``."""
    encoder = case.make().eval()
    processor: Any = encoder.processor
    if not isinstance(encoder.processor, Storable):
        return
    values, stored = case.values(encoder), []
    for value in values:
        long, fixed = processor.pack(value)
        if (str(long.dtype), str(fixed.dtype), len(fixed)) != processor.packed:
            seen = f"pack gives {long.dtype}, {fixed.dtype} and {len(fixed)} numbers; packed says {processor.packed}"
            raise ContractViolation(seen, "packed names the arrays' types and the length of the second")
        for array in (long, fixed):
            array.setflags(write=False)
        stored.append(processor.unpack(long.reshape(-1), fixed))
    prepared = [processor.prepare(value) for value in values]
    encoded = encoder(processor.collate(prepared))
    mixed = [b if place % 2 else a for place, (a, b) in enumerate(zip(prepared, stored, strict=True))]
    for batch in (stored, [*stored, None], mixed):
        kept = encoder(processor.collate(batch))
        for row in range(len(values)):
            seen = difference(sample_tensors(encoded, row), sample_tensors(kept, row), scaled(encoded.tokens))
            if seen:
                seen = f"sample {row} packed, unpacked and collated: {seen}"
                raise ContractViolation(seen, "pack loses digits or an option, or collate treats arrays differently")


def fingerprint_is_complete(case: EncoderCase) -> None:
    """An option that changes tokens of the same weights changes ``identity()`` or the processor's ``settings()``.

    Every option of type bool, int, float or Literal is tried with other values; those that are refused, or lead to
    other weights, are passed over.
    """
    encoder = case.make().eval()
    values = case.values(encoder)
    with torch.no_grad():
        before = encoded_tensors(encoder(collated(encoder, values)))
    for name, value in variations(encoder):
        try:
            other = case.make(**{name: value}).eval()
            other.load_state_dict(encoder.state_dict())
            inputs = collated(other, values)
            with torch.no_grad():
                after = encoded_tensors(other(inputs))
        except Exception:  # another network, or no value that this option takes
            continue
        if difference(before, after) and identity_of(encoder) == identity_of(other):
            raise ContractViolation(
                f"{name}={value!r} changes the tokens, but neither identity() nor the processor's settings()",
                "stored tokens of one would be taken for the other's: NOT_IN_FINGERPRINT or identity() leaves it out",
            )
        if packed_bytes(encoder, values) != packed_bytes(other, values) and settings_of(encoder) == settings_of(other):
            raise ContractViolation(
                f"{name}={value!r} changes what pack gives, but not settings()",
                "stored inputs of one would be taken for the other's: name the option in the processor's settings()",
            )


def variations(encoder: Encoder) -> Iterator[tuple[str, Any]]:
    """Options of the class with other values than this encoder's."""
    function = type(encoder).__init__
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        value = encoder.init_args.get(name, parameter.default)
        if name in FIXED_OPTIONS or value is inspect.Parameter.empty:
            continue
        if get_origin(hints.get(name)) is Literal:
            yield from ((name, other) for other in get_args(hints[name]) if other != value)
        elif isinstance(value, bool):
            yield name, not value
        elif isinstance(value, int):
            yield from ((name, other) for other in (2 * value, max(1, value // 2)))
        elif isinstance(value, float):
            yield from ((name, other) for other in (value / 2, 2 * value + 0.1))


def settings_of(encoder: Encoder) -> str:
    """The processor's settings; empty if its work is not kept."""
    processor: Any = encoder.processor
    return repr(processor.settings()) if isinstance(processor, Storable) else ""


def identity_of(encoder: Encoder) -> str:
    """What names this encoder's tokens beside its weights."""
    identity: Mapping[str, Any] = encoder.identity()
    return repr(sorted(identity.items(), key=lambda item: item[0])) + settings_of(encoder)


def packed_bytes(encoder: Encoder, values: list[Any]) -> list[bytes]:
    """What is kept of each sample; nothing if the processor's work is not kept."""
    processor: Any = encoder.processor
    if not isinstance(processor, Storable):
        return []
    return [array.tobytes() for value in values for array in processor.pack(value)]
