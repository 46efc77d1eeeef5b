"""What each kind of model lowers in pretraining."""

from __future__ import annotations

from collections.abc import Mapping

from training.pretrain import MoleculeLoss, negative_log_likelihood

LOSSES: Mapping[str, MoleculeLoss] = {
    "gru": negative_log_likelihood,
    "lstm": negative_log_likelihood,
    "seq2seq": negative_log_likelihood,
    "transformer": negative_log_likelihood,
}
"""The loss of each kind of ``samplers.models.registry.MODELS``."""
