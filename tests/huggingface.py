"""Folders of small Hugging Face models, as their own libraries save them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, trainers

SPECIAL = ("<pad>", "<bos>", "<eos>")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}


def tokenizer_of(molecules: Iterable[str], size: int = 100) -> Tokenizer:
    """Byte pair encoding of molecules: most of its tokens have several characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(
        molecules, trainers.BpeTrainer(vocab_size=size, special_tokens=list(SPECIAL), show_progress=False)
    )
    return tokenizer


def save_model(folder: Path, kind: str, tokenizer: Tokenizer, *, std: float = 0.2, **sizes: Any) -> Path:
    """Save a model with random weights under which tokens are far from equally likely, and its tokenizer."""
    ids = {f"{name}_token_id": tokenizer.token_to_id(f"<{name}>") for name in ("pad", "bos", "eos")}
    config = transformers.CONFIG_MAPPING[kind](**{"vocab_size": tokenizer.get_vocab_size(), **ids, **SIZES, **sizes})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=std)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": f"<{name}>" for name in ("pad", "bos", "eos")}
    )
    fast.save_pretrained(folder)
    assert (folder / "tokenizer.json").exists() and os.listdir(folder)
    return folder
