"""The protocol of a loss: the rows that it is given, the data that it is valid on, and the family of losses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, runtime_checkable

from annotated_types import Ge, Gt

from molbuffer.kinds import Family, class_with

if TYPE_CHECKING:
    from torch import Tensor, nn

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]


class ValidOn(StrEnum):
    """The data that a loss is valid on."""

    ON_POLICY = "on_policy"
    """Rows that the agent has just drawn, at temperature 1 and from all tokens."""
    BEHAVIOUR = "behaviour"
    """Any rows whose behaviour log-probabilities are stored."""
    ANY = "any"
    """Any rows with a reward, drawn under any policy."""


@dataclass(frozen=True)
class ScoredSequences:
    """The rows of a training step, as a loss sees them. Row i of every column belongs to the same sample.

    Attributes:
        agent: the log-probability of each token under the agent, float32 [n, L]; 0 after the end of a row. Gradients
            flow through it alone.
        prior: the log-probability of each token under the prior, float32 [n, L]; 0 after the end of a row.
        behaviour: the log-probability of each token under the behaviour policy, with the temperature and truncation of
            the draw, float32 [n, L]; NaN for rows where it is not known.
        lengths: the number of tokens of each row, END included, int64 [n].
        rewards: the rewards of the rows, float32 [n], in [0, 1].
        groups: a number for the source of each row, int64 [n]; None for rows without sources, which are all draws of
            one distribution.
        weights: the row weights, float32 [n], by the selection that chose the rows; None is 1 for each.
        tokens: the tokens of the rows, int64 [n, L], PAD after the end of a row; None if no loss reads them.
        reminders: whether the best agent of the run has just drawn the row, bool [n]; None if no sampler draws from it.
    """

    agent: Tensor
    prior: Tensor
    behaviour: Tensor
    lengths: Tensor
    rewards: Tensor
    groups: Tensor | None = None
    weights: Tensor | None = None
    tokens: Tensor | None = None
    reminders: Tensor | None = None

    @property
    def vocabulary_size(self) -> int:
        """The least size of a vocabulary that has all tokens of the rows."""
        return 1 if self.tokens is None or not self.tokens.numel() else int(self.tokens.max()) + 1


@runtime_checkable
class Loss(Protocol):
    """A loss with its settings: most often a frozen dataclass, whose fields are the keys in a configuration.

    A loss may have further attributes:

    * ``needs_reminders``: true for a loss that learns from rows of the best agent;
    * ``clipped(rows)``: a method that returns the share of likelihood ratios that the loss bounds, a scalar;
    * ``allow_truncated``: true for a loss with ``ValidOn.BEHAVIOUR`` that also accepts rows drawn with top_k or top_p.

    Attributes:
        valid_on: the data that the loss is valid on.
    """

    valid_on: ClassVar[ValidOn]

    def __call__(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows, a scalar."""


@runtime_checkable
class StatefulLoss(Loss, Protocol):
    """A loss with parameters that are learned, or with other state, such as a moving mean.

    The learner calls the module that ``state`` returns instead of the loss. It optimises the parameters of the module
    with ``state_learning_rate``, and its checkpoints have the parameters and buffers, so that a resumed training takes
    the same steps as a training that was never stopped.

    Attributes:
        state_learning_rate: the learning rate of the parameters.
    """

    @property
    def state_learning_rate(self) -> float: ...

    def state(self) -> nn.Module:
        """Return the state at the beginning of a training: a module whose ``forward(rows)`` returns the loss."""


@runtime_checkable
class CriticLoss(Loss, Protocol):
    """A loss whose state reads tokens, such as a critic, and therefore needs the size of the vocabulary.

    Its state is used as that of a ``StatefulLoss``. The module may have an attribute ``metrics`` with the metrics of
    the last step, scalars by name.
    """

    @property
    def state_learning_rate(self) -> float: ...

    def critic_state(self, vocabulary_size: int) -> nn.Module | None:
        """Return the state at the beginning of a training; None for settings without a critic."""


def state_of(loss: Loss, vocabulary_size: int) -> nn.Module | None:
    """Return the state of a loss at the beginning of a training; None for a loss without state."""
    if isinstance(loss, CriticLoss):
        return loss.critic_state(vocabulary_size)
    return loss.state() if isinstance(loss, StatefulLoss) else None


LOSSES = Family("losses", class_with("valid_on", "__call__"))
"""The kinds of losses."""


def row_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return Σ weight · value / n, the mean over n rows, a scalar.

    Args:
        values: [n].
        weights: the row weights [n], as in ``ScoredSequences``; None is 1 for each.
    """
    if weights is None:
        return values.mean()
    expect_rows(values=values, weights=weights)
    return (weights.detach() * values).mean()


def expect_rows(**tensors: Tensor) -> None:
    """Check that tensors have one value a row: one shape [n].

    Raises:
        ValueError: a shape differs; the message has the shapes by name.
    """
    _expect(1, "[n]", tensors)


def expect_tokens(**tensors: Tensor) -> None:
    """Check that tensors have one value a token: one shape [n, L].

    Raises:
        ValueError: a shape differs; the message has the shapes by name.
    """
    _expect(2, "[n, L]", tensors)


def _expect(rank: int, shape: str, tensors: dict[str, Tensor]) -> None:
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if {len(each) for each in got.values()} != {rank} or len(set(got.values())) != 1:
        raise ValueError(f"expected one shape {shape} of {', '.join(got)}, got {', '.join(map(str, got.values()))}")
