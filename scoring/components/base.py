"""Score components: what gives each molecule one raw value.

A component is deterministic in the canonical SMILES of a molecule, or as deterministic as the experiment it stands for,
and sees every molecule by itself. Its ``version`` is the hash of all that affects the raw value, and of nothing else,
so that a stored score is used again exactly when computing it would give the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from rdkit import Chem, rdBase

from molbuffer.scoring.errors import ScoringError, WorkerError
from molbuffer.scoring.molecules.molecules import parse_smiles
from molbuffer.scoring.workers.pool import map_chunks

Cost = Literal["low", "high"]
"""``high``: a score worth claiming, and committing by itself the moment it arrives."""


@dataclass(frozen=True)
class RawScore:
    """What a component says of one molecule.

    Attributes:
        value: before any transform; None exactly when the component failed.
        error: why it failed; None exactly when it did not.
        seconds: what it took; for a batch, the batch's time divided by its size.
    """

    value: float | None
    error: str | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.value is None) == (self.error is None):
            raise ValueError(f"a score has either a value or an error, got {self.value} and {self.error!r}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a score that did not fail is finite, got {self.value}; use RawScore.of")

    @classmethod
    def of(cls, value: Any, seconds: float = 0.0) -> RawScore:
        """Return the score of what a scoring function returned; failed unless that is a finite number."""
        if value is None or isinstance(value, str | bytes):
            return cls(None, f"got {value!r} where a number was expected", seconds)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            return cls(None, f"got {type(value).__name__} where a number was expected: {error}", seconds)
        if not math.isfinite(number):
            return cls(None, f"got {number} where a finite number was expected", seconds)
        return cls(number, None, seconds)

    @classmethod
    def failed(cls, error: BaseException, seconds: float = 0.0) -> RawScore:
        """Return the score of a molecule at which a scoring function raised."""
        return cls(None, f"{type(error).__name__}: {error}", seconds)


@runtime_checkable
class Component(Protocol):
    """Gives molecules raw values.

    ``name`` is unique in an objective and stands in the history with every score. ``bounded`` says that raw values are
    meant to lie in [0, 1], so that no transform is needed. ``parallel`` says that molecules may be shared out among
    processes; such a component must be picklable.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> str:
        """The sha256 of the kind and every parameter that affects the raw value; not the name."""

    @property
    def cost(self) -> Cost: ...
    @property
    def bounded(self) -> bool: ...
    @property
    def parallel(self) -> bool: ...
    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        """One score a canonical SMILES, in the order given. A molecule that cannot be scored is a failed score."""


def score_many(component: Component, smiles: Sequence[str]) -> list[RawScore]:
    """One score a canonical SMILES, in the order given, on all cores where the component allows it.

    Raises:
        ScoringError: the component did not return one score a molecule.
    """
    if not component.parallel:
        return _checked_values(smiles, component)
    try:
        return map_chunks(_checked_values, smiles, component)
    except WorkerError as error:
        # A scoring function that brings down the process it runs in must not bring down a campaign.
        return [RawScore.failed(error)] * len(smiles)


def score_each(function: Callable[[Chem.Mol], float], smiles: Sequence[str]) -> list[RawScore]:
    """Return the scores of a function of one molecule; an exception fails the molecule at which it occurs."""
    with rdBase.BlockLogs():
        return [_score_one(function, text) for text in smiles]


def _score_one(function: Callable[[Chem.Mol], float], smiles: str) -> RawScore:
    started = time.perf_counter()
    molecule = parse_smiles(smiles)
    if molecule is None:
        return RawScore(None, f"{smiles!r} is no molecule", time.perf_counter() - started)
    try:
        value = function(molecule)
    except Exception as error:
        return RawScore.failed(error, time.perf_counter() - started)
    return RawScore.of(value, time.perf_counter() - started)


def _checked_values(smiles: Sequence[str], component: Component) -> list[RawScore]:
    scores = component.values(smiles)
    if len(scores) != len(smiles):
        raise ScoringError(f"component {component.name!r} returned {len(scores)} scores for {len(smiles)} molecules")
    return scores
