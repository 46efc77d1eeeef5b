"""Evaluation of policies by fresh draws, the quality of molecules, and an interval of the difference of two means."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers import Draw, ModelSampler, Policy, Scorer, evaluation_build
from molbuffer.scoring import Filter, Judgement, Standardisation, diversity_of, judge_many
from molbuffer.storage import Commit, Event

RESAMPLES = 2_000
"""The number of bootstrap samples of an interval."""
DIVERSITY_ROWS = 1_000
"""The most molecules whose internal diversity is computed, since its time grows with the square of their number."""


@dataclass(frozen=True)
class MoleculeQuality:
    """The rewards and the diversity of n molecules; a molecule that occurs several times counts as often.

    Attributes:
        rows: the number of molecules, n.
        mean: the mean reward; None without rewards.
        top_10: the mean reward of the 10 best different molecules, or of as many as there are; None without rewards.
        top_100: the mean reward of the 100 best different molecules, likewise.
        uniqueness: different molecules / molecules; None without molecules.
        internal_diversity: ``Diversity.internal`` of the first ``DIVERSITY_ROWS`` molecules; None for fewer than two.
    """

    rows: int
    mean: float | None
    top_10: float | None
    top_100: float | None
    uniqueness: float | None
    internal_diversity: float | None


def molecule_quality(molecules: Sequence[str], rewards: NDArray[np.float64] | None) -> MoleculeQuality:
    """Return the quality of molecules.

    Args:
        molecules: canonical SMILES [n].
        rewards: float64 [n]; NaN for a molecule without a reward, which counts as 0. None when nothing was scored.
    """
    different = dict.fromkeys(molecules)
    known = None if rewards is None or not len(rewards) else np.nan_to_num(rewards, nan=0.0)
    return MoleculeQuality(
        rows=len(molecules),
        mean=None if known is None else float(known.mean()),
        top_10=None if known is None else mean_of_best(molecules, known, 10),
        top_100=None if known is None else mean_of_best(molecules, known, 100),
        uniqueness=len(different) / len(molecules) if molecules else None,
        internal_diversity=diversity_of(molecules[:DIVERSITY_ROWS]).internal,
    )


def mean_of_best(molecules: Sequence[Hashable], rewards: NDArray[np.float64], n: int) -> float | None:
    """Return the mean reward of the n best different molecules, or of as many as there are; None without molecules.

    Args:
        molecules: the identities of molecules [m], such as canonical SMILES.
        rewards: float64 [m]; the highest reward of a molecule counts.
        n: the number of molecules.
    """
    best: dict[Hashable, float] = {}
    for molecule, reward in zip(molecules, rewards.tolist(), strict=True):
        best[molecule] = max(reward, best.get(molecule, reward))
    return float(np.mean(heapq.nlargest(n, best.values()))) if best else None


@dataclass(frozen=True)
class DrawEvaluation:
    """Fresh draws of a policy under an objective.

    Attributes:
        molecules: the canonical SMILES of each draw [n]; None for a string that is not a molecule.
        scored: the reward of each draw, float64 [n]; 0 for a string that is not a molecule, was rejected, or could not
            be scored. None when nothing was scored.
        novelty: different unknown molecules / different molecules; None without molecules, or when novelty was not
            asked for.
        oracle_calls: the number of different molecules that scores were asked for, stored scores included.
    """

    molecules: Sequence[str | None]
    scored: NDArray[np.float64] | None
    novelty: float | None = None
    oracle_calls: int = 0

    @property
    def draws(self) -> int:
        """The number of draws, n."""
        return len(self.molecules)

    @property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards of the draws, float64 [n]: ``scored``, or NaN when nothing was scored."""
        return np.full(self.draws, np.nan) if self.scored is None else self.scored

    @property
    def mean_reward(self) -> float:
        """The mean reward of all draws; NaN when nothing was scored."""
        return float(self.rewards.mean()) if self.draws else math.nan

    @property
    def validity(self) -> float:
        """Molecules / draws; NaN without draws."""
        return len(self._valid) / self.draws if self.draws else math.nan

    @property
    def uniqueness(self) -> float | None:
        """Different molecules / molecules; None without molecules."""
        return len(set(self._valid)) / len(self._valid) if self._valid else None

    @cached_property
    def quality(self) -> MoleculeQuality:
        """The quality of the draws that are molecules; ``rows`` and ``mean`` are of all draws, invalid ones as 0."""
        valid = [row for row, molecule in enumerate(self.molecules) if molecule is not None]
        found = molecule_quality(self._valid, None if self.scored is None else self.scored[valid])
        mean = None if math.isnan(self.mean_reward) else self.mean_reward
        return replace(found, rows=self.draws, mean=mean)

    @property
    def _valid(self) -> list[str]:
        return [molecule for molecule in self.molecules if molecule is not None]


def evaluate_policy(
    policy: Policy,
    scorer: Scorer | None,
    filters: Sequence[Filter],
    standardisation: Standardisation,
    *,
    draws: int,
    seed: int,
    known: Callable[[Sequence[str]], set[str]] | None = None,
    max_oracle_calls: int | None = None,
    iteration: int | None = None,
) -> DrawEvaluation:
    """Draw molecules from a policy at temperature 1, score those that pass the filters, and record the scores.

    Args:
        policy: the policy.
        scorer: computes the rewards, and has the store of the scores; None scores nothing.
        filters: the filters, which are applied in their order.
        standardisation: how drawn strings become molecules.
        draws: the number of draws.
        seed: the seed of the draws.
        known: returns which of some canonical SMILES are known already, for the novelty; None computes no novelty.
        max_oracle_calls: the most different molecules that scores are asked for, stored scores included; the draws end
            before the first one that would exceed it. None is no limit.
        iteration: the number of iterations that the policy has learned from in the run of the scorer; the scored draws
            are then stored as a build of the event "evaluation" of this run. None stores no draw.
    """
    sampler = ModelSampler("evaluation", lambda: policy)
    drawn = sampler.draw(draws, seed)
    judged = judge_many(drawn.raw, filters, standardisation)
    if scorer is not None and max_oracle_calls is not None:
        judged = judged[: _within(judged, max_oracle_calls)]
    molecules = [judgement.smiles for judgement in judged]
    different = list(dict.fromkeys(molecule for molecule in molecules if molecule is not None))
    novelty = None if known is None or not different else 1 - len(known(different)) / len(different)
    if scorer is None:
        return DrawEvaluation(molecules, None, novelty)
    kept = [judgement.smiles for judgement in judged if judgement.smiles is not None and judgement.rejected_by is None]
    scored = scorer.score(kept)
    if scorer.store is not None and scored.new:
        scorer.store.record_scores(scored.new, run_id=scorer.run_id)
    reward_of = scored.reward_of()
    if iteration is not None:
        _store(
            sampler=sampler,
            drawn=drawn,
            judged=judged,
            reward_of=reward_of,
            scorer=scorer,
            iteration=iteration,
            seed=seed,
        )
    rewards = [
        reward_of[judgement.smiles] if judgement.smiles is not None and judgement.rejected_by is None else 0.0
        for judgement in judged
    ]
    return DrawEvaluation(
        molecules,
        np.nan_to_num(np.array(rewards, np.float64), nan=0.0),
        novelty,
        oracle_calls=len(scored.smiles),
    )


def _store(
    *,
    sampler: ModelSampler,
    drawn: Draw,
    judged: Sequence[Judgement],
    reward_of: Mapping[str, float],
    scorer: Scorer,
    iteration: int,
    seed: int,
) -> None:
    """Store draws with their rewards as a build, unless a resumed run has stored the same evaluation before."""
    store, run_id = scorer.store, scorer.run_id
    if store is None or run_id is None or not judged:
        return
    known = store.receipts(run_id, iteration=iteration, event=Event.EVALUATION)
    if any(receipt.drawn == len(judged) for receipt in known):
        return
    build = evaluation_build(
        sampler,
        drawn,
        judged,
        reward_of,
        run_id=run_id,
        iteration=iteration,
        seed=seed,
        objective_sha256=scorer.objective.sha256,
        chunk=len(known),
    )
    message = f"evaluation of run {run_id}, iteration {iteration}"
    store.commit(Commit(builds=[build], message=message))


def _within(judged: Sequence[Judgement], molecules: int) -> int:
    """Return the number of leading rows that have at most ``molecules`` different kept molecules."""
    asked: set[str] = set()
    for row, judgement in enumerate(judged):
        if judgement.smiles is not None and judgement.rejected_by is None:
            asked.add(judgement.smiles)
        if len(asked) > molecules:
            return row
    return len(judged)


def bootstrap_difference(
    better: NDArray[np.float64], base: NDArray[np.float64], seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the difference of two means (Efron & Tibshirani 1993, chapter 13).

    Args:
        better: the first sample, float64 [n].
        base: the second sample, float64 [m], independent of the first.
        seed: the seed of the resampling.
        level: the level of confidence, in (0, 1).

    Returns:
        The lower and the upper end of the interval of mean(better) - mean(base).
    """
    rng = np.random.default_rng(seed)
    resampled = [
        values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1) for values in (better, base)
    ]
    low, high = np.quantile(resampled[0] - resampled[1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
