"""Sizes that a model cannot have are told before anything is read or made."""

import pytest

from molbuffer.samplers.errors import ModelSizeError
from molbuffer.samplers.models.registry import MODELS, check_sizes


@pytest.mark.parametrize(
    ("kind", "name", "value", "told"),
    [
        ("gru", "layers", 0, r"layers of 'gru' to be in \[1, inf\), got 0"),
        ("transformer", "hidden_size", 0, r"hidden_size of 'transformer' to be in \[1, inf\), got 0"),
        ("seq2seq", "decoder_layers", -1, r"in \[1, inf\), got -1"),
        ("lstm", "dropout", 1.0, r"dropout of 'lstm' to be in \[0, 1\), got 1.0"),
        ("vae", "word_dropout", 2, r"word_dropout of 'vae' to be in \[0, 1\), got 2"),
        ("vae", "concentration", float("nan"), r"concentration of 'vae' to be in \[0, inf\), got nan"),
    ],
)
def test_numbers_out_of_range_are_refused(kind: str, name: str, value: float, told: str) -> None:
    with pytest.raises(ModelSizeError, match=told):
        check_sizes(kind, {name: value})


@pytest.mark.parametrize("kind", MODELS)
def test_the_defaults_are_sizes_that_a_model_can_have(kind: str) -> None:
    check_sizes(kind, MODELS[kind].choices)
