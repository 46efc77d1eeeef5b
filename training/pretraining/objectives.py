"""The pretraining loss of each kind of model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from molbuffer.samplers import ModelSizeError
from molbuffer.training.pretraining.elbo import NegativeELBO
from molbuffer.training.pretraining.pretrain import MoleculeLoss, negative_log_likelihood


def _likelihood() -> MoleculeLoss:
    return negative_log_likelihood


@dataclass(frozen=True)
class LossKind:
    """A pretraining loss and its options.

    Attributes:
        make: a function that returns the loss, given the options by name.
        defaults: the default of each option, by name.
    """

    make: Callable[..., MoleculeLoss] = _likelihood
    defaults: Mapping[str, float] = field(default_factory=dict)


PRETRAINING_LOSSES: Mapping[str, LossKind] = {
    "gru": LossKind(),
    "huggingface": LossKind(),
    "lstm": LossKind(),
    "seq2seq": LossKind(),
    "transformer": LossKind(),
    # With the full β from the start, the decoder of a sequence model learns to ignore the latent vector.
    "vae": LossKind(NegativeELBO, {"beta": 0.1, "warmup_steps": 2000, "free_bits": 0.0}),
}
"""The loss of each kind of model of molbuffer; a kind of another package has the negative log-likelihood."""


def pretraining_loss(kind: str, options: Mapping[str, float]) -> MoleculeLoss:
    """Return the loss that a model of a kind is pretrained with.

    Raises:
        ModelSizeError: the loss has no option of this name, or the option cannot have this value.
    """
    loss = PRETRAINING_LOSSES.get(kind, LossKind())
    defaults = loss.defaults
    for name, value in options.items():
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise ModelSizeError(f"the loss of {kind!r} has no {name}; its options are: {known}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelSizeError(f"expected {name} of {kind!r} to be a number, got {value!r}")
    try:
        return loss.make(**{**defaults, **options})
    except ValueError as error:
        raise ModelSizeError(f"the loss of {kind!r}: {error}") from error
