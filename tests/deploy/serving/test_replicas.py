"""Models of their own for threads: one set of weights, nothing else in common."""

import threading

import pytest
import torch

from mmbert.deploy.serving.replicas import load_replicas, replicas_for
from mmbert.model import MultimodalModel


@pytest.fixture
def replicas(finished_run):
    """Three of them."""
    return load_replicas(lambda: MultimodalModel.from_pretrained(finished_run / "model"), 3)


def test_weights_lie_in_memory_once_and_modules_are_each_models_own(replicas):
    first, *others = replicas
    tensors = {name: tensor.data_ptr() for name, tensor in first.state_dict(keep_vars=True).items()}
    modules = {id(module) for module in first.modules()}
    assert len(others) == 2 and len(tensors) > 20
    for other in others:
        assert {name: tensor.data_ptr() for name, tensor in other.state_dict(keep_vars=True).items()} == tensors
        assert not modules & {id(module) for module in other.modules()}
        assert not other.training


def test_all_answer_alike_and_a_change_of_weights_is_seen_by_all(replicas, samples):
    wanted = replicas[0].predict(samples[:4])
    assert all(model.predict(samples[:4]) == wanted for model in replicas)
    with torch.no_grad():
        next(replicas[0].fusion.parameters()).add_(0.5)
    changed = replicas[0].predict(samples[:4])
    assert changed != wanted and replicas[2].predict(samples[:4]) == changed


def test_what_a_module_keeps_is_not_taken_by_another_thread(replicas, samples):
    """Each thread's fusion keeps what it was given, as one's own strategies may; all wait before they look."""
    meet, kept = threading.Barrier(3), {}

    def run(number):
        fusion = replicas[number].fusion
        fusion.register_forward_hook(lambda module, given, _: setattr(module, "kept", number))
        replicas[number].predict(samples[number : number + 1])
        meet.wait(30)
        kept[number] = fusion.kept

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert kept == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize(
    ("device", "threads", "count"), [("cpu", 1, 1), ("cpu", 2, 2), ("cpu", 64, 2), ("cuda", 16, 1), ("mps", 8, 1)]
)
def test_how_many(device, threads, count):
    assert replicas_for(torch.device(device), threads) == count
