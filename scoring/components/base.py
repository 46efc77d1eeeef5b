"""Score components: each gives a molecule one raw value.

A component is deterministic in the canonical SMILES of a molecule, or as deterministic as the experiment it stands for,
and its value does not depend on other molecules. Its ``version`` is the hash of all that affects the raw value, and of
nothing else, so that a stored score is used again exactly if computing it would give the same value.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from rdkit import Chem, rdBase

from molbuffer.scoring.errors import ScoringError, WorkerError
from molbuffer.scoring.molecules import parse_smiles
from molbuffer.scoring.workers import map_chunks

Cost = Literal["low", "high"]
"""``high``: a molecule is claimed before it is scored, and each score is committed as soon as it arrives."""


@dataclass(frozen=True)
class RawScore:
    """The score of one molecule by a component.

    Attributes:
        value: the value before any transform; None exactly if the component failed.
        error: the reason of the failure; None exactly if there is a value.
        seconds: the time of the computation; for a batch, the batch's time divided by its size.
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
        """Make the score from the result of a scoring function; it is failed unless the result is a finite number."""
        if value is None or isinstance(value, str | bytes):
            return cls(None, f"got {value!r}, expected a number", seconds)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            return cls(None, f"got {type(value).__name__}, expected a number: {error}", seconds)
        if not math.isfinite(number):
            return cls(None, f"got {number}, expected a finite number", seconds)
        return cls(number, None, seconds)

    @classmethod
    def failed(cls, error: BaseException, seconds: float = 0.0) -> RawScore:
        """Make the failed score of a molecule for which a scoring function raised an error."""
        return cls(None, f"{type(error).__name__}: {error}", seconds)


@runtime_checkable
class Component(Protocol):
    """A source of raw values of molecules.

    ``name`` is unique in an objective and is stored with every score. ``bounded`` means that raw values lie in [0, 1],
    so that no transform is needed. ``parallel`` means that molecules may be shared among processes; such a component
    must be picklable.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> str:
        """The sha256 of the kind and of every parameter that affects the raw value, without the name."""

    @property
    def cost(self) -> Cost: ...
    @property
    def bounded(self) -> bool: ...
    @property
    def parallel(self) -> bool: ...
    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        """Return one score for each canonical SMILES, in the order given; it is failed if the molecule has no value."""


def score_many(component: Component, smiles: Sequence[str]) -> list[RawScore]:
    """Return one score for each canonical SMILES, in the order given, on all cores if the component is parallel.

    Raises:
        ScoringError: the component returned more or fewer scores than molecules.
    """
    if not component.parallel:
        return _checked_values(smiles, component)
    try:
        return map_chunks(_checked_values, smiles, component)
    except WorkerError as error:
        # A scoring function that kills its process must not end a campaign.
        return [RawScore.failed(error)] * len(smiles)


def score_each(function: Callable[[Chem.Mol], float], smiles: Sequence[str]) -> list[RawScore]:
    """Score each molecule by a function; an exception makes the score of that molecule a failed one."""
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
