"""The scorer: looks scores up in the store before it computes them, and stores failed ones, too.

Scores of cheap components are computed together and committed with the build. A molecule is claimed before an expensive
component (``cost = "high"``) scores it, so that two processes never pay for the same molecule. Each expensive score is
committed within a second of its arrival, whatever becomes of the build that asked for it.

A score that the machinery lost counts as failed for the rest of its run, and is computed again in the next.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.builds.expensive import ClaimTiming, ExpensiveScores
from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import Component, RawScore, score_many, score_stream
from molbuffer.storage import ClaimWait, SampleStore, Score, ScoreStatus

CLAIMED_TOGETHER = 512
"""The most molecules that a component of batches claims at once."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredMolecules:
    """The scores of n distinct molecules.

    Attributes:
        smiles: the canonical SMILES [n].
        values: float64 [n] by component name, in the order of ``smiles``; NaN where the component failed.
        rewards: float64 [n], NaN where a component failed.
        new: the scores to commit with the build.
        errors: the reason by SMILES, where there is no reward: of the first component that failed, with its name.
    """

    smiles: Sequence[str]
    values: Mapping[str, NDArray[np.float64]]
    rewards: NDArray[np.float64]
    new: Sequence[Score] = ()
    errors: Mapping[str, str] = field(default_factory=dict)

    def reward_of(self) -> dict[str, float]:
        """Return the reward by SMILES: rows are joined by identity, never by position."""
        return dict(zip(self.smiles, self.rewards.tolist(), strict=True))


@dataclass(frozen=True)
class Scorer:
    """Scores molecules under an objective; the store is its memory.

    Attributes:
        objective: the components and their aggregation.
        store: holds known scores; None computes every score.
        run_id: the run that new expensive scores belong to.
        owner: the name in claims of expensive scores, unique to this scorer.
        pace: the intervals of claims and commits.
        again: whether scores that failed are computed again, as if they were unknown.
    """

    objective: Objective
    store: SampleStore | None = None
    run_id: str | None = None
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}")
    pace: ClaimTiming = ClaimTiming()
    again: bool = False

    def score(self, smiles: Sequence[str]) -> ScoredMolecules:
        """Return the scores and rewards of the distinct molecules among canonical ``smiles``, in order of first
        occurrence.
        """
        distinct = list(dict.fromkeys(smiles))
        values: dict[str, NDArray[np.float64]] = {}
        new: list[Score] = []
        errors: dict[str, str] = {}
        for weighted in self.objective.components:
            component = weighted.component
            known = self._look_up(component, distinct)
            missing = [text for text in distinct if text not in known]
            if component.cost == "high" and self.store is not None:
                known |= self._score_expensive(weighted, missing)
            else:
                computed = scores_of(weighted, missing, score_many(component, missing))
                new += computed
                known |= {score.smiles: score for score in computed}
            scores = [known[text] for text in distinct]
            values[component.name] = _values(weighted, scores)
            for score, value in zip(scores, values[component.name].tolist(), strict=True):
                if math.isnan(value):
                    # A score may have been stored under an objective with another transform.
                    error = score.error if score.value is None else _out_of_range(weighted, score.value)
                    errors.setdefault(score.smiles, f"{component.name}: {error or score.status.value}")
            _warn_of_range(weighted, scores)
        return ScoredMolecules(distinct, values, self.objective.rewards(values), new, errors)

    def _look_up(self, component: Component, smiles: Sequence[str]) -> dict[str, Score]:
        if self.store is None or not smiles:
            return {}
        found = self.store.find_scores(component.name, component.version, smiles, lost_in=self.run_id)
        return {text: score for text, score in found.items() if score.status is ScoreStatus.OK or not self.again}

    def _score_expensive(self, weighted: WeightedComponent, smiles: Sequence[str]) -> dict[str, Score]:
        """Score the molecules that no other scorer has claimed, and wait for the others."""
        assert self.store is not None
        component = weighted.component
        scored: dict[str, Score] = {}
        waiting = list(smiles)
        wait = ClaimWait(self.store.claims, component.name, component.version)
        with ExpensiveScores(self.store, self.run_id, self.owner, component, self.pace) as expensive:
            while waiting:
                for text, raw in score_stream(component, self._claimed(expensive, component, waiting, scored)):
                    (scored[text],) = scores_of(weighted, [text], [raw])
                    expensive.put(scored[text])
                waiting = [text for text in waiting if text not in scored]
                if waiting:
                    wait.note(waiting)
                    time.sleep(self.pace.poll_seconds)
                    scored |= self._look_up(component, waiting)
                    waiting = [text for text in waiting if text not in scored]
        return scored

    def _claimed(
        self, expensive: ExpensiveScores, component: Component, smiles: Sequence[str], scored: dict[str, Score]
    ) -> Iterator[str]:
        """Yield the molecules that can be claimed, each claimed when it is asked for; add those known by now."""
        together = CLAIMED_TOGETHER if getattr(component, "batch", False) else 1
        for group in (smiles[start : start + together] for start in range(0, len(smiles), together)):
            granted = expensive.claim(group)
            # Between the look-up and the claim another process may have finished and released a molecule.
            found = self._look_up(component, [text for text in group if text in granted])
            expensive.release(found)
            scored.update(found)
            yield from (text for text in group if text in granted and text not in found)


def scores_of(weighted: WeightedComponent, smiles: Sequence[str], raw: Sequence[RawScore]) -> list[Score]:
    """Return the scores to store: failed, too, where the transform has no value for the raw one, which they keep."""
    outside = _outside(weighted, _raw_values(raw))
    return [
        _score(weighted.component, text, result, _out_of_range(weighted, result.value) if out else result.error)
        for text, result, out in zip(smiles, raw, outside.tolist(), strict=True)
    ]


def _score(component: Component, smiles: str, raw: RawScore, error: str | None) -> Score:
    return Score(
        smiles=smiles,
        component=component.name,
        version=component.version,
        value=raw.value,
        status=ScoreStatus.LOST if raw.lost else ScoreStatus.OK if error is None else ScoreStatus.FAILED,
        error=error,
        seconds=raw.seconds,
        pose=raw.pose,
    )


def _raw_values(scores: Sequence[Score] | Sequence[RawScore]) -> NDArray[np.float64]:
    return np.array([np.nan if score.value is None else score.value for score in scores], np.float64)


def _outside(weighted: WeightedComponent, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a raw value has no transformed one."""
    return ~np.isnan(values) & np.isnan(weighted.transformed(values))


def _values(weighted: WeightedComponent, scores: Sequence[Score]) -> NDArray[np.float64]:
    """Return the raw values of scores, NaN where there is none or the transform has no value for it."""
    values = _raw_values(scores)
    return np.where(_outside(weighted, values), np.nan, values)


def _out_of_range(weighted: WeightedComponent, value: float | None) -> str:
    if weighted.transform.kind == "identity":
        return f"got {value!r}, expected a value in [0, 1]; give the component a transform"
    return f"got {value!r}, for which the transform {type(weighted.transform).__name__} has no value in [0, 1]"


_WARNED: set[tuple[str, str]] = set()
"""The names and versions of the components of which this process has said that their values need a transform."""


def _warn_of_range(weighted: WeightedComponent, scores: Sequence[Score]) -> None:
    component = weighted.component
    values = _raw_values(scores)
    outside = values[_outside(weighted, values)]
    if outside.size and (component.name, component.version) not in _WARNED:
        _WARNED.add((component.name, component.version))
        _log.warning(
            "%d of %d values of component %r are outside [0, 1], from %r to %r: those molecules have no reward; give "
            "the component a transform",
            outside.size,
            np.isfinite(values).sum(),
            component.name,
            float(outside.min()),
            float(outside.max()),
        )
