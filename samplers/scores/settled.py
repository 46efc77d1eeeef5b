"""Rewards of rows, good or failed, where the scores of their molecules are known."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from molbuffer.samplers.scores.scorer import ScoredMolecules
from molbuffer.scoring import ContrastiveTemplate
from molbuffer.storage import PendingRow, Reward, ScoreStatus


def reward_of(row: int, value: float, objective_sha256: str, *, pending: bool = False) -> Reward:
    """Return the reward of a row: pending if ``pending``, failed if the value is NaN, else good."""
    if pending:
        return Reward(row, objective_sha256, None, ScoreStatus.PENDING)
    failed = math.isnan(value)
    return Reward(row, objective_sha256, None if failed else value, ScoreStatus.FAILED if failed else ScoreStatus.OK)


def settled_rewards(
    rows: Iterable[PendingRow],
    scored: ScoredMolecules,
    template: ContrastiveTemplate | None = None,
    pairs_sha256: str | None = None,
) -> list[tuple[PendingRow, Reward]]:
    """Return the rows whose reward is no longer pending, with the rewards, in the order of the rows.

    Args:
        rows: rows whose molecules were scored, or looked up.
        scored: the scores of these molecules, and of both ends of pairs.
        template: the template of the rewards of pairs; None without pairs.
        pairs_sha256: the objective of pairs; rows of another objective have the reward of their molecule.
    """
    pending, values, settled = scored.pending(), scored.reward_of(), []
    for row in rows:
        of_pair = template is not None and row.objective_sha256 == pairs_sha256
        ends = row.molecules if of_pair else (row.smiles,)
        failed = any(math.isnan(values[end]) and end not in pending for end in ends)
        if not failed and not pending.isdisjoint(ends):
            continue
        value = math.nan if failed else values[row.smiles]
        if of_pair and not failed:
            assert template is not None
            assert row.source_smiles is not None
            value = float(template.rewards(np.array([values[row.source_smiles]]), np.array([value]))[0])
        settled.append((row, reward_of(row.row, value, row.objective_sha256)))
    return settled
