"""The outcomes of drawn rows: refused by a filter, without a score, or rewarded."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from molbuffer.pages.facts.scope import NUMBERED, OWN_REWARDS, Scope, bin_sizes

NOT_PARSEABLE = "no molecule"
REFUSED = "refused: "
FAILED, LOST, PENDING, WITHOUT = "score failed", "score lost", "score pending", "kept without a reward"
KNOWN, COMPUTED = "reward of known scores", "reward of new scores"
BINS = 60


@dataclass(frozen=True)
class Funnel:
    """The numbers of drawn rows that passed each step: drawn, parseable, kept, rewarded.

    Attributes:
        drawn: the number of rows that samplers drew.
        parseable: the number of rows that are molecules.
        refused: the number of rows that each filter refused, by its name, the most frequent first; strings that are
            not molecules do not count.
        kept: the number of rows that passed every filter.
        failed: the number of kept rows without a reward because a score failed or was lost.
        pending: the number of kept rows whose reward is pending.
        rewarded: the number of kept rows with a reward.
        computed: the number of rewarded rows for whose molecule the run computed a score; the scores of the others were
            in the store.
    """

    drawn: int
    parseable: int
    refused: dict[str, int]
    kept: int
    failed: int
    pending: int
    rewarded: int
    computed: int


def funnel(scope: Scope) -> Funnel:
    """Return the funnel of all rows of a scope."""
    return funnel_of(funnel_over_time(scope, bins=1))


def funnel_of(outcomes: pl.DataFrame) -> Funnel:
    """Return the funnel of the outcomes that ``funnel_over_time`` returned."""
    totals = outcomes.group_by("outcome").agg(pl.col("rows").sum()).sort(["rows", "outcome"], descending=[True, False])
    of = dict(totals.iter_rows())
    drawn = sum(of.values())
    refused = {name.removeprefix(REFUSED): n for name, n in of.items() if name.startswith(REFUSED)}
    unparseable = of.get(NOT_PARSEABLE, 0)
    return Funnel(
        drawn=drawn,
        parseable=drawn - unparseable,
        refused=refused,
        kept=drawn - unparseable - sum(refused.values()),
        failed=of.get(FAILED, 0) + of.get(LOST, 0),
        pending=of.get(PENDING, 0),
        rewarded=of.get(KNOWN, 0) + of.get(COMPUTED, 0),
        computed=of.get(COMPUTED, 0),
    )


def funnel_over_time(scope: Scope, *, bins: int = BINS) -> pl.DataFrame:
    """Return the numbers of rows of a scope by outcome, over iterations.

    Each row has one outcome: ``no molecule``, ``refused: FILTER``, or for a kept row a failed, lost or pending score, a
    reward of stored scores, a reward with a score that the run computed, or no reward at all.

    Returns:
        ``run_id``, ``iteration`` (the first of its bin), ``outcome`` and ``rows``. A run has at most ``bins`` bins.
    """
    return scope.named(scope.read(_OUTCOMES, bin_sizes=bin_sizes(scope, bins)))


_OUTCOMES = f"""
WITH {NUMBERED}, {OWN_REWARDS},
kept_rows AS (
    SELECT samples.smiles, numbered.number, numbered.run, own_rewards.status,
        row_number() OVER (PARTITION BY numbered.run, samples.smiles ORDER BY numbered.number, samples."row") AS time
    FROM {{samples}} AS samples JOIN numbered ON numbered.build_id = samples.build_id
    LEFT JOIN own_rewards ON own_rewards.number = numbered.number AND own_rewards."row" = samples."row"
    WHERE samples.kept
),
computed AS (
    SELECT DISTINCT wanted.number AS run, scores.smiles
    FROM {{scores}} AS scores JOIN wanted ON wanted.run_id = scores.run_id WHERE scores.status = 'ok'
),
outcomes AS (
    SELECT kept_rows.number, CASE
            WHEN kept_rows.status IS NULL THEN '{WITHOUT}'
            WHEN kept_rows.status = 'failed' THEN '{FAILED}'
            WHEN kept_rows.status = 'lost' THEN '{LOST}'
            WHEN kept_rows.status <> 'ok' THEN '{PENDING}'
            WHEN kept_rows.time = 1 AND computed.smiles IS NOT NULL THEN '{COMPUTED}'
            ELSE '{KNOWN}' END AS outcome, count(*) AS rows
    FROM kept_rows LEFT JOIN computed ON computed.run = kept_rows.run AND computed.smiles = kept_rows.smiles
    GROUP BY ALL
    UNION ALL
    SELECT numbered.number, CASE WHEN samples.smiles IS NULL THEN '{NOT_PARSEABLE}'
        ELSE '{REFUSED}' || coalesce(samples.rejected_by, 'unknown') END, count(*)
    FROM {{samples}} AS samples JOIN numbered ON numbered.build_id = samples.build_id
    WHERE NOT samples.kept GROUP BY ALL
)
SELECT numbered.run, numbered.iteration // bin_sizes.size * bin_sizes.size AS iteration, outcomes.outcome,
    sum(outcomes.rows)::BIGINT AS rows
FROM outcomes JOIN numbered ON numbered.number = outcomes.number JOIN bin_sizes ON bin_sizes.run = numbered.run
GROUP BY ALL ORDER BY numbered.run, iteration, outcomes.outcome
"""
