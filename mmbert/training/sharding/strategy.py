"""Lightning's strategy ``fsdp2``: DDP whose processes share out weights, gradients and optimiser state.

It differs from Lightning's own (``ModelParallelStrategy``): checkpoints are the ordinary ones, so that a run may go on
with another strategy and number of processes; frozen and learning encoders, and parts that no batch of a process uses,
are allowed; and the model is whole again when the training is over, so that all that follows works as always.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from mmbert.core.errors import ConfigError
from mmbert.model import MultimodalModel
from mmbert.training.frozen_checkpoint import note_frozen
from mmbert.training.sharding.checkpoint_state import load_optimizer, whole_optimizer, whole_weights
from mmbert.training.sharding.compatible import NAME
from mmbert.training.sharding.gradients import average_gradients
from mmbert.training.sharding.groups import drop_whole_weights, is_sharded, make_whole, shard_groups, shard_parts
from mmbert.training.sharding.whole_graph import PartUse


class ShardedStrategy(DDPStrategy):
    """Shares out the encoders and the fusion of a module's ``model`` while it trains; see ``shard_groups``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._use = PartUse()
        self._whole: list[nn.Parameter] = []
        self._statistics: list[Tensor] = []

    def configure_ddp(self) -> None:
        """Shares out in place of DDP's wrapping."""
        model = self._multimodal
        assert self.lightning_module is not None
        module: Any = self.lightning_module
        note_frozen(model.named_encoders(), module.fingerprints)
        for tensor in (*self.lightning_module.parameters(), *self.lightning_module.buffers()):
            dist.broadcast(tensor.detach(), 0)
        parts = shard_groups(model, module.stored)
        for part in parts:
            self._use.before(part)
        shard_parts(parts, init_device_mesh(self.root_device.type, (self.world_size,)))
        for part in parts:
            self._use.after(part)
        held = self.lightning_module.parameters()
        self._whole = [p for p in held if p.requires_grad and not isinstance(p, DTensor)]
        norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
        found = [statistic for norm in norms for statistic in (norm.running_mean, norm.running_var)]
        self._statistics = [statistic for statistic in found if statistic is not None]

    @property
    def _multimodal(self) -> MultimodalModel:
        model = getattr(self.lightning_module, "model", None)
        if not isinstance(model, MultimodalModel):
            raise ConfigError(f"trainer.strategy={NAME} trains models of mmbert alone. Use trainer=ddp.")
        return model

    def training_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """The module's, its loss depending on every part."""
        self._copy_statistics()
        loss = super().training_step(*args, **kwargs)
        return loss + self._use.zero(self.root_device).to(loss.dtype) if isinstance(loss, Tensor) else loss

    def validation_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """The module's, with the same running statistics in every process."""
        self._copy_statistics()
        return super().validation_step(*args, **kwargs)

    def _copy_statistics(self) -> None:
        """The first process's running statistics of batch normalisation to all, as DDP does at each forward."""
        if self.world_size == 1 or not self._statistics:
            return
        flat = torch.cat([statistic.flatten() for statistic in self._statistics])
        dist.broadcast(flat, 0)
        sizes = [statistic.numel() for statistic in self._statistics]
        for statistic, copy in zip(self._statistics, flat.split(sizes), strict=True):
            statistic.copy_(copy.view_as(statistic))

    def post_backward(self, closure_loss: Tensor) -> None:
        """Averages the gradients of what is not shared out; of the rest FSDP has done it."""
        average_gradients(self._whole)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Whole weights in the first process, nothing in the others."""
        assert self.lightning_module is not None
        return whole_weights(self.lightning_module, self.is_global_zero)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """State of whole weights in the first process, nothing in the others."""
        return whole_optimizer(getattr(optimizer, "_optimizer", optimizer), self.is_global_zero)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """From a checkpoint of any strategy and number of processes."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            load_optimizer(getattr(optimizer, "_optimizer", optimizer), state)

    def teardown(self) -> None:
        """Lightning's; of a training that has failed in mid-step, too."""
        if self.lightning_module is not None:
            drop_whole_weights(self.lightning_module)
        super().teardown()

    def end_sharding(self) -> None:
        """Makes the model whole in every process, each of which must call it; nothing is left of the optimiser."""
        self._use.remove()
        self._whole, self._statistics = [], []
        self._reset_optimizers_and_schedulers()
        assert self.lightning_module is not None
        if is_sharded(self.lightning_module):
            make_whole(self.lightning_module)


def sharded(trainer: pl.Trainer | None) -> ShardedStrategy | None:
    """The strategy of a trainer that shares out its module."""
    strategy = None if trainer is None else trainer.strategy
    return strategy if isinstance(strategy, ShardedStrategy) else None


if NAME not in StrategyRegistry:
    StrategyRegistry.register(
        NAME, ShardedStrategy, description="FSDP2: weights, gradients, optimiser state shared out"
    )
