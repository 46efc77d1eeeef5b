"""The ``[buffer]``, ``[training]`` and ``[offline]`` tables: the stored rows of training, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from molbuffer.flows.settings.base import Count, Section, Text

SelectionName = Literal["consume_once", "uniform", "top_k", "prioritized", "recent"]
LossName = Literal["reinvent"]

SELECTION_KEYS: Mapping[SelectionName, str | None] = {
    "consume_once": "epochs",
    "uniform": None,
    "top_k": "top_k",
    "prioritized": "alpha",
    "recent": "max_iterations",
}
"""The key that belongs to each selection and to no other."""


class SelectionKeys(Section):
    """The selection of stored rows for a batch. A key of another selection is refused rather than ignored."""

    selection: SelectionName = "consume_once"
    """consume_once: each row once, at random; uniform: every row with the same probability; top_k: the best
    molecules; prioritized: better rows more often; recent: the run's own rows of the last iterations."""

    epochs: Count | None = None
    """For consume_once: how often each stored row is used; default 1."""

    top_k: Count | None = None
    """For top_k: the number of best molecules to draw from; default 100."""

    alpha: Annotated[float, Field(ge=0)] | None = None
    """For prioritized: a row is drawn with a probability proportional to rank^-alpha, 0 = uniform; default 0.7."""

    max_iterations: Count | None = None
    """For recent: the number of newest iterations; default 10."""


class BufferSettings(SelectionKeys):
    """The stored rows that fill the part of a batch that is not drawn live."""

    build_every: Count = 10
    """The number of iterations between builds; a build also happens whenever the buffer cannot fill the next batch."""

    runs: Literal["all", "own"] = "all"
    """all: also rows that earlier runs stored under the same objective, as of the start of this run; own: only rows of
    this run."""


class TrainingSettings(Section):
    """The training of the policy."""

    loss: LossName = "reinvent"
    """reinvent: the squared difference of the policy's log-likelihood and the prior's plus sigma x reward."""

    sigma: Annotated[float, Field(gt=0)] = 128.0
    """For reinvent: the log-likelihood, in nats, that a reward of 1 adds."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """The learning rate of Adam."""

    gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    """The largest norm of a step's gradient; longer gradients are scaled down to it."""

    train_on_invalid: bool = False
    """Train also on drawn strings that are no molecules, with reward 0."""

    checkpoint_every: Count = 10
    """The number of iterations between checkpoints; offline ten times as many. Live molecules are stored together
    with the checkpoint, so after a crash at most this many iterations are drawn again, with the same result."""


class OfflineSettings(SelectionKeys):
    """Training on stored rows alone, by ``molbuffer offline`` or with ``campaign.offline``."""

    selection: SelectionName = "uniform"
    """The selection of stored rows, as in the buffer table."""

    steps: Count = 500
    """The number of training steps."""

    batch_size: Count | None = None
    """The number of rows of a batch; default: that of the campaign."""

    where: Text | None = None
    """An SQL condition on sample_history that the rows must fulfil, such as "reward > 0.5"; default: every row with
    a reward."""

    loss: LossName | None = None
    """The loss; default: that of the training table."""

    sigma: Annotated[float, Field(gt=0)] | None = None
    """The weight of the reward; default: that of the training table."""

    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """The learning rate; default: that of the training table."""
