"""Text through any BERT-family model of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank, masked_mean
from mmbert.core.types import Encoded, Inputs
from mmbert.data.processor import Kind
from mmbert.encoders.base import Encoder
from mmbert.encoders.weights import WHEELS, unavailable, wheel_folder

Pooling = Literal["cls", "mean", "pooler"]
POOLINGS = ("cls", "mean", "pooler")


class TextProcessor:
    """Sentences -> token ids, padded to the longest of the batch.

    Args:
        tokenizer: of transformers.
        max_tokens: longer texts are cut; special tokens count.
    """

    kind: Kind = "text"

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def prepare(self, raw: str) -> str:
        """The text itself: a whole batch is tokenised faster than its texts one by one."""
        return raw

    def collate(self, prepared: list[str | None]) -> Inputs:
        """B texts -> ``input_ids`` (B, L) int64 and ``mask`` (B, L); a missing text has an empty mask row."""
        made = self.tokenizer(
            ["" if text is None else text for text in prepared],
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        present = torch.tensor([text is not None for text in prepared])
        inputs: Inputs = {"input_ids": made["input_ids"], "mask": made["attention_mask"].bool() & present.unsqueeze(1)}
        if "token_type_ids" in made:
            inputs["token_type_ids"] = made["token_type_ids"]
        return inputs


class TextEncoder(Encoder):
    """A transformer encoder: one token vector a word piece, one pooled vector a text.

    Args:
        name: a model of the Hugging Face hub, a local folder in transformers' format, or the name of a model inside
            an installed wheel (``minilm``).
        pretrained: with its weights; otherwise its architecture with random ones.
        pooling: ``cls`` = the first token's vector; ``mean`` = the mean over real tokens; ``pooler`` = the model's
            own layer over the first token.
        max_tokens: longer texts are cut.
        frozen: keep the network in evaluation mode, without gradients.
        lr_scale: factor on the learning rate.

    Raises:
        WeightsError: the model is neither here nor can it be downloaded.
        ConfigError: an option does not fit the model.
    """

    kind: ClassVar[Kind] = "text"

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        pooling: Pooling = "cls",
        max_tokens: int = 128,
        frozen: bool = False,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(frozen, lr_scale)
        if pooling not in POOLINGS:
            raise ConfigError(f"encoders.text.pooling={pooling}: choose one of {', '.join(POOLINGS)}.")
        self.pooling = pooling
        self.model, tokenizer = load_transformer(name, pretrained, pooling == "pooler")
        positions = getattr(self.model.config, "max_position_embeddings", max_tokens)
        self.processor = TextProcessor(tokenizer, min(max_tokens, positions))
        self.out_dim = int(self.model.config.hidden_size)
        if pooling == "pooler" and getattr(self.model, "pooler", None) is None:
            raise ConfigError(f"{name} has no pooler: choose encoders.text.pooling=cls or mean.")
        self.freeze()

    def encode(self, inputs: Inputs) -> Encoded:
        """input_ids (B, L), mask (B, L) -> tokens (B, L, D)."""
        mask = inputs["mask"]
        # a text that is missing attends to its first position: no attention row without a key, and blanked afterwards
        attended = mask.clone()
        attended[:, 0] |= ~mask.any(1)
        extra = {k: v for k, v in inputs.items() if k == "token_type_ids"}
        out = self.model(input_ids=inputs["input_ids"], attention_mask=attended.long(), **extra)
        tokens = blank(out.last_hidden_state, mask)
        return Encoded(tokens, mask, self._pool(tokens, mask, out))

    def _pool(self, tokens: Tensor, mask: Tensor, out: Any) -> Tensor:
        if self.pooling == "mean":
            return masked_mean(tokens, mask)
        if self.pooling == "cls":
            return tokens[:, 0]
        pooled: Tensor = out.pooler_output
        return pooled

    def save_assets(self, folder: Path) -> None:
        """Tokenizer and architecture, in transformers' own files."""
        self.model.config.save_pretrained(folder)
        self.processor.tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The same arguments, but the architecture and the tokenizer come from ``folder``."""
        return {**args, "name": str(folder), "pretrained": False}


def load_transformer(name: str, pretrained: bool, with_pooler: bool) -> tuple[nn.Module, Any]:
    """Model and tokenizer by hub name, local folder or wheel."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    source = str(wheel_folder(name)) if name in WHEELS else name
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        options = {} if with_pooler or not has_pooler(transformers, source) else {"add_pooling_layer": False}
        if pretrained:
            return transformers.AutoModel.from_pretrained(source, **options), tokenizer
        config = transformers.AutoConfig.from_pretrained(source)
        return transformers.AutoModel.from_config(config, **options), tokenizer
    except (OSError, ValueError) as error:
        raise unavailable("text", name, "encoders.text.name=FOLDER", error) from error


def has_pooler(transformers: Any, source: str) -> bool:
    """Whether the architecture can be built without its pooler, whose weights would go unused."""
    import inspect

    kind = type(transformers.AutoConfig.from_pretrained(source))
    model = transformers.models.auto.modeling_auto.MODEL_MAPPING[kind]
    return "add_pooling_layer" in inspect.signature(model.__init__).parameters
