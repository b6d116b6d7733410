"""A batch arrives as it was sent, in one piece, whatever its tensors are."""

import io
import pickle
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.types import UNLABELLED, Batch
from mmbert.data.loading.samplers import LazyLoader
from mmbert.data.loading.shared_memory import SharedMemoryBatch

TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]


@st.composite
def tensors(draw):
    """Any type, zero to four dimensions, empty ones too; whole, transposed, every other number, or channels last."""
    shape = draw(st.lists(st.integers(0, 5), min_size=0, max_size=4))
    random = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    tensor = torch.randint(0, 2, shape, generator=random).to(draw(st.sampled_from(TYPES)))
    how = draw(st.sampled_from(["whole", "transposed", "sliced", "channels last"]))
    if how == "transposed":
        return tensor.permute(list(reversed(range(tensor.ndim))))
    if how == "sliced" and tensor.ndim:
        return tensor[..., ::2]
    return (
        tensor.contiguous(memory_format=torch.channels_last) if how == "channels last" and len(shape) == 4 else tensor
    )


def same(one: Batch, other: Batch) -> None:
    assert {name: list(part) for name, part in one.inputs.items()} == {n: list(p) for n, p in other.inputs.items()}
    for name, part in one.inputs.items():
        for key, tensor in part.items():
            assert other.inputs[name][key].dtype == tensor.dtype
            assert torch.equal(other.inputs[name][key], tensor)
    assert one.targets.keys() == other.targets.keys()
    for name, target in one.targets.items():
        torch.testing.assert_close(target, other.targets[name], rtol=0, atol=0, equal_nan=True)  # types too
    assert torch.equal(one.rows, other.rows)
    assert one.skipped == other.skipped


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("ab"), st.dictionaries(st.sampled_from("xyz"), tensors(), min_size=1)))
def test_what_is_packed_is_what_comes_out(inputs):
    targets = {"class": {"label": torch.tensor([1, UNLABELLED])}, "number": {"label": torch.tensor([0.5, torch.nan])}}
    batch = Batch(inputs, targets, torch.tensor([4, -1]), ((3, "broken"),))
    arrived = SharedMemoryBatch.of(batch).batch()
    same(batch, arrived)
    arrived.rows += 1  # what arrives is the receiver's own
    sent = [tensor for part in arrived.inputs.values() for tensor in part.values() if tensor.numel()]
    assert len({tensor.untyped_storage().data_ptr() for tensor in sent}) <= 1
    assert all(tensor.storage_offset() * tensor.element_size() % 64 == 0 for tensor in sent)


def test_colours_stay_together():
    pixels = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    arrived = (
        SharedMemoryBatch.of(Batch({"image": {"pixels": pixels}}, {}, torch.zeros(2))).batch().inputs["image"]["pixels"]
    )
    assert arrived.stride() == pixels.stride()


def test_who_keeps_targets_and_rows_does_not_keep_the_inputs():
    batch = Batch({"a": {"x": torch.zeros(1000)}}, {"y": {"label": torch.zeros(2)}}, torch.zeros(2, dtype=torch.int64))
    arrived = SharedMemoryBatch.of(batch).batch()
    assert arrived.rows.untyped_storage().nbytes() == 16
    assert arrived.targets["y"]["label"].untyped_storage().nbytes() == 8


def collate(numbers: list[int]) -> Batch:
    values = torch.tensor(numbers)
    inputs = {"a": {"x": values[:, None].float().expand(-1, 3), "mask": values[:, None] > 1}}
    return Batch(inputs, {"t": {"label": values * 2}}, values, ((int(values[0]), "why"),))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_send_parcels_and_the_loader_gives_batches(workers):
    numbers = list(range(7))
    alone = list(LazyLoader(numbers, collate_fn=collate, batch_size=3, num_workers=0))
    sent = list(LazyLoader(numbers, collate_fn=collate, batch_size=3, num_workers=workers))
    assert [type(batch) for batch in sent] == [Batch] * 3
    for one, other in zip(alone, sent, strict=True):
        same(one, other)
        assert all(tensor.is_shared() for tensor in other.inputs["a"].values())


@dataclass
class Larger(Batch):
    more: torch.Tensor | None = None

    def mapped(self, move):
        return Larger(**{**vars(super().mapped(move)), "more": move(self.more)})


def collate_more(numbers: list[int]) -> Batch:
    return Larger(**vars(collate(numbers)), more=torch.tensor(numbers))


def test_a_batch_that_holds_more_arrives_with_it():
    sent = list(LazyLoader(list(range(4)), collate_fn=collate_more, batch_size=2, num_workers=1))
    assert [batch.more.tolist() for batch in sent] == [[0, 1], [2, 3]]


def test_a_parcel_is_one_tensor_to_send():
    batch = Batch({"a": {"x": torch.zeros(3), "y": torch.ones(3)}, "b": {"z": torch.ones(2, 2)}}, {}, torch.zeros(1))
    found = []

    class Counting(pickle.Pickler):
        def persistent_id(self, thing):
            return found.append(thing) or "tensor" if isinstance(thing, torch.Tensor) else None

    Counting(io.BytesIO()).dump(SharedMemoryBatch.of(batch))
    assert len(found) == 1
