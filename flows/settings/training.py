"""The ``[buffer]``, ``[training]`` and ``[offline]`` tables: what training reads, and how it learns from it."""

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
    """Which stored rows a batch is made of. A key of another selection is refused rather than ignored."""

    selection: SelectionName = "consume_once"
    """consume_once: each row once, at random; uniform: any row, equally likely; top_k: the best molecules;
    prioritized: better rows more often; recent: the run's own rows of the last iterations."""

    epochs: Count | None = None
    """Of consume_once: how often the stored rows are gone through; default 1."""

    top_k: Count | None = None
    """Of top_k: how many of the best molecules are drawn from; default 100."""

    alpha: Annotated[float, Field(ge=0)] | None = None
    """Of prioritized: a row is drawn with probability proportional to rank^-alpha, 0 = uniform; default 0.7."""

    max_iterations: Count | None = None
    """Of recent: how many of the newest iterations; default 10."""


class BufferSettings(SelectionKeys):
    """The stored rows that fill what the live shares leave of a batch."""

    build_every: Count = 10
    """Iterations between builds; a build also happens whenever the buffer cannot fill the next batch."""

    runs: Literal["all", "own"] = "all"
    """all: also rows that earlier runs stored under the same objective, as of the start of this run; own: only rows of
    this run."""


class TrainingSettings(Section):
    """How the policy learns."""

    loss: LossName = "reinvent"
    """reinvent: the squared distance of the policy's log-likelihood to the prior's plus sigma x reward."""

    sigma: Annotated[float, Field(gt=0)] = 128.0
    """Of reinvent: how much log-likelihood, in nats, a reward of 1 is worth."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Of Adam."""

    gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    """The largest norm of a step's gradient; longer gradients are scaled down to it."""

    train_on_invalid: bool = False
    """Train also on drawn strings that are no molecules, with reward 0."""

    checkpoint_every: Count = 10
    """Iterations between checkpoints, offline ten times as many. Live molecules are stored together with the
    checkpoint, so this many iterations are drawn again, to the same result, after a crash."""


class OfflineSettings(SelectionKeys):
    """Training from stored rows alone, by ``molbuffer offline`` or with ``campaign.offline``."""

    selection: SelectionName = "uniform"
    """As in the buffer table."""

    steps: Count = 500
    """Training steps."""

    batch_size: Count | None = None
    """Rows of a batch; default: that of the campaign."""

    where: Text | None = None
    """An SQL condition on sample_history that the rows fulfil, such as "reward > 0.5"; default: every row with a
    reward."""

    loss: LossName | None = None
    """Default: that of the training table."""

    sigma: Annotated[float, Field(gt=0)] | None = None
    """Default: that of the training table."""

    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Default: that of the training table."""
