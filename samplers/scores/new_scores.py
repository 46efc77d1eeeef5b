"""Scores to store, made of raw values; a score is failed if the transform of its component has no value for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.scores.component_order import Group
from molbuffer.scoring import WeightedComponent
from molbuffer.scoring.components import Component, RawScore
from molbuffer.storage import SampleStore, Score, ScoreStatus

_log = logging.getLogger(__name__)


@dataclass
class Computed:
    """The scores of molecules by the components of one call.

    Attributes:
        group: the components.
        stored: whether the store has the scores already.
        by_name: the scores by component and molecule.
        computed: the scores that were computed by this scorer.
    """

    group: Group
    stored: bool = False
    by_name: dict[str, dict[str, Score]] = field(init=False)
    computed: list[Score] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.by_name = {each.component.name: {} for each in self.group}

    def add(self, place: int, smiles: Sequence[str], raw: Sequence[RawScore]) -> list[Score]:
        """Add and return the scores of molecules by the component at a place of the group."""
        scores = scores_of(self.group[place], smiles, raw)
        self.by_name[self.group[place].component.name] |= {score.smiles: score for score in scores}
        self.computed += scores
        return scores

    def add_each(self, smiles: str, raw: Sequence[RawScore]) -> list[Score]:
        """Add and return the scores of a molecule by each component of the group."""
        return [score for place, each in enumerate(raw) for score in self.add(place, [smiles], [each])]

    def know(self, found: Mapping[str, Mapping[str, Score]]) -> None:
        """Add stored scores, by component and molecule."""
        for name, scores in found.items():
            self.by_name[name] |= scores

    def missing(self, smiles: Sequence[str]) -> list[str]:
        """Return the molecules for which a component of the group has no score."""
        return [text for text in smiles if any(text not in scores for scores in self.by_name.values())]


def scores_of(weighted: WeightedComponent, smiles: Sequence[str], raw: Sequence[RawScore]) -> list[Score]:
    """Return the scores to store; a score is failed, too, if its raw value, which is kept, has no transformed value."""
    outside = _outside(weighted, _numbers(raw))
    return [
        _score(weighted.component, text, result, out_of_range(weighted, result.value) if out else result.error)
        for text, result, out in zip(smiles, raw, outside.tolist(), strict=True)
    ]


def unknown_scores(store: SampleStore, scores: Sequence[Score], run_id: str) -> list[Score]:
    """Return the scores of a build that the store does not have yet.

    Builds that are made at the same time compute cheap scores of their common molecules twice. The scores are stored
    once, as if the builds had been made one after another.

    Args:
        store: the store.
        scores: the scores that the build has computed.
        run_id: the run of the build, whose lost scores count as failed.
    """
    of_component: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        of_component.setdefault((score.component, score.version), []).append(score.smiles)
    known = {
        (*key, text): found.status
        for key, smiles in of_component.items()
        for text, found in store.find_scores(*key, smiles, lost_in=run_id).items()
    }
    worse = {ScoreStatus.OK: {None, ScoreStatus.FAILED, ScoreStatus.LOST}}
    return [
        score
        for score in scores
        if known.get((score.component, score.version, score.smiles)) in worse.get(score.status, {None})
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
        std=raw.std,
    )


def _numbers(scores: Sequence[Score] | Sequence[RawScore]) -> NDArray[np.float64]:
    return np.array([np.nan if score.value is None else score.value for score in scores], np.float64)


def _outside(weighted: WeightedComponent, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the mask [n] of the raw values that have no transformed value."""
    return ~np.isnan(values) & np.isnan(weighted.transformed(values))


def raw_values(weighted: WeightedComponent, scores: Sequence[Score]) -> NDArray[np.float64]:
    """Return the raw values [n] of n scores, NaN where there is no raw value or no transformed value."""
    values = _numbers(scores)
    return np.where(_outside(weighted, values), np.nan, values)


def values_of(weighted: WeightedComponent, smiles: Sequence[str], scores: Mapping[str, Score]) -> NDArray[np.float64]:
    """Return the raw values [n] of n molecules, NaN where there is none."""
    of_scored = dict(zip(scores, raw_values(weighted, list(scores.values())).tolist(), strict=True))
    return np.array([of_scored.get(text, np.nan) for text in smiles], np.float64)


def stds_of(smiles: Sequence[str], scores: Mapping[str, Score]) -> NDArray[np.float64]:
    """Return the standard deviations [n] of the raw values of n molecules, NaN where there is none."""
    found = (scores[text].std if text in scores else None for text in smiles)
    return np.array([np.nan if std is None else std for std in found], np.float64)


def error_of(weighted: WeightedComponent, score: Score, value: float) -> str | None:
    """Return the reason why a molecule with a score has no reward; None if the score has a transformed value.

    Args:
        weighted: the component.
        score: the score of the molecule.
        value: its raw value, NaN if it has no transformed value.
    """
    if np.isnan(value):
        # The score may have been stored under an objective with another transform.
        return (score.error if score.value is None else out_of_range(weighted, score.value)) or score.status.value
    if weighted.pessimism and score.std is None:
        return f"got {value!r} without a standard deviation, which pessimism = {weighted.pessimism:g} needs"
    return None


def out_of_range(weighted: WeightedComponent, value: float | None) -> str:
    """Return the error of a raw value that has no transformed value."""
    if weighted.transform.kind == "identity":
        return f"got {value!r}, expected a value in [0, 1]; give the component a transform"
    return f"got {value!r}, for which the transform {type(weighted.transform).__name__} has no value in [0, 1]"


_WARNED: set[tuple[str, str]] = set()
"""The names and versions of the components for which this process has warned that they need a transform."""


def warn_of_range(weighted: WeightedComponent, scores: Sequence[Score]) -> None:
    """Warn, once for each component, that raw values have no transformed values."""
    component = weighted.component
    values = _numbers(scores)
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
