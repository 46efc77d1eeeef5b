"""Checks of the arguments of the front door: a wrong argument is refused at once, with what was got and expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from molbuffer.kinds import refuse_class, shown
from molbuffer.samplers import Sampler
from molbuffer.scoring import CHOICES, Choice
from molbuffer.storage import SELECTIONS, Selection
from molbuffer.training import LOSSES, LearnerSettings, Loss, ScoredSequences, ValidOn

RowProgress = Callable[[int, int], None]
"""A function that is called during long work with the number of rows done and the number of all rows."""
LossFunction = Callable[[ScoredSequences], Tensor]
"""A function that returns the loss of rows, a scalar, and is valid on any rows with a reward."""


def as_selection(selection: Selection | str) -> Selection:
    """Return a selection, or the selection of a kind with default settings, given its name.

    Raises:
        UnknownKindError: no kind has the name.
        TypeError: the object is not a selection.
    """
    if isinstance(selection, str):
        named: Selection = SELECTIONS[selection]()
        return named
    refuse_class("a selection", selection)
    if not all(callable(getattr(selection, name, None)) for name in ("available", "draw")):
        raise TypeError(
            f"selection: expected the name of a kind, or an object with the methods available and draw, got "
            f"{shown(selection)}"
        )
    return selection


def as_choice(choice: Choice | str | None) -> Choice | None:
    """Return a choice, or the choice of a kind with default settings, given its name; None stays None.

    Raises:
        UnknownKindError: no kind has the name.
        TypeError: the object is not a choice.
    """
    if choice is None:
        return None
    if isinstance(choice, str):
        named: Choice = CHOICES[choice]()
        return named
    refuse_class("a choice", choice)
    if not isinstance(choice, Choice):
        raise TypeError(
            f"choose: expected the name of a kind, or an object with candidates and a method choose, got "
            f"{shown(choice)}"
        )
    return choice


def as_loss(loss: Loss | Any | str) -> Loss:
    """Return a loss, the loss of a kind with default settings, given its name, or a function as a loss.

    Raises:
        UnknownKindError: no kind has the name.
        TypeError: the object is neither a loss nor a function.
    """
    if isinstance(loss, str):
        named: Loss = LOSSES[loss]()
        return named
    refuse_class("a loss", loss)
    if not callable(loss):
        raise TypeError(f"loss: expected the name of a kind, a loss or a function of rows, got {shown(loss)}")
    return loss if isinstance(loss, Loss) else FunctionLoss(loss)


@dataclass(frozen=True)
class FunctionLoss:
    """A loss that is given as a function.

    Attributes:
        function: the function of ``ScoredSequences``, which returns a scalar.
    """

    function: Any
    valid_on: ClassVar[ValidOn] = ValidOn.ANY

    @property
    def __wrapped__(self) -> Any:
        # Messages and records show the name of the wrapped function.
        return self.function

    def __call__(self, rows: ScoredSequences) -> Tensor:
        found: Tensor = self.function(rows)
        return found

    def __str__(self) -> str:
        return str(getattr(self.function, "__name__", self.function))


def check_learner(learner: object) -> None:
    """Check that an object is the settings of a learner.

    Raises:
        TypeError: the object is not ``LearnerSettings``.
    """
    if not isinstance(learner, LearnerSettings):
        raise TypeError(f"learner: expected LearnerSettings(learning_rate=..., ...), got {shown(learner)}")


def check_sampler(sampler: object) -> None:
    """Check that an object is a sampler with a name and a kind.

    Raises:
        TypeError: the object is not a sampler, or has no name or kind.
    """
    refuse_class("a sampler", sampler)
    if not isinstance(sampler, Sampler):
        raise TypeError(f"expected a sampler, an object of a subclass of Sampler, got {shown(sampler)}")
    for name in ("name", "kind"):
        if not isinstance(found := getattr(sampler, name, None), str) or not found:
            raise TypeError(f"the sampler {type(sampler).__name__} needs a {name}, a text, got {found!r}")


def check_samplers(samplers: object) -> None:
    """Check that an argument is a mapping of shares by sampler name, or a sequence of samplers.

    Raises:
        TypeError: the argument is neither.
        ValueError: a share is outside [0, 1].
    """
    if isinstance(samplers, Mapping):
        for name, share in samplers.items():
            if not isinstance(share, (int, float)) or isinstance(share, bool):
                raise TypeError(f"samplers: expected a share of the batch for {name!r}, in [0, 1], got {share!r}")
            if not 0 <= share <= 1:
                raise ValueError(f"samplers: expected the share of {name!r} to be in [0, 1], got {share!r}")
        return
    if not isinstance(samplers, Iterable) or isinstance(samplers, str) or any(isinstance(s, str) for s in samplers):
        raise TypeError(
            f'samplers: expected shares by name, as {{"agent": 0.5}}, or samplers with a size, got {samplers!r}'
        )
    for sampler in samplers:
        check_sampler(sampler)
