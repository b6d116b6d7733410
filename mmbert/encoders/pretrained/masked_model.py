"""A whole masked language model of transformers with its tokenizer, for scoring texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mmbert.core.errors import WeightsError
from mmbert.core.regular_files import refuse_special_inside
from mmbert.encoders.pretrained.transformers import model_error, nobody_asked, quiet_transformers, refuse_kernels
from mmbert.encoders.pretrained.weights import hub

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_masked_model(source: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model, in evaluation mode and without gradients, and tokenizer; no code that lies beside them is ever run.

    Args:
        source: a folder, or a name on the Hugging Face hub.

    Raises:
        WeightsError: they cannot be had, or the checkpoint is no masked language model.
    """
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

    try:
        if Path(source).is_dir():
            refuse_special_inside(source)
        with hub(), nobody_asked(), quiet_transformers():
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            refuse_kernels(source, config)
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            network, report = AutoModelForMaskedLM.from_pretrained(
                source, config=config, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
            )
    except (OSError, ValueError, KeyError) as error:
        raise model_error(source, source, error) from error
    if report["missing_keys"]:
        raise WeightsError(
            f"'{source}' is no masked language model: it has no weights for {sorted(report['missing_keys'])[0]}. Name "
            "one that has its head, such as bert-base-uncased, or pre-train one."
        )
    if tokenizer.mask_token_id is None:
        raise WeightsError(f"The tokenizer of '{source}' has no mask token, so it is no masked language model.")
    return network.eval().requires_grad_(False), tokenizer
