"""``LayeredEncoder``: fine-tuning of all layers, the top ones or low-rank adapters, with layer-wise learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.encoders.base import Encoder

#: Options of ``peft.LoraConfig`` that have modules imported.
IMPORTING = ("megatron_config", "megatron_core")
#: Classes of transformers that give their layers' weights to a function of torch.
READ_PAST = ("WavLMAttention",)


class LayeredEncoder(Encoder):
    """An encoder whose network is a stack of layers, which can be frozen or slowed down one by one.

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
        """Makes the network compute its layers again in the backward pass instead of keeping activations.

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
            trainable_last_n: this many layers at the top are trained, the others stay as they are; None = all.
            layer_decay: see the class.
            gradient_checkpointing: less memory for about a third more time.
            lora: only low-rank adapters are trained; options of ``peft.LoraConfig``, such as
                ``{"r": 8, "lora_alpha": 16}`` (Hu et al. 2022, arXiv:2106.09685). Without ``target_modules`` every
                linear layer and ungrouped convolution gets one.

        Raises:
            ConfigError: options contradict each other or the network.
        """
        if not 0 < layer_decay <= 1:
            raise ConfigError(f"layer_decay={layer_decay} must be above 0 and at most 1; 1 = all layers learn alike.")
        self.layer_decay = layer_decay
        wanted = {"trainable_last_n": trainable_last_n is not None, "lora": lora is not None, "frozen": self.frozen}
        both = [name for name, given in wanted.items() if given]
        if len(both) > 1:
            raise ConfigError(f"{both[0]} and {both[1]} exclude each other: one of them decides what is trained.")
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
        """As in the base class; batch norms that are not trained keep their running statistics too."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                own = list(module.parameters(recurse=False))
                if own and not any(parameter.requires_grad for parameter in own):
                    module.eval()
        return self

    def lr_factors(self) -> dict[nn.Parameter, float]:
        """Factors on the learning rate by parameter, in addition to ``lr_scale``: the layer decay."""
        if self.layer_decay == 1:
            return {}
        layers = self.layers()
        top = len(layers) - 1
        return {p: self.layer_decay ** (top - depth) for depth, layer in enumerate(layers) for p in layer}


def stack(network: nn.Module, blocks: Sequence[nn.Module], last: Iterable[nn.Module] = ()) -> list[list[nn.Parameter]]:
    """The layers of a transformer for ``LayeredEncoder.layers``: all other parameters first, then each block.

    Args:
        network: all of it.
        blocks: its layers, the lowest first.
        last: modules after the blocks; their parameters belong to the last block's layer.
    """
    upper = [list(block.parameters()) for block in blocks]
    upper[-1] += [parameter for module in last for parameter in module.parameters()]
    known = {id(parameter) for layer in upper for parameter in layer}
    return [[p for p in network.parameters() if id(p) not in known], *upper]


def add_adapters(network: nn.Module, options: dict[str, Any]) -> None:
    """Adds low-rank adapters to a network, in place; only they are trained.

    Raises:
        ConfigError: peft is not installed, or refuses the options; or one names a module that it would import.
    """
    for name in IMPORTING:
        if options.get(name) is not None:
            raise ConfigError(f"lora.{name} is not taken: it names a module that peft would import.")
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
    refuse_passed_by(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name)


def refuse_passed_by(network: nn.Module) -> None:
    """Refuses adapters of layers whose weights torch reads without calling the layer: they would have no effect.

    Raises:
        ConfigError: names the first one.
    """
    from peft.tuners.lora import LoraLayer

    for name, module in network.named_modules():
        parent = network.get_submodule(name.rpartition(".")[0])
        if isinstance(module, LoraLayer) and reads_past(parent):
            raise ConfigError(
                f"lora.target_modules names '{name}', but {type(parent).__name__} reads that layer's weights past an "
                "adapter, at the latest in evaluation. Leave it out, or leave target_modules to mmbert."
            )


def reads_past(module: nn.Module) -> bool:
    """Whether a module reads its layers' weights without calling them, so that an adapter would have no effect."""
    of_torch = isinstance(module, (nn.MultiheadAttention, nn.TransformerEncoderLayer))
    return of_torch or type(module).__name__ in READ_PAST


def adaptable(network: nn.Module) -> list[str]:
    """Names of the layers that can have a low-rank adapter."""
    names = []
    for name, module in network.named_modules():
        parent = network.get_submodule(name.rpartition(".")[0])
        if reads_past(parent):
            continue
        if isinstance(module, nn.Linear) or isinstance(module, nn.Conv2d) and module.groups == 1:
            names.append(name)
    return names
