"""Sizes that a model cannot have are told before anything is read or made."""

import pytest

from molbuffer.samplers.errors import ModelSizeError
from molbuffer.samplers.models.registry import MODELS, check_sizes


@pytest.mark.parametrize(
    ("kind", "name", "value", "told"),
    [
        ("gru", "layers", 0, "layers of 'gru'"),
        ("transformer", "hidden_size", 0, "hidden_size of 'transformer'"),
        ("seq2seq", "decoder_layers", -1, "decoder_layers of 'seq2seq'"),
        ("lstm", "dropout", 1.0, "dropout of 'lstm'"),
        ("vae", "word_dropout", 2, "word_dropout of 'vae'"),
        ("vae", "concentration", float("nan"), "concentration of 'vae'"),
    ],
)
def test_numbers_out_of_range_are_refused(kind: str, name: str, value: float, told: str) -> None:
    with pytest.raises(ModelSizeError, match=told):
        check_sizes(kind, {name: value})


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_defaults_are_sizes_that_a_model_can_have(kind: str) -> None:
    check_sizes(kind, MODELS[kind].choices)
