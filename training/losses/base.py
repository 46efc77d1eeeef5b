"""What a loss is: the rows that it is given, the data that it is valid on, and the family of losses."""

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
    """Rows that the agent itself has just drawn, at temperature 1 and from all tokens."""
    BEHAVIOUR = "behaviour"
    """Any rows whose behaviour log-probabilities are stored."""
    ANY = "any"
    """Any rows with a reward, under whichever policy they were drawn."""


@dataclass(frozen=True)
class ScoredSequences:
    """The rows of a training step, as a loss sees them. Row i of every column belongs to the same sample.

    Attributes:
        agent: float32 [n, L], the log-probability of each token under the agent; 0 after the end of a row. Gradients
            flow through it only.
        prior: float32 [n, L], under the prior.
        behaviour: float32 [n, L], under the policy that drew the row, tempered and truncated as it was drawn; NaN where
            that is not known.
        lengths: int64 [n], END counted.
        rewards: float32 [n], in [0, 1].
        groups: int64 [n], equal for rows that were made from one source; None where rows have no source, and all of
            them are draws of one distribution.
        weights: float32 [n], how much each row counts in a mean over rows, by the selection that has drawn it; None
            where all count alike.
        tokens: int64 [n, L], PAD after the end of a row; None where no loss reads them.
        reminders: bool [n], whether the best agent of the run has just drawn the row; None where it draws none.
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
        """The least number of tokens that a vocabulary with those of the rows has."""
        return 1 if self.tokens is None or not self.tokens.numel() else int(self.tokens.max()) + 1


@runtime_checkable
class Loss(Protocol):
    """A loss with its settings: most often a frozen dataclass, whose fields are the keys in a configuration.

    A loss that learns from rows of the best agent has an attribute ``needs_reminders``, which is true. One that bounds
    ratios of likelihoods may have a method ``clipped(rows)``, which returns the share that it has bounded, a scalar;
    and one that is valid on rows with behaviour log-probabilities a field ``allow_truncated``, which says that rows
    drawn with top_k or top_p may be weighted as well.

    Attributes:
        valid_on: the data that it is valid on.
    """

    valid_on: ClassVar[ValidOn]

    def __call__(self, rows: ScoredSequences) -> Tensor:
        """Return the loss of rows, a scalar."""


@runtime_checkable
class StatefulLoss(Loss, Protocol):
    """A loss with parameters that are learned, or with other state, such as a moving mean.

    The learner calls the module that ``state`` returns, in the place of the loss. It optimises the parameters of the
    module with ``state_learning_rate``, and its checkpoints have parameters and buffers, so that a training that is
    resumed is the one that was never stopped.

    Attributes:
        state_learning_rate: the learning rate of the parameters.
    """

    @property
    def state_learning_rate(self) -> float: ...

    def state(self) -> nn.Module:
        """Return the state at the beginning of a training: a module whose ``forward(rows)`` is the loss of rows."""


@runtime_checkable
class CriticLoss(Loss, Protocol):
    """A loss whose state reads tokens, such as a critic, and needs to know how many there are.

    Its state is that of a ``StatefulLoss``. Metrics of its last step may stand in an attribute ``metrics`` of the
    module, scalars by name.
    """

    @property
    def state_learning_rate(self) -> float: ...

    def critic_state(self, vocabulary_size: int) -> nn.Module | None:
        """Return the state at the beginning of a training; None for settings without a critic."""


def state_of(loss: Loss, vocabulary_size: int) -> nn.Module | None:
    """Return the state of a loss at the beginning of a training; None for one without a state."""
    if isinstance(loss, CriticLoss):
        return loss.critic_state(vocabulary_size)
    return loss.state() if isinstance(loss, StatefulLoss) else None


LOSSES = Family("losses", class_with("valid_on", "__call__"))
"""The kinds of losses."""


def row_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return Σ weight · value / n, the mean over n rows, a scalar.

    Args:
        values: [n].
        weights: [n], as ``ScoredSequences`` has them; None is 1 for each.
    """
    if weights is None:
        return values.mean()
    expect_rows(values=values, weights=weights)
    return (weights.detach() * values).mean()


def expect_rows(**tensors: Tensor) -> None:
    """Refuse numbers of rows that do not have one shape [n].

    Raises:
        ValueError: with the shapes by name.
    """
    _expect(1, "[n]", tensors)


def expect_tokens(**tensors: Tensor) -> None:
    """Refuse numbers of tokens that do not have one shape [n, L].

    Raises:
        ValueError: with the shapes by name.
    """
    _expect(2, "[n, L]", tensors)


def _expect(rank: int, shape: str, tensors: dict[str, Tensor]) -> None:
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if {len(each) for each in got.values()} != {rank} or len(set(got.values())) != 1:
        raise ValueError(f"expected one shape {shape} of {', '.join(got)}, got {', '.join(map(str, got.values()))}")
