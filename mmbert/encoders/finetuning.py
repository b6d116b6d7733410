"""What of a pretrained network learns: all of it, its top layers, or low-rank adapters; and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.encoders.base import Encoder


class LayeredEncoder(Encoder):
    """An encoder whose network is a stack of layers, which need not all learn alike.

    A subclass implements ``layers`` and, where its network can do so, ``checkpoint_gradients``; it ends its
    ``__init__`` with ``tune``.

    Attributes:
        layer_decay: the learning rate of a layer is this times that of the layer above it (Clark et al. 2020,
            arXiv:2003.10555; Bao et al. 2022, arXiv:2106.08254).
    """

    network: Any
    layer_decay: float = 1.0

    def layers(self) -> list[list[nn.Parameter]]:
        """The network's parameters from the input to the output, one list a layer; what embeds the input is first."""
        raise NotImplementedError

    def checkpoint_gradients(self) -> None:
        """Makes the network compute its layers again in the backward pass instead of keeping what they gave.

        Raises:
            ConfigError: the network cannot do so.
        """
        raise ConfigError(f"{self.network.__class__.__name__} has no gradient checkpointing.")

    def tune(
        self,
        trainable_last_n: int | None = None,
        layer_decay: float = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
    ) -> None:
        """Applies ``frozen`` and the options of this class; the network is complete by then.

        Args:
            trainable_last_n: so many layers at the top learn, the others stay as they are; None = all learn.
            layer_decay: see the class.
            gradient_checkpointing: less memory for about a third more time.
            lora: low-rank adapters learn, and nothing else of the network; options of ``peft.LoraConfig``, such as
                ``{"r": 8, "lora_alpha": 16}`` (Hu et al. 2022, arXiv:2106.09685). ``target_modules`` may stay away:
                then every linear layer and ungrouped convolution gets one.

        Raises:
            ConfigError: options contradict each other or the network.
        """
        if not 0 < layer_decay <= 1:
            raise ConfigError(f"layer_decay={layer_decay} must be above 0 and at most 1; 1 = all layers learn alike.")
        self.layer_decay = layer_decay
        asked = {"trainable_last_n": trainable_last_n is not None, "lora": lora is not None, "frozen": self.frozen}
        both = [name for name, given in asked.items() if given]
        if len(both) > 1:
            raise ConfigError(f"{both[0]} and {both[1]} exclude each other: one of them says what learns.")
        if trainable_last_n is not None:
            self._keep_lower_layers(trainable_last_n)
        if lora is not None:
            add_adapters(self.network, lora)
        if gradient_checkpointing:
            self.checkpoint_gradients()
        self.freeze()
        self.train(self.training)

    def _keep_lower_layers(self, count: int) -> None:
        layers = self.layers()
        if not 1 <= count <= len(layers):
            raise ConfigError(
                f"trainable_last_n={count}: this network has {len(layers)} layers, so choose from 1 to that."
            )
        for parameters in layers[: len(layers) - count]:
            for parameter in parameters:
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> Any:
        """As in the base class; batch norms that do not learn keep their statistics too."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                own = list(module.parameters(recurse=False))
                if own and not any(parameter.requires_grad for parameter in own):
                    module.eval()
        return self

    def lr_factors(self) -> dict[nn.Parameter, float]:
        """The factor on the learning rate of each parameter that is slowed down, beside ``lr_scale``."""
        if self.layer_decay == 1:
            return {}
        layers = self.layers()
        top = len(layers) - 1
        return {p: self.layer_decay ** (top - depth) for depth, layer in enumerate(layers) for p in layer}


def stack(network: nn.Module, blocks: Sequence[nn.Module], last: Iterable[nn.Module] = ()) -> list[list[nn.Parameter]]:
    """The layers of a transformer: everything else, each block, and with the last block what comes behind it.

    Args:
        network: all of it.
        blocks: its layers, the lowest first.
        last: modules behind the blocks.
    """
    upper = [list(block.parameters()) for block in blocks]
    upper[-1] += [parameter for module in last for parameter in module.parameters()]
    known = {id(parameter) for layer in upper for parameter in layer}
    return [[p for p in network.parameters() if id(p) not in known], *upper]


def add_adapters(network: nn.Module, options: dict[str, Any]) -> None:
    """Puts low-rank adapters beside weights of a network, in place; nothing but them learns.

    Raises:
        ConfigError: peft is not installed, or refuses the options.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError("lora needs the peft library: pip install 'mmbert[lora]'.") from error
    options = {**options, "target_modules": options.get("target_modules") or adaptable(network)}
    network.requires_grad_(False)
    try:
        inject_adapter_in_model(LoraConfig(**options), network)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"peft refuses lora={options}: {error}") from error
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name)


def adaptable(network: nn.Module) -> list[str]:
    """Names of the layers that an adapter can stand beside."""
    names = []
    for name, module in network.named_modules():
        parent = network.get_submodule(name.rpartition(".")[0])
        if isinstance(parent, nn.MultiheadAttention):
            continue  # it reads its projection's weight and passes the module by
        if isinstance(module, nn.Linear) or isinstance(module, nn.Conv2d) and module.groups == 1:
            names.append(name)
    return names
