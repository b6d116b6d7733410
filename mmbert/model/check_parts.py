"""Whether encoders, a fusion and tasks fit together to one model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.encoders.base import Encoder
from mmbert.fusion.base import Fusion
from mmbert.tasks.base import Task


def check_parts(encoders: Mapping[str, Encoder], fusion: Fusion, tasks: Mapping[str, Task]) -> None:
    """Refuses parts that make no model.

    Args:
        encoders: by name.
        fusion: built for their widths.
        tasks: by name.

    Raises:
        ConfigError: a name cannot be used, or the widths of the parts do not fit.
    """
    widths = {name: encoder.out_dim for name, encoder in encoders.items()}
    if fusion.dims != widths:
        raise ConfigError(f"The fusion was built for {fusion.dims}, but the encoders give {widths}.")
    for name in [*encoders, *tasks]:
        if not name.isidentifier() or hasattr(nn.ModuleDict(), name):
            raise ConfigError(f"'{name}' cannot name an encoder or a task: use letters, digits and _, e.g. my_{name}.")
    check_injection(encoders, fusion)
    check_exchanges(fusion, tasks)


def check_injection(encoders: Mapping[str, Encoder], fusion: Fusion) -> None:
    """Refuses a fusion that injects into an encoder or a layer that does not exist.

    Raises:
        ConfigError: names the encoder and how many layers it has.
    """
    name, layer = fusion.injects_into, int(getattr(fusion, "layer", 0))
    if name is None:
        return
    count = encoders[name].injectable_layers
    if not count:
        raise ConfigError(
            f"{type(fusion).__name__} injects into the layers of the encoder '{name}', but "
            f"{type(encoders[name]).__name__} has no injectable_layers: a text encoder has (text=minilm)."
        )
    if not 0 <= layer < count:
        raise ConfigError(f"fusion.layer={layer}: the encoder '{name}' has the layers 0 to {count - 1}.")


def check_exchanges(fusion: Fusion, tasks: Mapping[str, Task]) -> None:
    """Refuses tasks that exchange encoded modalities where a fusion does not read these alone.

    Raises:
        ConfigError: names the task.
    """
    for name, task in tasks.items():
        if task.exchanges and (fusion.injects_into is not None or (fusion.views and not task.reads_tokens)):
            raise ConfigError(
                f"tasks.{name} exchanges what encoders gave, and {type(fusion).__name__} "
                + (
                    f"changes '{fusion.injects_into}' while it is encoded"
                    if fusion.injects_into is not None
                    else "decides on each modality alone"
                )
                + f": choose another fusion, or tasks.{name}.negatives=random."
            )
